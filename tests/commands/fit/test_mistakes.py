"""Every mistake on the command line is one line on stderr, a non-zero status, and nothing left behind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from tests.conftest import DEBUG, REPOSITORY

FIT = ["fit", "--config", DEBUG]
BY_STEPS = ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", "20"]
OLD = sys.version_info < (3, 14)  # since then a name that is too long is that of no file, and a union is another type
PLATEAU = "lightning.pytorch.cli.ReduceLROnPlateau"
CSV_LOGGER = "lightning.pytorch.loggers.CSVLogger"
NESTED = str(REPOSITORY / "configs" / "nets" / "denoising.yaml")
STEP_LR = ["--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size"]
RECONSTRUCTION = "aeanomaly.scores.reconstruction.ReconstructionError"
FOLDER = "aeanomaly.data.sources.folder.PictureFolder"
IMPROVED = "[{class_path: aeanomaly.callbacks.fit_scores.FitScores, init_args: {when: improved}}]"
STOP_BY_AUROC = """
{class_path: lightning.pytorch.callbacks.EarlyStopping, init_args: {monitor: val/auroc/reconstruction, mode: max}}
"""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["trane"], "unknown command 'trane'"),
        (["--config", DEBUG, "fit"], "the command comes first"),
        (["fit"], "configs/base.yaml"),
        (["fit", DEBUG], f"unrecognized arguments: {DEBUG}; did you mean --config {DEBUG}?"),
        ([*FIT, "-"], "unrecognized arguments: -"),
        (["fit", "--config", "nowhere.yaml"], "there is no file 'nowhere.yaml'"),
        ([*FIT, "--trainer.max_epochs", "many"], "trainer.max_epochs: expected int or nothing, got 'many'"),
        ([*FIT, "--trainer.max_epoch", "3"], "there is no option --trainer.max_epoch; did you mean 'max_epochs'?"),
        ([*FIT, "--model.net.code_size", "five"], "model.net.code_size: expected int, got 'five'"),
        ([*FIT, "--model.net.code_size", "0"], "code_size=0"),
        ([*FIT, "--model.net.code_size", "100000000000"], "not enough memory"),
        ([*FIT, "--seed_everything", "-1"], "seed_everything must lie between 0 and 2**32 - 1"),
        ([*FIT, "--seed_everything", "4294967296"], "seed_everything must lie between 0 and 2**32 - 1"),
        ([*FIT, "--model.net", "nowhere.Net"], "model.net: nowhere.Net: No module named 'nowhere'"),
        (
            [*FIT, "--model.scores.kmeans.nclusters", "3"],
            "scores.kmeans.nclusters: aeanomaly.scores.kmeans.KMeans: Opt",
        ),
        (
            [*FIT, "--model.scores.kmeans.n_clusters", "x"],
            "model.scores.kmeans.n_clusters: expected int, got 'x'",
        ),
        (
            [*FIT, "--model.scores.kmean.n_clusters", "3"],
            "there is no 'kmean' in model.scores; to add one, give its cla",
        ),
        ([*FIT, "--model.thresholds.fixd.value", "3"], "there is no 'fixd' in model.thresholds"),
        ([*FIT, "--trainer.callbacks+", "aeanomaly.callbacks.No"], "trainer.callbacks: aeanomaly.callbacks.No: module"),
        ([*FIT, "--model.net.image_shape", "[1,28,28]"], "images are [1, 8, 8]"),
        (
            [*FIT, "--config", NESTED, "--model.net.net.image_shape", "[1,28,28]"],
            "images are [1, 8, 8] (C, H, W), but the net's image_shape is [1, 28, 28]: leave that out",
        ),
        (
            [*FIT, "--config", NESTED, "--model.net.net.image_shape", "null"],
            "null cannot be given to it on the co",
        ),
        ([*FIT, *STEP_LR, "0"], "model.lr_scheduler: StepLR: integer "),
        ([*FIT, "--model.lr_scheduler", "ReduceLROnPlateau"], "there are several classes ReduceLROnPlateau; give the"),
        (
            [*FIT, "--model.lr_scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "take lightning.pytorch.cli.ReduceLROnPlateau with monitor: val/loss",
        ),
        ([*FIT, "--model.lr_scheduler.step_size", "3"], "no class is named yet that takes 'step_size'; give it first"),
        ([*FIT, "--model.scores.kmeans.random_state", "-1"], "KMeans needs a random_state from 0 to 2**32 - 1, got -1"),
        ([*FIT, "--model.net.code_size", "99999999999999999999"], "not enough memory"),
        ([*FIT, "--model.scores.index", RECONSTRUCTION], "'index' is another column of test_scores.csv"),
        ([*FIT, "--model.scores", "{}"], "model.scores is empty: name at least one score"),
        ([*FIT, "--trainer.limit_train_batches", "0"], "trainer.limit_train_batches is 0: nothing would be trained"),
        ([*FIT, "--trainer.callbacks+"], "--trainer.callbacks+ needs a value; one that begins with - is given as --tr"),
        ([*FIT, "--trainer.callbacks+", "{class_path: 3}"], "callbacks+.class_path: expected a class, such as package"),
        (
            [*FIT, "--data", FOLDER, "--data.normal_classes", "null", "--data.folder", ""],
            "data.folder must be the na",
        ),
        (
            [*FIT, "--trainer.accumulate_grad_batches", "1" + 20 * "0"],
            "trainer.accumulate_grad_batches must lie between",
        ),
        ([*FIT, "--model.optimizer.lr", "0"], "model.optimizer.lr is 0: nothing would be learned; give a number"),
        ([*FIT, "--model.optimizer.lr", "-1"], "Invalid learning rate: -1"),
        ([*FIT, "--model.optimizer.lr", "nan"], "model.optimizer.lr: expected float, got 'nan'; YAML writes .nan"),
        ([*FIT, "--model.optimizer.lr", "null"], "model.optimizer.lr: expected float, got null"),
        ([*FIT, "--model.optimizer.lr", "-inf"], "--model.optimizer.lr needs a value; one that begins with - is given"),
        ([*FIT, "--model.optimizer.lrr", "3"], "Adam: Option 'lrr' is not accepted; did you mean 'lr'?"),
        (
            [*FIT, "--model.optimizer", "os.system"],
            "model.optimizer: expected a subclass of Optimizer, got 'os.system'",
        ),
        (
            [*FIT, "--model.lr_scheduler", PLATEAU],
            "ReduceLROnPlateau needs monitor; give it as --model.lr_scheduler.mo",
        ),
        (
            [*FIT, "--trainer.callbacks", IMPROVED],
            "no ModelCheckpoint keeps that one: add one with monitor: val/loss, or take when: always",
        ),
        (
            [*FIT, "--model.lr_scheduler", "{}"],
            f"model.lr_scheduler: expected {'a class' if OLD else 'nothing or a subclass of LRScheduler, got {}'}",
        ),
        (
            [*FIT, "--trainer.logger", CSV_LOGGER],
            "CSVLogger needs save_dir; give it as --trainer.logger.save_dir VALUE",
        ),
        ([*FIT, "--trainer.logger", f"[{CSV_LOGGER}]"], "CSVLogger needs save_dir"),
        ([*FIT, "--model.net.hidden", "null"], "model.net.hidden: expected Sequence[int], got null"),
        ([*FIT, "--model.net", "x"], "model.net: expected a class, such as package.module.Class, got 'x'"),
        ([*FIT, "--data.batch_size", "null"], "data.batch_size: expected int, got null"),
        ([*FIT, "--data.batch_size", ""], "data.batch_size: expected int, got ''"),
        ([*FIT, "--data.split_seed", "99999999999999999999"], "data.split_seed must lie between"),
        ([*FIT, "--model", "x"], "model: expected keys and values, or a YAML file with some"),
        ([*FIT, "--model.scores", "{1: aeanomaly.scores.kmeans.KMeans}"], "the name 1 must be without"),
        ([*FIT, "--trainer.callbacks", "no.yaml"], "trainer.callbacks: there is no file 'no.yaml'"),
        (
            [*FIT, "--trainer.devices", "-1"],
            "trainer.devices is '-1': `devices` selected with `CPUAccelerator` should be",
        ),
        ([*FIT, "--trainer.accelerator", "x"], "You selected an invalid accelerator name: `accelerator='x'`"),
        ([*FIT, "--trainer.accumulate_grad_batches", "0"], "trainer.accumulate_grad_batches must be at least 1, got 0"),
        (
            [*FIT, "--trainer", "{accumulate_grad_batches: 0}"],
            "trainer.accumulate_grad_batches must be at least 1, got 0",
        ),
        (
            [*FIT, "--trainer.val_check_interval", "1000000"],
            "`val_check_interval` (1000000) must be less than or equal",
        ),
        ([*FIT, "--model.thresholds.fixed.scores", "[a]"], None),
        ([*FIT, "--model.scores", "{a/b: aeanomaly.scores.kmeans.KMeans}"], "the name 'a/b' must be without"),
        ([*FIT, "--model.scores", "{keys: aeanomaly.scores.kmeans.KMeans}"], "choose another name"),
        ([*FIT, "--trainer.max_epochs", "3", "--trainer.check_val_every_n_epoch", "2"], "is no multiple of"),
        ([*FIT, *BY_STEPS, "--trainer.max_steps", "30"], "this fit has 30 batches"),
        ([*FIT, "--trainer.callbacks+", STOP_BY_AUROC], "looks at anomalous images"),
        ([*FIT, "--model.lr_scheduler", PLATEAU, "--model.lr_scheduler.monitor", "val/aupr/kmeans"], "looks at anomal"),
        ([*FIT, "--data.anomaly_classes", "[11]"], "names class 11, which is not in the data"),
        ([*FIT, "--data.anomaly_classes", "[1,1]"], "names a class twice"),
        ([*FIT, "--data.anomaly_classes", "[]"], "leaves no anomalous class"),
        ([*FIT, "--data.anomaly_classes", "[0,1,2,3,4,5,6,7,8,9]"], "leaves no normal class"),
        ([*FIT, "--data.anomaly_classes", "null"], "exactly one of"),
        ([*FIT, "--data.normal_classes", "[1]"], "exactly one of"),
        ([*FIT, "--data.anomaly_classes", "[no]"], "got [False]; YAML takes no and 1.5 for text in quotes only"),
        ([*FIT, "--data.val_fraction", "1.5"], "val_fraction must lie strictly between 0 and 1, got 1.5"),
        ([*FIT, "--data.contamination", "-0.1"], "contamination must be at least 0"),
        ([*FIT, "--data.contamination", "0.9"], "data.contamination 0.9 needs"),
        ([*FIT, "--data.batch_size", "-3"], "batch_size must be at least 1, got -3"),
        ([*FIT, "--data.eval_batch_size", "0"], "eval_batch_size must be at least 1, got 0"),
        ([*FIT, "--data.val_fraction", "0.01"], "from 13 normal validation images: it takes 19; add normal"),
        ([*FIT, "--ckpt_path", "nowhere.ckpt"], "there is no file 'nowhere.ckpt'"),
        (["test"], "test needs --ckpt_path"),
        (["test", "--config", DEBUG], "test needs --ckpt_path"),
        (["predict", "--ckpt_path", "nowhere.ckpt"], "there is no file 'nowhere.ckpt'"),
        ([*FIT, "--ckpt_path", "."], "--ckpt_path: '.' is a folder, name a checkpoint"),
        (["fit", "--config"], "--config needs the name of a file"),
        (["fit", "--config", "."], "--config: '.' is a folder, name a YAML file"),
        (["fit", "--config", "a" * 300], "a: File name too long" if OLD else "there is no file 'aaa"),
        (["compare", "b" * 300], "b: File name too long" if OLD else "there is no run or folder 'bbb"),
        (["export", "--ckpt_path", ""], "an empty word stands where the value of --ckpt_path should be"),
    ],
)
def test_one_line_and_nothing_left_behind(
    words: list[str],
    says: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    if says is None:  # not a mistake after all, in the same conditions
        assert main([*words, "--trainer.max_epochs", "1"]) == 0
        return
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert error[0].startswith("aeanomaly: error: ")
    assert says in error[0]
    assert not list(tmp_path.glob("lightning_logs/*"))


def test_a_checkpoint_named_by_a_config_may_be_taken_away_by_the_next(tmp_path: Path) -> None:
    named, none = tmp_path / "named.yaml", tmp_path / "none.yaml"
    named.write_text("ckpt_path: some.ckpt\n")
    none.write_text("ckpt_path: null\n")
    words = ["--config", str(none), "--config", str(named)]
    assert complete_options("test", words) == words
    with pytest.raises(UserError, match="test needs --ckpt_path"):
        complete_options("test", ["--config", str(named), "--config", str(none)])


def test_unreadable_config_is_named_with_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("trainer:\n  max_epochs: [\n")
    assert main(["fit", "--config", str(bad)]) == 2
    assert f"{bad}, line 3 is not valid YAML" in capsys.readouterr().err


def test_unknown_key_in_a_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typo = tmp_path / "typo.yaml"
    typo.write_text("trainer:\n  max_epoch: 3\n")
    assert main([*FIT, "--config", str(typo)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "trainer.max_epoch" in error


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command} " in shown for command in ("fit", "validate", "test", "predict"))
