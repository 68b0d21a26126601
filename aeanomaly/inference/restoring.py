"""From a checkpoint alone to a detector, importing nothing that the checkpoint has no business to name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch
from jsonargparse import ArgumentError, set_parsing_settings
from lightning.pytorch.cli import instantiate_module

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.runs.checkpoints import read_checkpoint
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.scores.estimator import PACKAGES
from aeanomaly.training.module import LitAutoencoder

TRUSTED = ("aeanomaly", "torch", "torchvision", "lightning")
_PARTS = ("net", "scores", "thresholds")  # what judges; how it was trained is left alone
# What a part complains of by, that a checkpoint of others describes wrongly or larger than memory.
_UNBUILDABLE = (TypeError, ValueError, RuntimeError, AttributeError, OverflowError, MemoryError)
_LONGEST = 100_000  # pixels of a side, or features of a row


class Restored(NamedTuple):
    """What a checkpoint tells of itself."""

    detector: Detector  # in evaluation mode, on the CPU
    image_shape: tuple[int, int, int]  # (C, H, W)
    images: dict[str, Any]  # how pictures were brought to that shape, as far as the data said so


def restore(path: Path, allow_import: Sequence[str] = ()) -> Restored:
    """Build the detector of a checkpoint and load its weights, fitted scores and calibration.

    Classes come from the packages in `TRUSTED` only: naming another one, in whatever place and under whatever alias, is
    a mistake before it is imported, unless ``allow_import`` has its package or module.

    Args:
        path: of a checkpoint, or of a run, whose best checkpoint is taken.
        allow_import: further packages or modules, such as ``my_nets`` or ``sklearn.ensemble``.

    Raises:
        UserError: if there is no checkpoint, or it names other classes, does not say how it is built, does not fit what
            is built, was never fitted, or does not know the shape of its images.
    """
    path = find_checkpoint(path)
    content = read_checkpoint(path)
    config = content.get("hyper_parameters") or {}
    described = {name: config[name] for name in _PARTS if config.get(name) is not None}
    if "net" not in described:
        raise UserError(f"{path} does not say how its net is made: it was not trained by this program's commands")
    allowed = [*TRUSTED, *allow_import]
    for name in allow_import:
        if not all(part.isidentifier() for part in name.split(".")) or name.partition(".")[0] == "jsonargparse":
            raise UserError(f"--allow-import takes the name of a package or module, got {name!r}")
    module = _built(path, described, allowed)
    try:
        module.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        detail = " ".join(str(error).split()).partition(": ")[2]
        raise UserError(f"{path} is of another net, or of another program: {detail[:160]}") from None
    detector = module.detector.eval()
    for name, score in detector.score_modules.items():
        if not score.fitted or not detector.calibration(name).fitted:
            raise UserError(
                f"score {name!r} of {path} was never fitted: train it with at least one validation, and take the "
                "checkpoint of the run that was tested"
            )
    images = dict(content.get("images") or {})
    said = images.pop("shape", None) or module.net.image_shape or ()
    shape = tuple(said) if isinstance(said, (list, tuple)) else ()
    if len(shape) != 3 or not all(type(side) is int and 0 < side <= _LONGEST for side in shape):
        raise UserError(f"{path} does not know the shape of its images: it is of an older version; train it anew")
    if images.get("fit", "resize") not in ("resize", "crop"):
        raise UserError(f"{path} says that pictures are fitted by {images['fit']!r}, which this version does not know")
    return Restored(detector, shape, images)


def _refusal(path: Path, name: str) -> UserError:
    package = name.partition(".")[0]
    return UserError(
        f"{path} names {name}, which is not imported unasked; if you trust the checkpoint: --allow-import {package} "
        f"(in Python: allow_import=[{package!r}])"
    )


def _built(path: Path, described: dict[str, Any], allowed: Sequence[str]) -> LitAutoencoder:
    try:
        # Weights are about to be loaded: the caller's random numbers go on as if none had been drawn for them.
        with imports_from(allowed), torch.random.fork_rng(devices=[]):
            return instantiate_module(LitAutoencoder, described)
    except (ArgumentError, UserError, ImportError, *_UNBUILDABLE) as error:
        denied = re.search(r"Importing '([\w.]+)' is not allowed", str(error))
        if denied:
            raise _refusal(path, denied[1]) from None
        raise UserError(f"{path} cannot be built: {_reason(error)}") from error


def _reason(error: BaseException | None) -> str:
    """What a part of the detector complains of, which jsonargparse may have wrapped in others."""
    outer = error
    while error is not None:
        if isinstance(error, UserError):
            return str(error)
        error = error.__cause__ or error.__context__
    return " ".join(str(outer).split())[:300]


@contextmanager
def imports_from(allowed: Sequence[str]) -> Iterator[None]:
    """Have a description import from these packages only, whatever name they go by elsewhere (``torch.os.system``).

    What has a class or a function for its type is imported by jsonargparse, wherever and in whatever way it is written.
    The one thing that is not is the ``estimator`` of `aeanomaly.scores.estimator`, to jsonargparse a mere string.
    """
    # Its settings are public but there is no public way back from them, and what else is parsed in this process is not
    # for us to forbid.
    token = PACKAGES.set(tuple(allowed))
    try:
        with mock.patch.dict("jsonargparse._common.parsing_settings"):
            set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(allowed))
            yield
    finally:
        PACKAGES.reset(token)
