"""Collects what an evaluation pass yields, batch by batch, and gathers it over devices."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from aeanomaly.distributed.gather import gather_in_order, gather_rows
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.metrics import score_metrics
from aeanomaly.evaluation.row_buffer import RowBuffer
from aeanomaly.outputs import Batch, Evaluation, Output


class Collector:
    """The state of one evaluation pass on one device.

    Scores are computed batch by batch, so that only numbers are kept. Scores that are about to be fitted cannot be
    known before the pass ends; for them, and only then, the output fields they read are kept instead.

    Args:
        detector: whose scores are computed.

    Attributes:
        deferred: names of the scores that wait for the end of the pass.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector
        self.reset()

    def reset(self, defer_fitted: bool = False) -> None:
        """Start a new pass; ``defer_fitted`` postpones the scores that need fitting to its end."""
        scores = self.detector.score_modules
        self.deferred = {name for name, score in scores.items() if defer_fitted and score.fitted_on}
        self._kept_fields = sorted({field for name in self.deferred for field in scores[name].reads})
        self._columns, self._outputs = RowBuffer(), RowBuffer()
        self._batch_sizes: list[int] = []
        self._loss_sum = 0.0
        self._loss_count = 0
        self._mean_loss: Tensor | None = None
        self._skipped: set[str] = set()
        self._gathered: dict[str, Tensor] | None = None

    def add(self, batch: Batch, output: Output) -> dict[str, Tensor]:
        """Score a batch, remember the result, and return the scores known by now; ``output`` is float32."""
        scores = {name: self._score(name, output) for name in self.detector.scores if name not in self.deferred}
        code = output.code.flatten(1)
        columns = {"label": batch.label, "is_anomaly": batch.is_anomaly, "index": batch.index, "code": code}
        self._columns.add(columns | scores)
        self._batch_sizes.append(len(batch.index))
        if self.deferred:
            self._outputs.add(output.only(self._kept_fields).tensors())
        return scores

    def add_loss(self, loss: Tensor, count: int) -> None:
        """Account for the mean loss of ``count`` normal images."""
        self._loss_sum = self._loss_sum + float(loss) * count
        self._loss_count += count

    def mean_loss(self, strategy: Strategy) -> Tensor:
        """Mean loss over the normal images of all devices; call it when the pass is over, on every device."""
        if self._mean_loss is None:
            pair = torch.tensor([[self._loss_sum, self._loss_count]], dtype=torch.float64)
            total, count = gather_rows(pair, strategy).sum(0).tolist()
            mean = total / count if count else float("nan")
            # On the device, because Lightning reduces what is logged there; NCCL knows no tensors on the CPU.
            self._mean_loss = torch.tensor(mean, dtype=torch.float32, device=strategy.root_device)
        return self._mean_loss

    def normal_outputs(self, reads: Iterable[str], strategy: Strategy) -> Output:
        """The kept fields of the normal images of all devices, ordered by index."""
        columns = self._local_columns()
        normal = ~columns["is_anomaly"]
        kept = Output.from_tensors(self._outputs.columns()).only(reads)
        local = {name: value[normal] for name, value in kept.tensors().items()}
        return Output.from_tensors(gather_in_order(local, columns["index"][normal], strategy))

    def skip(self, names: Iterable[str]) -> None:
        """Leave scores out of this pass, because what they were fitted on is another state of the net."""
        self._skipped |= set(names)

    def _local_columns(self) -> dict[str, Tensor]:
        if not self._batch_sizes:
            raise UserError("there is nothing to evaluate: the evaluation loader yielded no batch")
        return self._columns.columns()

    def scores(self, strategy: Strategy) -> dict[str, Tensor]:
        """The (N,) scores of all images, gathered once and ordered by index, on the CPU."""
        rows = self._rows(strategy)
        return {name: rows[name] for name in self.detector.scores if name in rows}

    def normal_scores(self, strategy: Strategy) -> dict[str, Tensor]:
        """The scores of the normal images."""
        normal = ~self._rows(strategy)["is_anomaly"]
        return {name: scores[normal] for name, scores in self.scores(strategy).items()}

    def evaluation(self, strategy: Strategy) -> Evaluation:
        """Everything gathered, with thresholds and metrics by the calibration as it is now."""
        rows, scores = self._rows(strategy), self.scores(strategy)
        thresholds = {name: self.detector.threshold_values(name) for name in scores}
        return Evaluation(
            scores=scores,
            thresholds=thresholds,
            code=rows["code"],
            label=rows["label"],
            is_anomaly=rows["is_anomaly"],
            index=rows["index"],
            metrics={
                name: score_metrics(values, rows["is_anomaly"], thresholds[name]) for name, values in scores.items()
            },
        )

    def _rows(self, strategy: Strategy) -> dict[str, Tensor]:
        if self._gathered is None:
            columns = self._local_columns() | self._deferred_scores()
            gathered = gather_in_order(columns, columns["index"], strategy)
            self._gathered = {name: rows.cpu() for name, rows in gathered.items()}
        return self._gathered

    def _deferred_scores(self) -> dict[str, Tensor]:
        """In the batches in which the images came: a score may need far more memory for a batch than it returns."""
        names = self.deferred - self._skipped
        if not names:
            return {}
        pieces = {name: kept.split(self._batch_sizes) for name, kept in self._outputs.columns().items()}
        scores = RowBuffer()
        for number in range(len(self._batch_sizes)):
            output = Output.from_tensors({name: piece[number] for name, piece in pieces.items()})
            scores.add({name: self._score(name, output) for name in names})
        return scores.columns()

    def _score(self, name: str, output: Output) -> Tensor:
        score = self.detector.score_modules[name]
        return self.detector.checked(name, score).score(output.only(score.reads))
