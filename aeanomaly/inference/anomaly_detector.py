"""The detector for whoever has images and wants to know which are anomalous."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from functools import cached_property
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aeanomaly.data.pictures import Geometry
from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.detector import Detector, Judgement
from aeanomaly.evaluation.discoveries import discoveries
from aeanomaly.inference.images import Images, batches
from aeanomaly.inference.restoring import restore
from aeanomaly.runs.reading import Run

# Of a batch of images: 4 MiB of float32 stay in the cache of a processor, which costs a convolutional net a fifth less.
_NUMBERS_AT_ONCE = {"cpu": 2**20, "cuda": 2**24}


class Prediction(NamedTuple):
    """What one score says of N images."""

    score: NDArray[np.float32]  # (N,), higher = more anomalous
    p_value: NDArray[np.float32]  # (N,), how rare so high a score is among normal images
    decision: dict[str, NDArray[np.bool_]]  # name of the threshold -> (N,), whether the score lies above it


class AnomalyDetector:
    """Scores, p-values and decisions for images of any kind; `load` makes one from a checkpoint.

    Images are one or many of: arrays and tensors, (H, W), (C, H, W), (H, W, C) or with N in front, uint8 from 0 to 255
    or floating-point from 0 to 1; PIL images; paths. A list may mix them, and sizes; a generator is read up to two
    batches ahead of what is scored, and may fill one array again and again. They are brought to the size that the net
    takes as its training pictures were; pictures and files also to its channels, which arrays must have. Of a PIL image
    with frames the current one is meant. Scores are computed in float32.

    Args:
        detector: net, scores and calibration, in evaluation mode.
        image_shape: (C, H, W) that the net takes.
        fit: how pictures of another shape are brought to it, see `aeanomaly.data.pictures.Geometry`.
        device: where to compute, such as ``cpu`` or ``cuda``; ``auto`` or None for a GPU if there is one.
        batch_size: images at a time; None for what suits their size and the device.

    Attributes:
        geometry: what pictures are made into.
        main: the score that is meant where none is named: the last one that is made of others, such as a fusion, or
            else the first.

    Raises:
        UserError: if there is no such device, or the batch size is no whole number of at least 1.
    """

    def __init__(
        self,
        detector: Detector,
        image_shape: tuple[int, int, int],
        fit: Literal["resize", "crop"] = "resize",
        device: str | torch.device | None = "auto",
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and not (isinstance(batch_size, Integral) and batch_size >= 1):
            raise UserError(f"batch_size must be a whole number of at least 1, or None, got {batch_size!r}")
        self.device = _device(device)
        self.detector = detector.eval().to(self.device)
        self.image_shape = image_shape
        channels, height, width = image_shape
        self.geometry = Geometry(height, width, fit, cast("Literal[1, 3]", channels))  # arrays may have others
        by_size = _NUMBERS_AT_ONCE.get(self.device.type, 2**24) // math.prod(image_shape)
        self.batch_size = batch_size or min(1024, max(16, by_size))
        fused = [name for name, score in detector.score_modules.items() if score.reads_scores]
        self.main = fused[-1] if fused else next(iter(detector.score_modules))

    @property
    def score_names(self) -> list[str]:
        """The scores of the checkpoint, in its order."""
        return list(self.detector.score_modules)

    def score(self, images: Images, score: str | None = None) -> NDArray[np.float32]:
        """(N,) scores of the images, higher = more anomalous, by the main score or the one of this name.

        Raises:
            UserError: for an unknown score, or what is no image that the net can take.
        """
        return self.predict(images, score).score

    def predict(
        self, images: Images, score: str | None = None, false_discovery_rate: float | None = None
    ) -> Prediction:
        """Scores, p-values and decisions of the images by the main score, or the one of this name.

        Args:
            images: see the class.
            score: its name.
            false_discovery_rate: such as 0.1, for a further decision, named ``fdr0.1``: of the images that it flags
                among these, at most this share is normal in expectation, see `aeanomaly.evaluation.discoveries`.

        Raises:
            UserError: as `score`, or if the rate is not in (0, 1).
        """
        name = score or self.main
        if name not in self.score_names:
            raise UserError(f"the checkpoint has no score {name!r}; {suggestion(name, self.score_names)}")
        if false_discovery_rate is None:
            return self.judge(images)[name]
        discoveries(np.empty(0), false_discovery_rate)  # a rate that is none is told of before images are judged
        found = self.judge(images)[name]
        flagged = discoveries(found.p_value, false_discovery_rate)
        return found._replace(decision={**found.decision, f"fdr{false_discovery_rate:g}": flagged})

    def judge(self, images: Images) -> dict[str, Prediction]:
        """What every score says of the images, by its name.

        Raises:
            UserError: if there are none, or for what is no image that the net can take.
        """
        judged = [self.judge_batch(batch) for batch in batches(images, self.geometry, self.batch_size)]
        if not judged:
            raise UserError("there are no images to score")
        return {name: _together([judgements[name] for judgements in judged]) for name in self.score_names}

    @cached_property
    def mapped(self) -> list[str]:
        """The scores that give a map of what this net makes of images; found by having it look at a black one."""
        with torch.inference_mode():
            return list(self.detector.explain(torch.zeros((1, *self.image_shape), device=self.device)))

    def explain(self, images: Images) -> dict[str, NDArray[np.float32]]:
        """Where the images are anomalous: (N, H, W) maps in the size of the net's images, by the name of the score.

        Each score has its own unit, and some give no map. All maps are in memory: 4 H W bytes for each image and score.

        Raises:
            UserError: if no score gives a map, there are no images, or for what is no image that the net can take.
        """
        self.require_maps()
        mapped = [self.explain_batch(batch)[1] for batch in batches(images, self.geometry, self.batch_size)]
        if not mapped:
            raise UserError("there are no images to explain")
        return {name: torch.cat([maps[name] for maps in mapped]).numpy() for name in self.mapped}

    def require_maps(self) -> None:
        """Refuse a checkpoint whose scores cannot say where.

        Raises:
            UserError: if none of them gives a map; it names those that would.
        """
        if not self.mapped:
            raise UserError(
                f"no score of the checkpoint gives a map (it has {', '.join(self.score_names)}): train anew with a "
                "PatchKNN, by --config configs/scores/where.yaml behind best.yaml or pure.yaml, or with a "
                "ReconstructionError"
            )

    @torch.inference_mode()
    def explain_batch(self, images: Tensor) -> tuple[dict[str, Judgement], dict[str, Tensor]]:
        """As `judge_batch` and `explain`, for a (B, C, H, W) tensor that the net looks at once."""
        output = self.detector.output(images.to(self.device))
        maps = self.detector.maps(output, images.shape[-2:])
        return _on_cpu(self.detector.judge(output)), {name: places.cpu() for name, places in maps.items()}

    @torch.inference_mode()
    def judge_batch(self, images: Tensor) -> dict[str, Judgement]:
        """As `judge`, for a (B, C, H, W) tensor of what the net takes; the result is on the CPU."""
        return _on_cpu(self.detector(images.to(self.device)))


def load(
    path: str | Path | Run,
    *,
    device: str | torch.device | None = "auto",
    batch_size: int | None = None,
    allow_import: Sequence[str] = (),
) -> AnomalyDetector:
    """The detector of a checkpoint, or of a run (its best checkpoint), ready to score images.

    Nothing but tensors and plain values is read from the file, and classes that it names come from this package, torch,
    torchvision and lightning, or from packages and modules in ``allow_import``.

    Args:
        path: of the checkpoint or of the run; or a run itself, which `aeanomaly.fit` gives back.
        device: see `AnomalyDetector`.
        batch_size: see `AnomalyDetector`.
        allow_import: such as ``["my_nets", "sklearn"]``.

    Raises:
        UserError: if there is no checkpoint, it cannot be used, or as `AnomalyDetector`.
    """
    place = path.path if isinstance(path, Run) else path
    if not isinstance(place, (str, os.PathLike)):
        raise UserError(f"load takes a run, or the path of a run or a checkpoint, not {type(place).__name__}")
    restored = restore(Path(place), allow_import)
    fit: dict[str, Any] = {"fit": restored.images["fit"]} if "fit" in restored.images else {}
    return AnomalyDetector(restored.detector, restored.image_shape, **fit, device=device, batch_size=batch_size)


def _device(name: str | torch.device | None) -> torch.device:
    if name in ("auto", None):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # "meta" has no numbers
    except (RuntimeError, AssertionError, ImportError, TypeError) as error:
        reason = str(error).splitlines()[0].partition(". ")[0]  # more is for whoever builds torch
        reason = "there are cpu, cuda, cuda:1, ..." if reason.startswith("Expected one of") else reason
        raise UserError(f"there is no device {name!r} here: {reason}") from None
    return device


def _on_cpu(judged: dict[str, Judgement]) -> dict[str, Judgement]:
    return {
        name: Judgement(score.cpu(), p_value.cpu(), {key: flags.cpu() for key, flags in decision.items()})
        for name, (score, p_value, decision) in judged.items()
    }


def _together(judged: list[Judgement]) -> Prediction:
    return Prediction(
        torch.cat([one.score for one in judged]).numpy(),
        torch.cat([one.p_value for one in judged]).numpy(),
        {name: torch.cat([one.decision[name] for one in judged]).numpy() for name in judged[0].decision},
    )
