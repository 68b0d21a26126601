"""Fitting scores on normal images, on one device for all."""

from __future__ import annotations

from collections.abc import Mapping
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
from aeanomaly.scores.base import Score


def fit_scores(collector: Collector, trainer: L.Trainer) -> None:
    """Fit the scores that waited for the end of the pass.

    Scores fitted on training images share one pass over these. Anomalous images have no part in it.

    Raises:
        UserError: if a score cannot be fitted, or needs training images that the data module does not offer.
    """
    detector, strategy = collector.detector, trainer.strategy
    waiting = {name: score for name, score in detector.score_modules.items() if name in collector.deferred}
    on_training = {name: score for name, score in waiting.items() if score.fitted_on == "train"}
    training = _training_outputs(on_training, detector, trainer) if on_training else {}
    for name, score in waiting.items():
        outputs = training[name] if name in training else collector.outputs_to_fit(score.reads, strategy)
        on_rank_zero(partial(score.fit, outputs), strategy)
        if trainer.world_size > 1:
            # load_state_dict also resizes buffers to the fitted shape.
            score.load_state_dict(broadcast_tensors(dict(score.named_buffers()), strategy))


@torch.no_grad()
def _training_outputs(scores: Mapping[str, Score], detector: Detector, trainer: L.Trainer) -> dict[str, Output]:
    """What each score is fitted on, of the training images without shuffling, gathered over devices, ordered by index.

    A field is kept once for all scores that need the whole of it; a score that draws a sample has that to itself.
    """
    loader: Any = getattr(getattr(trainer, "datamodule", None), "train_in_order_dataloader", None)
    if loader is None:
        raise UserError(f"score {next(iter(scores))!r} is fitted on training images, which needs a OneClassDataModule")
    kept, batches = RowBuffer(), loader()
    columns_of: dict[str, dict[str, str]] = {}  # of each score, by field
    with trainer.precision_plugin.val_step_context():
        for batch in batches:
            batch = trainer.strategy.batch_to_device(batch)
            output, rows = detector.complete(detector.net(batch.image)), {"index": batch.index}
            for name, score in scores.items():
                whole = output.only(score.reads)
                sample = score.sample(whole, batch.index, len(batches.dataset))
                prefix = "" if sample is None else f"{name}/"  # which no name of a field or score contains
                found = (whole if sample is None else sample).tensors()
                columns_of[name] = {field: prefix + field for field in found}
                rows |= {prefix + field: values for field, values in found.items()}
            kept.add(rows)
    columns = kept.columns()
    index = columns.pop("index")
    gathered = gather_in_order(columns, index, trainer.strategy)
    return {
        name: Output.from_tensors({field: gathered[column] for field, column in fields.items()})
        for name, fields in columns_of.items()
    }
