"""Fitting scores on normal images, on one device for all."""

from __future__ import annotations

from functools import partial
from typing import Any

import lightning as L
import torch

from aeanomaly.distributed.gather import broadcast_tensors, gather_in_order, on_rank_zero
from aeanomaly.errors import UserError
from aeanomaly.evaluation.collector import Collector
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.row_buffer import RowBuffer
from aeanomaly.outputs import Output


def fit_scores(collector: Collector, trainer: L.Trainer) -> None:
    """Fit the scores that waited for the end of the pass.

    Scores fitted on training images share one pass over these. Anomalous images have no part in it.

    Raises:
        UserError: if a score cannot be fitted, or needs training images that the data module does not offer.
    """
    detector, strategy = collector.detector, trainer.strategy
    waiting = {name: score for name, score in detector.score_modules.items() if name in collector.deferred}
    on_training = {name: score for name, score in waiting.items() if score.fitted_on == "train"}
    if on_training:
        fields = sorted({field for score in on_training.values() for field in score.reads})
        training = _training_outputs(fields, detector, trainer, next(iter(on_training)))
    for name, score in waiting.items():
        reads = score.reads
        outputs = training.only(reads) if name in on_training else collector.outputs_to_fit(reads, strategy)
        on_rank_zero(partial(score.fit, outputs), strategy)
        if trainer.world_size > 1:
            # load_state_dict also resizes buffers to the fitted shape.
            score.load_state_dict(broadcast_tensors(dict(score.named_buffers()), strategy))


@torch.no_grad()
def _training_outputs(fields: list[str], detector: Detector, trainer: L.Trainer, asked_by: str) -> Output:
    """The outputs of the training images without shuffling, gathered over all devices, ordered by index."""
    loader: Any = getattr(getattr(trainer, "datamodule", None), "train_in_order_dataloader", None)
    if loader is None:
        raise UserError(f"score {asked_by!r} is fitted on training images, which needs a OneClassDataModule")
    kept = RowBuffer()
    with trainer.precision_plugin.val_step_context():
        for batch in loader():
            batch = trainer.strategy.batch_to_device(batch)
            output = detector.complete(detector.net(batch.image)).only(fields)
            kept.add({"index": batch.index} | output.tensors())
    columns = kept.columns()
    index = columns.pop("index")
    return Output.from_tensors(gather_in_order(columns, index, trainer.strategy))
