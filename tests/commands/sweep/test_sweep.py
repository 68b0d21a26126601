"""`sweep` as users call it, on the digits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_runs
from aeanomaly.runs.reading import read_run
from tests.commands.sweep.parts import study_of, sweep
from tests.conftest import REPOSITORY

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aeanomaly[sweep]'")


def test_every_trial_is_an_ordinary_run_that_is_not_tested(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [read_run(path) for path in find_runs([done])]
    assert [run.path.parts[-3] for run in runs] == ["trial_000", "trial_001", "trial_002"]
    for run, trial in zip(runs, study_of(done).trials, strict=True):
        assert run.status == "ok"
        assert run.values["val/loss"] == trial.value
        assert not any(name.startswith("test/") for name in run.record)
        assert run.hyperparameters is not None
        for key, value in trial.params.items():
            assert run.hyperparameters[key] == value
        assert "python -m aeanomaly fit" in (run.path.parents[1] / "log.txt").read_text()
    assert main(["compare", str(done), "--sort", "val/loss", "--csv"]) == 0
    first = capsys.readouterr().out.splitlines()[1]
    assert f"trial_{study_of(done).best_trial.number:03d}" in first


def test_best_config_is_that_of_the_lowest_loss_and_repeats_it(
    done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = study_of(done).trials
    best = min(trials, key=lambda trial: trial.value)
    monkeypatch.chdir(tmp_path)
    assert main(["fit", "--config", str(done / "best.yaml")]) == 0
    record = json.loads((tmp_path / "lightning_logs" / "version_0" / "metrics.json").read_text())
    assert record["val/loss"] == best.value
    assert "test_seconds" in record
    config = yaml.safe_load((done / "best.yaml").read_text())
    assert config["model"]["net"]["init_args"]["code_size"] == best.params["model.net.code_size"]
    assert str(done) not in yaml.dump(config)


def test_anomalies_have_no_part_in_the_choice(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scrambled = ["--data", "tests.evaluation.test_monitors.ScrambledAnomalies", "--data.anomaly_classes", "[0]"]
    assert sweep(tmp_path / "small.yaml", out, *scrambled) == 0
    assert "ScrambledAnomalies" in (out / "best.yaml").read_text()
    for one, other in zip(study_of(out).trials, study_of(done).trials, strict=True):
        assert one.params == other.params
        assert one.value == other.value
        assert one.intermediate_values == other.intermediate_values
    assert study_of(out).best_trial.number == study_of(done).best_trial.number


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_files_in_configs_sweep_are_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aeanomaly.commands.sweep.plan import read_plan
    from aeanomaly.commands.sweep.space import read_space
    from aeanomaly.commands.sweep.trial import check

    monkeypatch.chdir(REPOSITORY)
    plan = read_plan(path)
    assert plan.study == path.stem
    check(plan, read_space(plan.space))


def test_every_key_is_explained_in_dense() -> None:
    from aeanomaly.commands.sweep import plan

    lines = (REPOSITORY / "configs" / "sweep" / "dense.yaml").read_text().splitlines()
    for key in [field.name for field in dataclasses.fields(plan.Plan) if field.init]:
        (number,) = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        assert lines[number - 1].startswith("#"), key


def test_small_numbers_without_a_point_are_numbers() -> None:
    from aeanomaly.commands.sweep.space import read_space

    entry = yaml.safe_load("{low: 1e-4, high: 1e-2, log: true}")
    assert entry["low"] == "1e-4"  # what YAML makes of it
    assert read_space({"model.optimizer.lr": entry})["model.optimizer.lr"].low == 1e-4
