"""A small sweep on the digits, for the tests of `sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import yaml

from aeanomaly.commands.main import main
from tests.conftest import DEBUG

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
    import optuna  # an extra

    return optuna.load_study(study_name="small", storage=f"sqlite:///{out / 'study.db'}")


def params_of(out: Path) -> list[dict[str, Any]]:
    return [trial.params for trial in study_of(out).trials]


def sweep(path: Path, out: Path, *options: str, **changes: Any) -> int:
    return main(["sweep", "--config", write(path, **changes), "--out", str(out), *options])
