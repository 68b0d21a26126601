"""Mistakes in a sweep file or in the options of `sweep`, each in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.main import main
from tests.commands.sweep.parts import sweep, write

optuna = pytest.importorskip("optuna", reason="optuna is not installed: pip install 'aeanomaly[sweep]'")


MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"monitor": "val/auroc/kmeans"}, "monitor cannot be chosen: a sweep minimises val/loss of normal images"),
    ({"direction": "maximize"}, "direction cannot be chosen"),
    ({"trails": 3}, "unknown key 'trails'; did you mean 'trials'?"),
    ({"base": ["nowhere.yaml"]}, "base: there is no file 'nowhere.yaml'"),
    ({"base": None}, "base must be given"),
    ({"space": None}, "space must be given"),
    ({"trials": None}, "trials must be given"),
    ({"trials": 0}, "trials must be at least 1, got 0"),
    ({"pruner": "median!"}, "pruner: expected one of median, hyperband, none or nothing"),
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
    ({"space": {"model.net.code_size": {"low": 2}}}, "space.model.net.code_size: high must be given"),
    ({"space": {"model.net.code_size": {"low": 8, "high": 4}}}, "space.model.net.code_size: "),
    ({"space": {"model.net.code_size": {"low": 0, "high": 4, "log": True}}}, "space.model.net.code_size: "),
    ({"space": {"model.net.code_size": {"low": "a", "high": 4}}}, "low: expected int or float, got 'a'"),
    ({"space": {"model.net.code_size": {"low": 1, "hihg": 4}}}, "unknown key 'hihg'; did you mean 'high'?"),
    ({"space": {"model.net.code_size": {"choices": []}}}, "choices must be a list with something in it"),
    ({"space": {"model.net.code_size": {"choices": [3, 3]}}}, "choices has an entry twice"),
    ({"space": {"model.net.code_size": {"choices": [3], "low": 3}}}, "unknown key 'low'"),
    ({"space": {"model.net.code_size": 3}}, "must be {low: ..., high: ...} or {choices: [...]}, got 3"),
    ({"space": {"data.anomaly_classes": {"choices": [[0], [1]]}}}, "decides what trials are trained and judged on"),
    ({"space": {"seed_everything": {"low": 1, "high": 9}}}, "decides what trials are trained and judged on"),
    ({"space": {"data.size": {"choices": [32, 64]}}}, "decides what trials are trained and judged on"),
    ({"space": {"data.init_args.test_on": {"choices": ["test", "development"]}}}, "space has data.test_on, which"),
    ({"space": {"trainer.limit_val_batches": {"low": 1, "high": 3}}}, "decides what trials are trained and judged on"),
    ({"space": {"trainer.overfit_batches": {"low": 1, "high": 3}}}, "decides what trials are trained and judged on"),
    ({"space": {"model": {"choices": [{}]}}}, "space has model, a whole section: name the keys in it, such as model."),
    ({"space": {"data": {"choices": [{}]}}}, "space has data, a whole section"),
    ({"space": {"data.init_args": {"choices": [{}]}}}, "space has data.init_args, a whole section"),
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
        (["--config", "{}", "--trials", "0"], "--trials: expected a number from 1 to 999,999,999, got '0'"),
        (["--config", "{}", "--monitor", "val/auroc/kmeans"], "--monitor"),
        (["--config", "{}", "--trial", "3"], "there is no option --trial; did you mean 'trials'?"),
        (["--config", "{}", "--trainer.max_epoch", "3"], "no option --trainer.max_epoch; did you mean 'max_epochs'?"),
        (["--config", "{}", "--trainer.callbacks+", "null"], "trainer.callbacks+ adds to a list, and got nothing"),
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


def test_without_optuna_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert sweep(tmp_path / "small.yaml", tmp_path / "out") == 2
    assert capsys.readouterr().err == "aeanomaly: error: sweep needs Optuna: pip install 'aeanomaly[sweep]'\n"
