"""`sweep` as users call it, on the digits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import yaml

from aeanomaly.commands.main import main
from aeanomaly.runs.reading import find_runs, read_run
from tests.conftest import DEBUG, REPOSITORY

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aeanomaly[sweep]'")

SMALL: dict[str, Any] = {
    "base": [DEBUG],
    # Figures and histograms would take most of so short a trial.
    "overrides": {
        "trainer.max_epochs": 2,
        "trainer.callbacks": [
            {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
            {
                "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
                "init_args": {"monitor": "val/loss", "filename": "best-{epoch:02d}"},
            },
        ],
    },
    "space": {
        "model.optimizer.lr": {"low": 0.001, "high": 0.05, "log": True},
        "model.net.code_size": {"low": 2, "high": 8, "step": 2},
        "data.batch_size": {"choices": [16, 32]},
    },
    "trials": 3,
    "study": "small",
}


class PressCtrlC(L.Callback):
    """What Ctrl-C raises, in the first epoch, unless the file exists that says that it was pressed before.

    Args:
        pressed: that file.
    """

    def __init__(self, pressed: str) -> None:
        self.pressed = Path(pressed)

    def on_train_batch_end(self, *_: Any) -> None:
        if not self.pressed.exists():
            self.pressed.touch()
            raise KeyboardInterrupt


def write(path: Path, **changes: Any) -> str:
    """A sweep file like `SMALL` but for some keys; None removes a key."""
    content = {key: value for key, value in (SMALL | changes).items() if value is not None}
    path.write_text(yaml.dump(content, sort_keys=False))
    return str(path)


def study_of(out: Path) -> Any:
    return optuna.load_study(study_name="small", storage=f"sqlite:///{out / 'study.db'}")


def params_of(out: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in study_of(out).trials]


def sweep(path: Path, out: Path, *options: str, **changes: Any) -> int:
    return main(["sweep", "--config", write(path, **changes), "--out", str(out), *options])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, for tests that only read it."""
    folder = tmp_path_factory.mktemp("sweep")
    assert sweep(folder / "small.yaml", folder / "out") == 0
    return folder / "out"


def test_every_trial_is_an_ordinary_run_that_is_not_tested(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [read_run(path) for path in find_runs([done])]
    assert [run.path.parts[-3] for run in runs] == ["trial_000", "trial_001", "trial_002"]
    for run, trial in zip(runs, study_of(done).trials, strict=True):
        assert run.status == "ok"
        assert run.figures["val/loss"] == trial.value
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


def test_the_same_command_only_adds_what_is_missing(
    done: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert sweep(tmp_path / "small.yaml", out, "--trials", "2") == 0
    assert len(params_of(out)) == 2
    assert sweep(tmp_path / "small.yaml", out) == 0
    # a study in two parts is that in one
    assert params_of(out) == params_of(done)
    assert [trial.value for trial in study_of(out).trials] == [trial.value for trial in study_of(done).trials]
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out) == 0
    text = capsys.readouterr().out
    assert "3 of 3 trials are finished" in text
    assert len(params_of(out)) == 3
    assert f"python -m aeanomaly fit --config {out / 'best.yaml'}" in text


def test_a_trial_whose_process_died_is_begun_again(done: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1") == 0
    lost = params_of(done)[1]
    study = study_of(out)
    study.enqueue_trial(lost)
    distributions = study.trials[0].distributions
    study.ask(distributions)  # and never told: its state stays RUNNING
    (out / "trial_001" / "lightning_logs" / "version_0").mkdir(parents=True)
    assert sweep(tmp_path / "small.yaml", out) == 0
    states = [trial.state.name for trial in study_of(out).trials]
    assert states == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    params = params_of(out)
    assert params[1] == params[2] == lost
    assert [params[0], *params[2:]] == params_of(done)


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    press = {
        "class_path": "tests.commands.sweep.test_sweep.PressCtrlC",
        "init_args": {"pressed": str(tmp_path / "pressed")},
    }
    callbacks = [*SMALL["overrides"]["trainer.callbacks"], press]
    changes = {"overrides": SMALL["overrides"] | {"trainer.callbacks": callbacks}, "trials": 2}
    (tmp_path / "pressed").touch()
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1", **changes) == 0
    (tmp_path / "pressed").unlink()
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out, **changes) == 130
    text = capsys.readouterr().out
    assert "The same command continues" in text
    assert "best.yaml" in text
    assert sweep(tmp_path / "small.yaml", out, **changes) == 0
    assert [trial.state.name for trial in study_of(out).trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert params_of(out)[1] == params_of(out)[2]


def test_a_hopeless_trial_is_pruned_and_a_failed_one_does_not_stop_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    changes: dict[str, Any] = {
        "space": {"model.optimizer.lr": {"choices": [0.01, 1e-9, -1.0]}},
        "overrides": SMALL["overrides"] | {"trainer.max_epochs": 4},
        "min_epochs": 2,
        "startup_trials": 1,
    }
    assert sweep(tmp_path / "small.yaml", out, "--trials", "1", **changes, seed=good_first_seed()) == 0
    study = study_of(out)
    for rate in (-1.0, 1e-9):
        study.enqueue_trial({"model.optimizer.lr": rate})
    capsys.readouterr()
    assert sweep(tmp_path / "small.yaml", out, **changes, seed=good_first_seed()) == 0
    text = capsys.readouterr().out
    complete, failed, pruned = study_of(out).trials
    assert [trial.state.name for trial in (complete, failed, pruned)] == ["COMPLETE", "FAIL", "PRUNED"]
    assert re.search(r"trial 1 .*failed, .*Invalid learning rate: -1.*trial_001/log.txt", text)
    assert "trial 2 (lr 1e-09): pruned, hopeless after epoch 2" in text
    assert "complete 1, pruned 1, failed 1" in text
    run = read_run(out / "trial_002" / "lightning_logs" / "version_0")
    assert (run.status, run.reason) == ("unfinished", "pruned by its sweep")
    assert run.figures["epochs"] == 2


def good_first_seed() -> int:
    """A seed with which the first trial draws the first of three choices."""
    import numpy as np

    for seed in range(100):
        state = int(np.random.SeedSequence([seed, 0]).generate_state(1)[0])
        trial = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=state)).ask()
        if trial.suggest_categorical("model.optimizer.lr", [0.01, 1e-9, -1.0]) == 0.01:
            return seed
    raise AssertionError("there is one")


def test_a_net_that_diverges_is_pruned_without_any_pruner(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    changes = {"space": {"model.optimizer.lr": {"choices": [1e38]}}, "pruner": "none", "trials": 1}
    assert sweep(tmp_path / "small.yaml", out, **changes) == 2
    assert [trial.state.name for trial in study_of(out).trials] == ["PRUNED"]
    text, error = capsys.readouterr()
    assert "pruned, its weights are no longer finite in epoch 1" in text
    assert "no trial could be completed" in error
    assert error.count("\n") == 1


def test_hyperband(tmp_path: Path) -> None:
    assert sweep(tmp_path / "small.yaml", tmp_path / "out", pruner="hyperband", trials=2) == 0


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


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"monitor": "val/auroc/kmeans"}, "monitor cannot be chosen: a sweep minimises val/loss of normal images"),
    ({"direction": "maximize"}, "direction cannot be chosen"),
    ({"trails": 3}, "unknown key 'trails'; did you mean 'trials'?"),
    ({"base": ["nowhere.yaml"]}, "base: there is no file 'nowhere.yaml'"),
    ({"base": None}, "base must list config files"),
    ({"space": None}, "space must hold the keys to search"),
    ({"trials": None}, "trials must be a whole number, at least 1; it is missing"),
    ({"trials": 0}, "trials must be a whole number, at least 1; got 0"),
    ({"pruner": "median!"}, "pruner must be one of median, hyperband, none"),
    ({"study": "a/b"}, "study must be a name that can be that of a folder"),
    ({"storage": "study.db"}, "storage must be a URL"),
    ({"storage": "nosuch://host/db"}, "cannot use the storage of study 'small'"),
    ({"overrides": {"trainer.default_root_dir": "x"}}, "trainer.default_root_dir is set by the sweep itself"),
    ({"overrides": {"model.net.code_size": 3}}, "model.net.code_size is both fixed and in space"),
    ({"overrides": {"trainer.max_epoch": 3}}, "trainer.max_epoch"),
    ({"overrides": {"trainer.logger": False}}, "trainer.logger is set by the sweep itself"),
    ({"space": {"model.net.code_sice": {"low": 2, "high": 4}}}, "Option 'code_sice' is not accepted"),
    ({"space": {"model.net.code_size": {"low": 0.5, "high": 4}}}, "model.net.code_size: expected int, got '0.5'"),
    ({"space": {"model.net.code_size": {"choices": [2, "many"]}}}, "model.net.code_size: expected int, got 'many'"),
    ({"space": {"model.net.code_size": {"low": 2}}}, "space.model.net.code_size: high is missing"),
    ({"space": {"model.net.code_size": {"low": 8, "high": 4}}}, "space.model.net.code_size: "),
    ({"space": {"model.net.code_size": {"low": 0, "high": 4, "log": True}}}, "space.model.net.code_size: "),
    ({"space": {"model.net.code_size": {"low": "a", "high": 4}}}, "low must be a number, got 'a'"),
    ({"space": {"model.net.code_size": {"low": 1, "hihg": 4}}}, "unknown 'hihg'"),
    ({"space": {"model.net.code_size": {"choices": []}}}, "choices must be a list with something in it"),
    ({"space": {"model.net.code_size": {"choices": [3, 3]}}}, "choices has an entry twice"),
    ({"space": {"model.net.code_size": {"choices": [3], "low": 3}}}, "choices must be a list"),
    ({"space": {"model.net.code_size": 3}}, "must be {low: ..., high: ...} or {choices: [...]}, got 3"),
    ({"space": {"data.anomaly_classes": {"choices": [[0], [1]]}}}, "decides what trials are trained and judged on"),
    ({"space": {"seed_everything": {"low": 1, "high": 9}}}, "decides what trials are trained and judged on"),
    ({"space": {"model.thresholds.value": {"low": 1, "high": 9}}}, "on which val/loss does not depend"),
]


@pytest.mark.parametrize(("changes", "says"), MISTAKES, ids=lambda value: value if isinstance(value, str) else "")
def test_mistakes_are_one_line_before_the_first_trial(
    changes: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep(tmp_path / "small.yaml", tmp_path / "out", **changes) == 2
    error = capsys.readouterr().err
    assert error.startswith("aeanomaly: error: ")
    assert error.count("\n") == 1
    assert says in error
    assert not list(tmp_path.glob("out/trial_*"))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "sweep: the following arguments are required: --config"),
        (["--config", "nowhere.yaml"], "there is no file 'nowhere.yaml'"),
        (["--config", "{}", "--trials", "0"], "--trials must be at least 1, got 0"),
        (["--config", "{}", "--monitor", "val/auroc/kmeans"], "--monitor"),
        (["--config", "{}", "--out", "{}"], "cannot write to the folder"),
        (["--config", "{}", "--config", "{}"], "sweep takes one --config"),
    ],
)
def test_mistakes_on_the_command_line(
    words: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "small.yaml")
    assert main(["sweep", *(word.format(file) for word in words)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


def test_a_study_takes_no_trials_that_cannot_be_compared(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    longer = SMALL["overrides"] | {"trainer.max_epochs": 1}
    assert sweep(done.parent / "other.yaml", done, "--trials", "4", overrides=longer) == 2
    assert "was begun with another overrides" in capsys.readouterr().err
    assert len(params_of(done)) == 3


def test_two_sweeps_do_not_share_a_folder(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aeanomaly.commands.sweep.study import only_sweep

    with only_sweep(done):
        assert sweep(done.parent / "again.yaml", done) == 2
    assert "another sweep is at work in" in capsys.readouterr().err


def test_without_optuna_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert sweep(tmp_path / "small.yaml", tmp_path / "out") == 2
    assert capsys.readouterr().err == "aeanomaly: error: sweep needs Optuna: pip install 'aeanomaly[sweep]'\n"


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "sweep").glob("*.yaml")), ids=lambda path: path.stem)
def test_files_in_configs_sweep_are_right(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aeanomaly.commands.sweep.plan import read_plan
    from aeanomaly.commands.sweep.space import probes, read_space
    from aeanomaly.commands.sweep.trial import check

    monkeypatch.chdir(REPOSITORY)
    plan = read_plan(path)
    assert plan.study == path.stem
    check(plan, probes(read_space(plan.space)))


def test_every_key_is_explained_in_dense() -> None:
    from aeanomaly.commands.sweep import plan

    lines = (REPOSITORY / "configs" / "sweep" / "dense.yaml").read_text().splitlines()
    for key in plan._KEYS:
        (number,) = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        assert lines[number - 1].startswith("#"), key


def test_small_numbers_without_a_point_are_numbers() -> None:
    from aeanomaly.commands.sweep.space import read_space

    entry = yaml.safe_load("{low: 1e-4, high: 1e-2, log: true}")
    assert entry["low"] == "1e-4"  # what YAML makes of it
    assert read_space({"model.optimizer.lr": entry})["model.optimizer.lr"].low == 1e-4
