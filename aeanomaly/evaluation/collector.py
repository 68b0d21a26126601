"""Collects what an evaluation pass yields, batch by batch, and gathers it over devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from aeanomaly.distributed.gather import gather_in_order, gather_rows
from aeanomaly.errors import UserError
from aeanomaly.evaluation.row_buffer import GrowingColumns
from aeanomaly.outputs import Batch, Evaluation, Output
from aeanomaly.scores.base import Score


class Collector:
    """The state of one evaluation pass on one device.

    Scores are computed batch by batch, so that only numbers are kept. While fitting, scores that are fitted on
    validation images cannot be known before the pass ends; for them, and only then, the output fields they read are
    kept instead.

    Args:
        scores: the scores by name.
    """

    def __init__(self, scores: Mapping[str, Score]) -> None:
        self.scores = scores
        self.reset()

    def reset(self, defer_fitted: bool = False) -> None:
        """Start a new pass; ``defer_fitted`` postpones fitted scores to its end."""
        self._deferred = {name for name, score in self.scores.items() if defer_fitted and score.fitted_on}
        self._kept_fields = sorted({field for name in self._deferred for field in self.scores[name].reads})
        self._columns, self._outputs = GrowingColumns(), GrowingColumns()
        self._batch_sizes: list[int] = []
        self._loss_sum = 0.0
        self._loss_count = 0
        self.cached: Evaluation | None = None

    def add(self, batch: Batch, output: Output) -> dict[str, Tensor]:
        """Score a batch, remember the result, and return the scores known by now; ``output`` is float32."""
        scores = {name: _score(score, output) for name, score in self.scores.items() if name not in self._deferred}
        columns = {"label": batch.label, "is_anomaly": batch.is_anomaly, "index": batch.position, "code": output.code}
        self._columns.add(columns | scores)
        self._batch_sizes.append(len(batch.position))
        if self._deferred:
            self._outputs.add(output.only(self._kept_fields).tensors())
        return scores

    def add_loss(self, loss: Tensor, count: int) -> None:
        """Account for the mean loss of ``count`` normal images."""
        self._loss_sum = self._loss_sum + float(loss) * count
        self._loss_count += count

    def mean_loss(self, strategy: Strategy) -> Tensor:
        """Mean loss over the normal images of all devices."""
        pair = torch.tensor([[self._loss_sum, self._loss_count]], dtype=torch.float64)
        total, count = gather_rows(pair, strategy).sum(0).tolist()
        # On the device, because Lightning reduces what is logged there; NCCL knows no tensors on the CPU.
        return torch.tensor(total / count if count else float("nan"), dtype=torch.float32, device=strategy.root_device)

    def normal_outputs(self, reads: Sequence[str], strategy: Strategy) -> Output:
        """The kept fields of the normal images of all devices, ordered by index."""
        columns = self._local_columns()
        normal = ~columns["is_anomaly"]
        kept = Output.from_tensors(self._outputs.columns()).only(reads)
        local = {name: value[normal] for name, value in kept.tensors().items()}
        return Output.from_tensors(gather_in_order(local, columns["index"][normal], strategy))

    def _local_columns(self) -> dict[str, Tensor]:
        if not self._batch_sizes:
            raise UserError("there is nothing to evaluate: the evaluation loader yielded no batch")
        return self._columns.columns()

    def evaluation(self, strategy: Strategy, thresholds: dict[str, dict[str, float]]) -> Evaluation:
        """Everything gathered; computed once per pass, or again after ``cached`` was set to None.

        ``thresholds`` is always taken as given: it may change while the scores stay.
        """
        if self.cached is None:
            self.cached = self._gather(strategy)
        return dataclasses.replace(self.cached, thresholds=thresholds)

    def _gather(self, strategy: Strategy) -> Evaluation:
        columns = self._local_columns()
        if self._deferred:
            columns |= self._deferred_scores()
        rows = {name: rows.cpu() for name, rows in gather_in_order(columns, columns["index"], strategy).items()}
        return Evaluation(
            scores={name: rows[name] for name in self.scores},
            thresholds={},
            code=rows["code"],
            label=rows["label"],
            is_anomaly=rows["is_anomaly"],
            index=rows["index"],
        )

    def _deferred_scores(self) -> dict[str, Tensor]:
        """In the batches in which the images came: a score may need far more memory for a batch than it returns."""
        pieces = {name: kept.split(self._batch_sizes) for name, kept in self._outputs.columns().items()}
        scores = GrowingColumns()
        for number in range(len(self._batch_sizes)):
            output = Output.from_tensors({name: piece[number] for name, piece in pieces.items()})
            scores.add({name: _score(self.scores[name], output) for name in self._deferred})
        return scores.columns()


def _score(score: Score, output: Output) -> Tensor:
    if not score.fitted:
        raise UserError(
            f"score {score.name!r} was never fitted: train with aeanomaly.callbacks.fit_scores.FitScores first in "
            "trainer.callbacks, or use a checkpoint of such a run"
        )
    values: Tensor = score(output)
    images = len(next(iter(output.tensors().values())))
    if values.shape != (images,):
        raise UserError(f"score {score.name!r} must return one number per image, got shape {tuple(values.shape)}")
    return values.float()
