"""Run directories, found and read in whatever state they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from aeanomaly.errors import UserError
from aeanomaly.runs import reading
from aeanomaly.runs.reading import find_runs, natural_order, read_run, run_names

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


def test_runs_are_found_however_deep_once_and_in_natural_order(tmp_path: Path) -> None:
    logs = tmp_path / "lightning_logs"
    for number in (10, 2, 1):
        make_run(logs / f"version_{number}")
    renamed = make_run(logs / "my best run")
    deep = make_run(tmp_path / "bench" / "cell" / "lightning_logs" / "version_0")
    (logs / "version_3").mkdir()  # claimed a moment ago
    make_run(logs / ".trash" / "version_0")
    make_run(logs / "version_1" / "checkpoints" / "version_0")
    (logs / "notes").mkdir()
    (logs / "README.md").touch()
    expected = [renamed, *(logs / f"version_{n}" for n in (1, 2, 3, 10))]
    assert find_runs([logs]) == expected
    assert find_runs([logs / "version_10", tmp_path]) == [logs / "version_10", deep, *expected[:-1]]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    real = make_run(tmp_path / "elsewhere" / "version_0")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "linked").symlink_to(real)
    (folder / "back").symlink_to(folder)
    assert find_runs([folder]) == [folder / "linked"]
    assert find_runs([folder, real]) == [folder / "linked"]


def test_paths_without_a_run_are_mistakes(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    for name, message in (("nowhere", "no run or folder"), ("empty", "no run in"), ("file", "is a file")):
        with pytest.raises(UserError, match=message) as caught:
            find_runs([tmp_path / name])
        assert "\n" not in str(caught.value)
        assert str(tmp_path / name) in str(caught.value)


def test_names_are_short_and_unique(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one, two, other = Path("a/logs/version_1"), Path("a/logs/version_2"), Path("../elsewhere/version_1")
    assert list(run_names([one, two]).values()) == ["version_1", "version_2"]
    assert list(run_names([one, Path("b/logs/version_1")]).values()) == ["a/logs/version_1", "b/logs/version_1"]
    assert list(run_names([one, other]).values()) == [f"{tmp_path.name}/a/logs/version_1", "elsewhere/version_1"]
    assert list(run_names([Path()]).values()) == [tmp_path.name]
    assert run_names([]) == {}


def test_predictions_alone_are_passed_over_unless_named(tmp_path: Path) -> None:
    tested = make_run(tmp_path / "version_0")
    predicted = make_run(tmp_path / "version_1", metrics=None)
    for run in (tested, predicted):
        (run / "predictions.csv").touch()
    assert find_runs([tmp_path]) == [tested]
    assert find_runs([predicted]) == [predicted]


def test_natural_order() -> None:
    assert sorted(["b", "v10", "v2", "10", "9", "v2b", ""], key=natural_order) == [
        "",
        "9",
        "10",
        "b",
        "v2",
        "v2b",
        "v10",
    ]


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
    ],
)
def test_broken_configs_leave_the_values(tmp_path: Path, config: str | None, reason: str) -> None:
    run = read_run(make_run(tmp_path / "version_0", config=config))
    assert run.status == "broken"
    assert reason in run.reason
    assert "\n" not in run.reason
    assert run.hyperparameters is None
    assert run.values["test/auroc/kmeans"] == 0.9


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
