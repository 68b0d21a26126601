"""What a command leaves undone until it is needed; how long things take is measured by performance/startup.py."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.commands.main import main
from aeanomaly.data.base import Arrays, OneClassDataModule
from tests.conftest import DEBUG, REPOSITORY

LATE = ("sklearn", "pandas")


class Noise(OneClassDataModule):
    """Images made without scikit-learn, which `Digits` reads its own with."""

    def load(self) -> Arrays:
        """1,000 images of the shape that debug.yaml expects."""
        images, labels = torch.randint(256, (1000, 1, 8, 8), dtype=torch.uint8), torch.arange(1000) % 2
        return Arrays(images, labels, images, labels)


class FirstStep(L.Callback):
    """Says what is loaded where the first step is about to begin, and leaves."""

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """The last hook before the first batch."""
        loaded = [name for name in ("torch", *LATE) if name in sys.modules]
        print(json.dumps({"loaded": loaded, "frozen": gc.get_freeze_count(), "collecting": gc.isenabled()}), flush=True)
        os._exit(0)


class OnlyParsed(AnomalyCLI):
    """Counts its parsers and stops when the options are parsed."""

    parsers = 0

    def init_parser(self, **kwargs: Any) -> Any:
        """Count."""
        self.parsers += 1
        return super().init_parser(**kwargs)

    def instantiate_classes(self) -> None:
        """Nothing."""

    def after_instantiate_classes(self) -> None:
        """Nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        pass


def test_first_step_does_without_what_only_later_ones_need(tmp_path: Path) -> None:
    words = ["fit", "--config", DEBUG, "--trainer.default_root_dir", str(tmp_path)]
    words += [
        "--data",
        "tests.commands.test_start_up.Noise",
        "--trainer.callbacks+",
        "tests.commands.test_start_up.FirstStep",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "aeanomaly", *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["loaded"] == ["torch"]
    assert said["collecting"]
    assert said["frozen"] > 100_000  # the modules: training is spared walking through them


def test_only_the_parser_of_the_command_is_built() -> None:
    cli = OnlyParsed("fit", ["--config", DEBUG])
    assert cli.parsers == 2  # that of the program and that of the command


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict"])
def test_every_command_has_its_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert not leaving.value.code
    assert "--trainer.max_epochs" in capsys.readouterr().out


def test_collector_of_the_caller_is_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    gc.unfreeze()  # what the tests have spared
    assert gc.isenabled()
    assert main(["fit", "--config", DEBUG, "--trainer.fast_dev_run", "true"]) == 0
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
    gc.freeze()  # as the other tests expect
