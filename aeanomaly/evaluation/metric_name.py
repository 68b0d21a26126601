"""What a metric is called, in logs, files, tables and options, and which metrics may choose anything."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aeanomaly.errors import UserError

RANKING = ("auroc", "aupr", "fpr95")  # of a score alone
LOCALISING = ("pixel_auroc", "aupro")  # of the map of a score, where there are masks of the anomalous places
ACCURACIES = ("normal_accuracy", "anomaly_accuracy")  # of a score at a threshold
_STAGES = ("train", "val", "test")


@dataclass(frozen=True)
class MetricName:
    """The parts of a tag such as ``val/loss``, ``test/auroc/kmeans`` or ``test/normal_accuracy/kmeans@alarm5``.

    Attributes:
        stage: ``train``, ``val`` or ``test``: whose images it is computed from.
        metric: what is computed, such as ``auroc``, ``normal_accuracy`` or ``loss``.
        score: name of the anomaly score; empty for a metric of the net, such as the loss.
        threshold: name of the threshold; empty for a metric that needs none.
    """

    stage: str
    metric: str
    score: str = ""
    threshold: str = ""

    def __str__(self) -> str:
        score = f"/{self.score}" if self.score else ""
        return f"{self.stage}/{self.metric}{score}{'@' if self.threshold else ''}{self.threshold}"

    @property
    def column(self) -> str:
        """Metric and threshold without stage and score, such as ``normal_accuracy@alarm5``."""
        return f"{self.metric}@{self.threshold}" if self.threshold else self.metric

    @classmethod
    def parse(cls, tag: str) -> MetricName | None:
        """The parts of a tag; None for anything else, such as ``fit_seconds`` or ``threshold/kmeans@alarm5``."""
        stage, _, rest = tag.partition("/")
        metric, _, rest = rest.partition("/")
        score, at, threshold = rest.partition("@")
        if stage not in _STAGES or not metric or "/" in score or bool(at) != bool(threshold):
            return None
        return cls(stage, metric, score, threshold)

    @classmethod
    def of_column(cls, stage: str, column: str, score: str) -> MetricName:
        """The inverse of `column`."""
        metric, _, threshold = column.partition("@")
        return cls(stage, metric, score, threshold)

    @property
    def higher_is_better(self) -> bool | None:
        """Which way the metric is better; None if that is not known."""
        if self.metric in ("auroc", "aupr", *LOCALISING, *ACCURACIES):
            return True
        return False if self.metric == "fpr95" or self.metric.endswith("loss") else None

    @property
    def looks_at_anomalies(self) -> bool:
        """Whether anomalous images have a part in the value. Whatever is not known to do without them has."""
        if self.stage == "train":
            return False  # a training step sees no label; its images are normal, or unlabelled
        return self.metric not in ("loss", "normal_accuracy")


def refuse_anomalous_monitors(monitors: Iterable[object]) -> None:
    """Check what checkpoints, early stopping and learning-rate schedules go by.

    Allowed is what is known to do without anomalous and test images: the training loss and its terms, ``val/loss``, and
    ``val/normal_accuracy/...``. Whatever else there is, or will be, is refused; what is no string is passed over.

    Raises:
        UserError: if one of them is not allowed.
    """
    for monitor in monitors:
        if not isinstance(monitor, str):
            continue
        name = MetricName.parse(monitor)
        if name is None or name.stage == "test" or name.looks_at_anomalies:
            raise UserError(
                f"monitor {monitor!r} looks at anomalous images, or is not known to do without; they must not choose "
                "anything: use val/loss, or val/normal_accuracy/..."
            )
