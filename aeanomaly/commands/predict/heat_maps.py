"""A PNG for each picture and each score that gives a map: the picture with its heat over it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from joblib import cpu_count
from PIL import Image
from torch import Tensor

from aeanomaly.data.ahead import ahead
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Judgement
from aeanomaly.evaluation.heat import heat, heat_scale
from aeanomaly.inference.anomaly_detector import AnomalyDetector
from aeanomaly.plots.overlay import overlay
from aeanomaly.runs.files import written_whole


class HeatMapFiles:
    """Draws what a detector sees, a batch at a time.

    Args:
        folder: for the files; ``a/07.jpg`` becomes ``a/07.jpg.<score>.png`` in it.
        detector: what judges.
        relative: from the name of a picture to its place in the folder.

    Attributes:
        count: files written.

    Raises:
        UserError: if no score of the detector gives a map, its images are no pictures, or there can be no such folder.
    """

    def __init__(self, folder: Path, detector: AnomalyDetector, relative: Callable[[str], Path]) -> None:
        try:
            detector.require_maps()
        except UserError as error:
            raise UserError(f"--heatmaps: {error}") from None
        if detector.image_shape[0] not in (1, 3):
            raise UserError(
                f"--heatmaps draws over images of 1 or 3 channels, and the net takes {detector.image_shape[0]}"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--heatmaps: cannot make the folder {folder}: {error.strerror or error}") from None
        self.folder, self.count = folder, 0
        self._detector, self._relative = detector, relative
        self._normal = {name: detector.detector.calibration(name).normal_scores.cpu() for name in detector.mapped}

    def judge_and_draw(self, names: Sequence[str], images: Tensor) -> dict[str, Judgement]:
        """As `AnomalyDetector.judge_batch`, when the files of these (B, C, H, W) images are written.

        Raises:
            UserError: if one cannot be.
        """
        judged, maps = self._detector.explain_batch(images)

        def todo() -> Iterator[tuple[Path, Tensor, Tensor]]:
            for score, places in maps.items():
                heated = heat(places, judged[score].score, self._normal[score])
                for name, image, hot in zip(names, images, heated, strict=True):
                    place = self.folder / self._relative(name)
                    yield place.with_name(f"{place.name}.{score}.png"), image, hot

        # Compressing lets other threads work. Nothing is kept of what is done.
        deque(ahead(_write, todo(), 2 * cpu_count()), maxlen=0)
        self.count += len(names) * len(maps)
        return judged

    def said(self) -> list[str]:
        """What the user should know of the files, a line each."""
        lines = [f"Heat maps: {self.count:,} in {self.folder}"]
        for score, normal in self._normal.items():
            begin, middle, end = heat_scale(normal)
            lines.append(
                f"Colours of {score}: none up to {begin:.4g}, green at {middle:.4g}, red at {end:.4g}, or at the score "
                "of a picture if that is higher"
            )
        return lines


def _write(item: tuple[Path, Tensor, Tensor]) -> None:
    path, image, hot = item
    with written_whole(path) as partial:
        Image.fromarray(overlay(image, hot)).save(partial)
