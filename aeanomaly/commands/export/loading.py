"""From a checkpoint, or a run, to its detector."""

from __future__ import annotations

from pathlib import Path

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.runs.checkpoints import read_checkpoint
from aeanomaly.training.module import LitAutoencoder


def find_checkpoint(path: Path) -> Path:
    """The checkpoint itself, or that of a run which was tested: the best one, or the last where none was chosen.

    Raises:
        UserError: if there is none.
    """
    if not path.is_dir():
        return path
    for pattern in ("best-*.ckpt", "last.ckpt"):
        found = sorted((path / "checkpoints").glob(pattern))
        if len(found) > 1:
            raise UserError(f"{path} has several best checkpoints: name one of {', '.join(p.name for p in found)}")
        if found:
            return found[0]
    raise UserError(f"there is no checkpoint in {path / 'checkpoints'}")


def load_detector(path: Path) -> tuple[Detector, tuple[int, int, int] | None]:
    """The detector of a checkpoint file in evaluation mode on the CPU, and the (C, H, W) that its net takes.

    Raises:
        UserError: if the file is no checkpoint, does not say how its net is made, or a score was never fitted.
    """
    if "net" not in read_checkpoint(path).get("hyper_parameters", {}):
        raise UserError(f"{path} does not say how its net is made: it was not trained by this program's commands")
    module = LitAutoencoder.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    detector = module.detector.eval()
    for name, score in detector.score_modules.items():
        if not score.fitted or not detector.calibration(name).fitted:
            raise UserError(
                f"score {name!r} of {path} was never fitted: train it with at least one validation, and take the "
                "checkpoint of the run that was tested"
            )
    return detector, module.net.image_shape
