"""The finished product: from images to scores, p-values, decisions and maps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.evaluation.thresholds import Calibration, Threshold
from aeanomaly.outputs import IMAGE_COLUMNS, Output
from aeanomaly.scores.base import Score


class Judgement(NamedTuple):
    """What one score says of a batch of images."""

    score: Tensor  # (B,) float32, higher = more anomalous
    p_value: Tensor  # (B,) float32, how rare so high a score is among normal images
    decision: dict[str, Tensor]  # name of the threshold -> (B,) bool, whether the score lies above it, or is NaN


class Detector(nn.Module):
    """A net that yields an `Output`, the anomaly scores of its outputs, and their calibration by normal images.

    Training, evaluation and checkpoints use this one module.

    Raises:
        UserError: if a name cannot be part of a tag, or a column of its own.
    """

    def __init__(self, net: nn.Module, scores: Mapping[str, Score], thresholds: Mapping[str, Threshold]) -> None:
        super().__init__()
        for kind, names in (("scores", scores), ("thresholds", thresholds)):
            for name in names:
                if not isinstance(name, str) or not name or any(character in name for character in "/@. "):
                    wanted = "must be without any of / @ . and spaces, and text"
                    raise UserError(f"model.{kind}: the name {name!r} {wanted}")
                if kind == "scores" and name in IMAGE_COLUMNS:
                    raise UserError(f"model.scores: {name!r} is another column of test_scores.csv; choose another name")
        before: set[str] = set()
        for name, score in scores.items():
            for other in score.reads_scores:
                if other not in before:
                    raise UserError(f"model.scores.{name} is made of {other!r}, which must be listed before it")
            before.add(name)
        self.net = net
        try:
            self.scores = nn.ModuleDict(dict(scores))
        except KeyError as error:  # it has some names for itself, such as ``keys``
            raise UserError(f"model.scores: {error.args[0]}; choose another name") from None
        self.thresholds = dict(thresholds)
        for name, rule in self.thresholds.items():
            rule.name = name
        self.calibrations = nn.ModuleDict({name: Calibration() for name in scores})
        self._parts = {other for score in scores.values() for other in score.reads_scores}
        self._again = any(field.startswith("again.") for score in scores.values() for field in score.reads)

    @property
    def score_modules(self) -> dict[str, Score]:
        """The scores by name."""
        return {name: cast("Score", score) for name, score in self.scores.items()}

    def calibration(self, score: str) -> Calibration:
        """The calibration of the score of this name."""
        return cast("Calibration", self.calibrations[score])

    def fitted_on_half(self, score: str) -> bool:
        """Whether half of the normal validation images fit this score, or one that it is made of.

        The other half calibrates it: an image has a lower score where it was fitted on, so that the rate of false
        alarms would be above what a threshold promises.
        """
        module = self.score_modules[score]
        return module.fitted_on == "validation" or any(map(self.fitted_on_half, module.reads_scores))

    def forget(self, names: Iterable[str]) -> None:
        """Leave scores of these names, and those that are made of them, as if they had never been fitted."""
        gone = set(names)
        for name, score in self.score_modules.items():  # what a score is made of stands before it
            if name in gone or gone.intersection(score.reads_scores):
                gone.add(name)
                score.forget()
                self.calibration(name).forget()

    def threshold_values(self, score: str) -> dict[str, float]:
        """The value of each threshold that applies to a score, by name, as far as it is known."""
        calibration = self.calibration(score)
        return {
            name: rule.fit(calibration.normal_scores)
            for name, rule in self.thresholds.items()
            if rule.applies_to(score) and (calibration.fitted or not rule.needs_normal_scores)
        }

    def complete(self, output: Output) -> Output:
        """The net's output in float32, with that for its own reconstruction if a score asks for it."""
        if self._again:
            # A net of features does not take its reconstruction for an image; one that is no Autoencoder has no say.
            output = output.with_again(getattr(self.net, "again", self.net)(output.reconstruction))
        return output.float()

    def output(self, images: Tensor) -> Output:
        """What the scores read of (B, C, H, W) images, as for `forward`."""
        kinds = (parameter.dtype for parameter in self.net.parameters() if parameter.is_floating_point())
        pixels = images.to(next(kinds, torch.float32))
        return self.complete(self.net(pixels / 255 if images.dtype == torch.uint8 else pixels))

    def forward(self, images: Tensor) -> dict[str, Judgement]:
        """Judge (B, C, H, W) images, uint8 in 0..255 or floating-point in [0, 1], by every score.

        Raises:
            UserError: if a score needs fitting and was not fitted.
        """
        return self.judge(self.output(images))

    def judge(self, output: Output) -> dict[str, Judgement]:
        """As `forward`, for an output in float32.

        Raises:
            UserError: if a score needs fitting and was not fitted.
        """
        judgements = {}
        for name in self.scores:
            score = self.score(name, output)
            if name in self._parts:
                output = output.extended({f"scores.{name}": self.calibration(name).standardised(score)})
            # A NaN is above: as the rarest of all, by its p-value too.
            decision = {threshold: ~(score <= value) for threshold, value in self.threshold_values(name).items()}
            judgements[name] = Judgement(score, self.calibration(name).p_value(score), decision)
        return judgements

    def explain(self, images: Tensor) -> dict[str, Tensor]:
        """(B, H, W) float32 maps of (B, C, H, W) images, as for `forward`, by the name of each score that has one.

        Raises:
            UserError: if such a score needs fitting and was not fitted.
        """
        return self.maps(self.output(images), images.shape[-2:])

    def maps(self, output: Output, size: Sequence[int]) -> dict[str, Tensor]:
        """(B, *size) maps for an output in float32, resized bilinearly, by the name of each score that has one.

        Raises:
            UserError: if such a score needs fitting and was not fitted.
        """
        found = {name: self.map(name, output, size) for name in self.scores}
        return {name: places for name, places in found.items() if places is not None}

    def map(self, name: str, output: Output, size: Sequence[int]) -> Tensor | None:
        """The map of the score of this name, as for `maps`; None if it has none of what the net makes of images.

        Raises:
            UserError: if the score has maps, needs fitting and was not fitted.
        """
        if not self.score_modules[name].gives_map:
            return None
        score = self._fitted(name)
        places = score.score_map(output.only(score.reads))
        if places is None:
            return None
        return functional.interpolate(places.unsqueeze(1), tuple(size), mode="bilinear").squeeze(1)

    def score(self, name: str, output: Output) -> Tensor:
        """(B,) float32 scores of this name for an output in float32.

        Raises:
            UserError: if the score needs fitting and was not fitted.
        """
        score = self._fitted(name)
        return score.score(output.only(score.reads))

    def _fitted(self, name: str) -> Score:
        score = self.score_modules[name]
        if not score.fitted:
            raise UserError(
                f"score {name!r} was never fitted: train it first, with at least one validation, or use a checkpoint "
                "of such a run; FitScores with `when: improved` leaves it out of those that are not the best so far"
            )
        return score
