"""Nothing is chosen by what anomalous images show."""

from __future__ import annotations

from collections.abc import Iterable

from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import MetricName


def refuse_anomalous_monitors(monitors: Iterable[object]) -> None:
    """Check what checkpoints, early stopping and learning-rate schedules go by.

    Allowed is what is known to do without anomalous and test images: the training loss and its terms, ``val/loss``, and
    ``val/normal_accuracy/...``. Whatever else there is, or will be, is refused.

    Args:
        monitors: names of metrics; anything else, such as None, is passed over.

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
