"""An autoencoder as an outlier detector of scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from numbers import Integral
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from typing_extensions import Self

from aeanomaly import models, scores
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import conformal_rank, halves
from aeanomaly.models.base import Autoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.training.running_loss import total

_AT_ONCE = 1024  # rows that the net looks at, after training


class OutlierDetector(OutlierMixin, BaseEstimator):
    """Trains an autoencoder on rows that are all taken to be normal, and flags what it scores higher than these.

    It fits into pipelines and searches. Rows are images, flattened, or features; these are brought to 0..1 by the range
    of each, images by that of all pixels. A share of the rows is not trained on, and has no part in the ranges: it
    shows what is a high score, so that at most ``alpha`` of new normal rows are flagged, in the mean over many fits,
    where the share has at least 1/alpha - 1 rows. A score that is fitted on held-out rows, such as KMeans, leaves half
    of them for that.

    Args:
        net: name of a class of `aeanomaly.models` that needs no more than the shape of the images; or whatever makes a
            net of that shape, such as ``lambda shape: ConvolutionalAutoencoder(shape, code_size=8)``.
        anomaly_score: name of a class of `aeanomaly.scores` that needs no argument, or whatever makes a score.
        image_shape: (C, H, W) of the images; None for features, which are an image of one row of pixels.
        steps: optimiser steps (Adam).
        batch_size: rows in each.
        learning_rate: of the steps.
        alpha: share of normal rows that may be flagged, in (0, 1).
        val_fraction: share of the rows that is not trained on.
        random_state: seed of weights, split and order; None draws one.

    Attributes:
        detector_: net, score and its calibration.
        offset_: what `score_samples` is compared with.
        n_features_in_: number of features.
    """

    def __init__(
        self,
        net: str | Callable[[tuple[int, int, int]], Autoencoder] = "DenseAutoencoder",
        *,
        anomaly_score: str | Callable[[], Score] = "ReconstructionError",
        image_shape: tuple[int, int, int] | None = None,
        steps: int = 300,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        alpha: float = 0.05,
        val_fraction: float = 0.2,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.net, self.anomaly_score, self.image_shape = net, anomaly_score, image_shape
        self.steps, self.batch_size, self.learning_rate = steps, batch_size, learning_rate
        self.alpha, self.val_fraction, self.random_state = alpha, val_fraction, random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on (N, D) rows; ``y`` is not looked at.

        Raises:
            ValueError: for rows that are no numbers, too few of them, or not of ``image_shape``; for an alpha or share
                outside (0, 1), or steps or rows in each that are no whole number of at least 1; for a net or score that
                cannot be made; if training diverges.
        """
        rows = validate_data(self, X, dtype=np.float64, ensure_min_samples=2)
        for name in ("alpha", "val_fraction"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        for name in ("steps", "batch_size"):
            if not _counts(getattr(self, name)):
                raise ValueError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        shape = self._shape(rows.shape[1])
        generator = check_random_state(self.random_state)
        order = generator.permutation(len(rows))
        held_out = min(len(rows) - 1, max(1, round(self.val_fraction * len(rows))))
        # Held-out rows have no part in the ranges: new ones have none either, and leave them more often.
        seen, axis = rows[order[held_out:]], 0 if self.image_shape is None else None
        self.low_, self.range_ = seen.min(axis), np.ptp(seen, axis)
        self.range_ = np.where(self.range_ > 0, self.range_, 1)
        images = self._images(rows, shape)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(generator.randint(2**31 - 1)))
            net: Autoencoder = _made("net", self.net, models, Autoencoder, image_shape=shape)
            score: Score = _made("anomaly_score", self.anomaly_score, scores, Score)
            self._train(net, images[order[held_out:]])
            self.detector_ = Detector(net, {"score": score}, {}).eval()
            self._calibrate(images[order[held_out:]], images[order[:held_out]])
        normal = self.detector_.calibration("score").normal_scores
        if not normal.isfinite().all():
            raise ValueError("scores of held-out rows are not finite: lower learning_rate, or scale the features")
        self.offset_ = -float(normal[min(conformal_rank(len(normal), self.alpha), len(normal)) - 1])
        return self

    def _train(self, net: Autoencoder, images: Tensor) -> None:
        optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], self.learning_rate)
        net.train()
        order = torch.empty(0, dtype=torch.int64)
        for _ in range(self.steps):
            if not len(order):
                order = torch.randperm(len(images))
            batch, order = order[: self.batch_size], order[self.batch_size :]
            loss = total(net.training_loss(images[batch])[0])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        net.eval()

    @torch.no_grad()
    def _calibrate(self, trained_on: Tensor, held_out: Tensor) -> None:
        detector = self.detector_
        score = detector.score_modules["score"]
        if score.fitted_on == "validation":  # a row has a lower score where the score was fitted on it
            trained_on, calibrating = halves(held_out)
            held_out = calibrating if len(calibrating) else held_out
        if score.fitted_on is not None:
            read, index = [], torch.arange(len(trained_on)).split(_AT_ONCE)
            for output, numbers in zip(self._outputs(trained_on), index, strict=True):
                whole = output.only(score.reads)
                read.append((score.sample(whole, numbers, len(trained_on)) or whole).tensors())
            score.fit(Output.from_tensors({name: torch.cat([piece[name] for piece in read]) for name in read[0]}))
        found = [detector.score("score", output) for output in self._outputs(held_out)]
        detector.calibration("score").fit(torch.cat(found))

    def _outputs(self, images: Tensor) -> Iterator[Output]:
        """What the net makes of the rows, some at a time: every layer of all takes many times their memory."""
        return map(self.detector_.output, images.split(_AT_ONCE))

    def _shape(self, features: int) -> tuple[int, int, int]:
        if self.image_shape is None:
            return 1, 1, features
        if np.shape(self.image_shape) != (3,) or not all(map(_counts, self.image_shape)):
            raise ValueError(
                "image_shape must be channels, height and width, three whole numbers of at least 1, such as "
                f"(1, 28, 28), got {self.image_shape!r}"
            )
        channels, height, width = map(int, self.image_shape)
        if channels * height * width != features:
            pixels = f"{(channels, height, width)} has {channels * height * width} pixels"
            raise ValueError(f"image_shape {pixels}, the rows have {features}")
        return channels, height, width

    def _images(self, rows: NDArray[Any], shape: tuple[int, ...]) -> Tensor:
        scaled = (rows - self.low_) / self.range_  # in float64: of a time in seconds float32 has no minutes
        with np.errstate(over="ignore"):  # what lies too far out for float32 is flagged
            return torch.from_numpy(scaled.astype(np.float32)).view(-1, *shape)

    @torch.no_grad()
    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(N,) anomaly scores with the sign changed: the lower, the more anomalous."""
        check_is_fitted(self)
        rows = validate_data(self, X, dtype=np.float64, reset=False)
        images = self._images(rows, self._shape(rows.shape[1]))
        found = [self.detector_(piece)["score"].score for piece in images.split(_AT_ONCE)]
        return cast("NDArray[np.float64]", -torch.cat(found).double().numpy())

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """(N,) `score_samples` less ``offset_``: negative for what is flagged."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:  # noqa: N803
        """(N,) -1 for what is flagged, which includes what has no finite score, 1 for the rest."""
        return np.where(self.decision_function(X) >= 0, 1, -1)


def _counts(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def _made(option: str, given: object, package: ModuleType, base: type, **known: object) -> Any:
    """What an option names, a class of a package, or makes, for the arguments that are known.

    Raises:
        ValueError: if there is no such class, or the arguments are not all that it needs, or it makes something else.
    """
    if isinstance(given, str):
        kind = getattr(package, given, None)
        if kind is None:
            raise ValueError(f"{option}: there is no class {given!r} in {package.__name__}")
        if not (isinstance(kind, type) and issubclass(kind, base) and not inspect.isabstract(kind)):
            raise ValueError(
                f"{option}: {package.__name__}.{given} is no {base.__name__}: give one of these, or a "
                "function or class that makes one"
            )
        signature = inspect.signature(kind.__init__)
        known = {name: value for name, value in known.items() if name in signature.parameters}
        try:
            signature.bind(None, **known)
        except TypeError as error:
            raise ValueError(
                f"{option}: {given} is not made by its name alone ({error}): give a function, such as one that "
                f"returns {given}(...)"
            ) from None
        made = kind(**known)
    elif isinstance(given, nn.Module) or not callable(given):
        what = f"an instance of {type(given).__name__}"
        raise ValueError(f"{option}: {what} cannot be made anew for each fit: give a function or class that makes one")
    else:
        made = given(*known.values())
    if not isinstance(made, base):
        raise ValueError(f"{option}: what is given makes no {base.__name__}, but {type(made).__name__}")
    return made
