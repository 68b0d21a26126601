"""Run directories, read in whatever state they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from aeanomaly.runs import reading
from aeanomaly.runs.reading import read_run

METRICS = {"test/auroc/kmeans": 0.9, "val/loss": 0.1, "seed": 3, "precision": "32-true", "devices": 1, "epochs": 10}
CONFIG = {
    "seed_everything": True,
    "trainer": {"max_epochs": 10, "precision": None, "devices": "auto"},
    "model": {"net": {"class_path": "package.Net", "init_args": {"code_size": 5}}},
    "data": {"class_path": "package.Data", "init_args": {"data_dir": "data"}},
}


def make_run(path: Path, metrics: str | None = json.dumps(METRICS), config: str | None = yaml.dump(CONFIG)) -> Path:
    path.mkdir(parents=True)
    for name, text in (("metrics.json", metrics), ("config.yaml", config)):
        if text is not None:
            (path / name).write_text(text)
    return path


def test_a_finished_run(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "version_0"))
    assert (run.status, run.reason) == ("ok", "")
    assert run.record == METRICS
    assert run.values == {key: value for key, value in METRICS.items() if key != "precision"}
    # what took effect, not `True`, `None` and `auto`
    assert run.hyperparameters == {
        "seed": 3,
        "trainer.max_epochs": 10,
        "trainer.precision": "32-true",
        "trainer.devices": 1,
        "model.net.class": "Net",
        "model.net.code_size": 5,
        "data.class": "Data",
    }


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ('{"test/auroc/kmeans": 0.9, "val', "metrics.json is truncated or not JSON (line 1"),
        ("", "metrics.json is empty"),
        ("[1, 2]", "metrics.json is not valid: it holds no names and values"),
        ('{"test/auroc/kmeans": NaN}', "NaN or infinite: test/auroc/kmeans"),
        (
            '{"test/a": NaN, "test/b": Infinity, "test/c": -Infinity, "test/d": NaN}',
            "test/a, test/b, test/c and 1 more",
        ),
    ],
)
def test_broken_metrics(tmp_path: Path, metrics: str, reason: str) -> None:
    run = read_run(make_run(tmp_path / "version_0", metrics=metrics))
    assert run.status == "broken"
    assert reason in run.reason
    assert run.hyperparameters is not None
    assert run.hyperparameters["model.net.code_size"] == 5


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (None, "no config.yaml"),
        ("", "config.yaml is not valid: it holds no keys and values"),
        ("just words", "config.yaml is not valid: it holds no keys and values"),
        ("trainer: 5", "config.yaml is not valid: trainer holds no keys and values"),
        ("data: [1]", "config.yaml is not valid: data holds no keys and values"),
        ("model:\n  net: {class_path", "config.yaml is not YAML (line"),
        ("model: \x00", "config.yaml is not valid:"),
        ("model: {released: 2024-99-99}", "config.yaml is not valid: month must be in 1..12"),
        ("data: {class_path: a.B, init_args: 5}", "config.yaml is not valid: the init_args of a.B are no keys"),
        ("model: {net: {class_path: a.B, init_args: [1]}}", "config.yaml is not valid: the init_args of a.B are no"),
        ('model: {a: !!int ""}', "config.yaml is not valid: string index out of range"),
        ("model: {a: !!timestamp day}", "config.yaml is not valid: "),
        ("model: {a: !!bool perhaps}", "config.yaml is not valid: 'perhaps'"),
    ],
)
def test_broken_configs_leave_the_values(tmp_path: Path, config: str | None, reason: str) -> None:
    run = read_run(make_run(tmp_path / "version_0", config=config))
    assert run.status == "broken"
    assert reason in run.reason
    assert "\n" not in run.reason
    assert run.hyperparameters is None
    assert run.values["test/auroc/kmeans"] == 0.9


def test_a_number_beyond_floating_point_is_no_value(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "version_0", metrics=f'{{"test/auroc/kmeans": 0.9, "test/huge": 1{"0" * 400}}}'))
    assert run.values == {"test/auroc/kmeans": 0.9}


def test_files_that_are_no_text_or_cannot_be_opened(tmp_path: Path) -> None:
    path = make_run(tmp_path / "version_0", metrics=None, config=None)
    (path / "metrics.json").write_bytes(b"\xff\xfe\x00")
    (path / "config.yaml").mkdir()
    run = read_run(path)
    assert run.status == "broken"
    assert "metrics.json is not text" in run.reason
    assert "cannot read config.yaml: Is a directory" in run.reason


def test_unfinished_runs_say_how_far_they_came(tmp_path: Path) -> None:
    started = make_run(tmp_path / "version_0", metrics=None)
    validated = make_run(tmp_path / "version_1", metrics='{"val/loss": 0.1, "fit_seconds": 3.0}')
    predicted = make_run(tmp_path / "version_2", metrics=None)
    (predicted / "predictions.csv").touch()
    for path, reason in ((started, "still running"), (validated, "no test values"), (predicted, "only predictions")):
        run = read_run(path)
        assert run.status == "unfinished"
        assert reason in run.reason
    nothing = read_run(make_run(tmp_path / "version_3", metrics=None, config=None))
    assert nothing.status == "unfinished"
    assert nothing.reason.startswith("neither metrics.json nor config.yaml")


def test_the_slow_reader_of_yaml_does_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_run(tmp_path / "version_0")
    fast = read_run(path).hyperparameters
    monkeypatch.setattr(reading, "_YamlLoader", yaml.SafeLoader)
    assert read_run(path).hyperparameters == fast
