"""When the maps of scores are drawn, and measured by masks."""

from __future__ import annotations

import lightning as L

from aeanomaly.callbacks.base import EvaluationCallback, autoencoder
from aeanomaly.callbacks.first_images import in_order, rows_to_keep
from aeanomaly.errors import UserError
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.evaluation.pixel_metrics import PixelCounts
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.plots.anomaly_maps import Mapped, anomaly_maps
from aeanomaly.training.module import LitAutoencoder


class HeatMaps(EvaluationCallback):
    """Shows, and measures, where scores find test images anomalous: those scores that give a map.

    The first normal and anomalous images are drawn with their maps as ``test/heat_maps/<score>``, which is also saved
    as a PNG in the run. Where the data module has masks of the test images, these are drawn too, and
    ``test/pixel_auroc/<score>`` and ``test/aupro/<score>`` are logged, see `PixelCounts`. Maps are first resized to the
    masks or images bilinearly.

    Args:
        images: how many of each kind are drawn.

    Raises:
        UserError: if it is negative.
    """

    only_validations_of_a_fit = True

    def __init__(self, images: int = 8) -> None:
        super().__init__(every_n_epochs=None)
        if images < 0:
            raise UserError(f"HeatMaps: images must be at least 0, got {images}")
        self.images = images
        self._kept: list[Mapped] = []
        self._counts: dict[str, PixelCounts] = {}

    def on_images(self, trainer: L.Trainer, output: Output, batch: Batch, stage: str) -> None:
        """Count the pixels of all images, and keep the first images of each kind."""
        if stage != "test":
            return
        every_mask = getattr(getattr(trainer, "datamodule", None), "test_masks", None)
        masks = None if every_mask is None else every_mask[batch.index.cpu()]
        wanted = self._wanted(trainer, batch)
        if masks is None and not wanted:
            return
        size = batch.image.shape[-2:] if masks is None else masks.shape[-2:]
        maps = autoencoder(self, trainer.lightning_module).detector.maps(output, size)
        if masks is not None:
            for name, places in maps.items():
                self._counts.setdefault(name, PixelCounts()).add(places, masks)
        for row in wanted if maps else ():
            mask = None if masks is None else masks[row]
            shown = {name: places[row].cpu() for name, places in maps.items()}
            kind, index = bool(batch.is_anomaly[row]), int(batch.index[row])
            self._kept.append(Mapped(batch.image[row].cpu(), shown, mask, kind, index))

    def _wanted(self, trainer: L.Trainer, batch: Batch) -> list[int]:
        """Rows of the batch that are drawn."""
        if batch.image.shape[1] not in (1, 3) or self.writer(trainer) is None:
            return []
        return rows_to_keep(self._kept, batch, self.images)

    def on_evaluation(self, trainer: L.Trainer, module: LitAutoencoder, evaluation: Evaluation, stage: str) -> None:
        """Log the metrics of all devices together, and draw."""
        kept, self._kept = self._kept, []
        counts, self._counts = self._counts, {}
        for name, mine in counts.items():  # on all devices: each has had every batch, if only an empty share of it
            for metric, value in mine.gathered(trainer.strategy).metrics().items():
                module.log(str(MetricName(stage, metric, name)), value, sync_dist=True)
        if not kept:
            return
        kept, rows = in_order(kept, evaluation)
        classes = [str(label) for label in evaluation.label[rows].tolist()]
        for name in kept[0].maps:
            captions = {"class": classes, "score": [f"{score:.3g}" for score in evaluation.scores[name][rows].tolist()]}
            self.show(trainer, anomaly_maps(kept, name, captions), f"{stage}/heat_maps/{name}", f"heat_maps_{name}")
