"""Nothing is chosen by what anomalous images show."""

from __future__ import annotations

from collections.abc import Iterable

from aeanomaly.errors import UserError

# Metrics that look at anomalous images, or at test images. Those of normal validation images may choose.
_FORBIDDEN = ("val/auroc", "val/aupr", "val/fpr95", "val/anomaly_accuracy", "test/")


def refuse_anomalous_monitors(monitors: Iterable[object]) -> None:
    """Check what checkpoints, early stopping and learning-rate schedules go by.

    Args:
        monitors: names of metrics; anything else, such as None, is passed over.

    Raises:
        UserError: if one of them is computed from anomalous or from test images.
    """
    for monitor in monitors:
        if isinstance(monitor, str) and monitor.startswith(_FORBIDDEN):
            raise UserError(
                f"monitor {monitor!r} looks at anomalous images, which must not choose anything: use val/loss, or "
                "val/normal_accuracy/..."
            )
