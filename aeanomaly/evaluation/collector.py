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
from aeanomaly.evaluation.thresholds import halves
from aeanomaly.outputs import Batch, Evaluation, Output


class Collector:
    """The state of one evaluation pass on one device.

    Scores are computed batch by batch, so that only numbers are kept. Scores that are about to be fitted cannot be
    known before the pass ends; for them, and only then, the output fields they read are kept instead.

    Args:
        fits: whether scores and calibration are fitted on this pass.

    Attributes:
        deferred: names of the scores that wait to be fitted at the end of the pass; a name that is taken out leaves the
            score out of the pass.
    """

    def __init__(self, detector: Detector, fits: bool = False) -> None:
        self.detector, self.fits = detector, fits
        scores = detector.score_modules
        self.deferred = {name for name, score in scores.items() if fits and score.fitted_on}
        self._fused = {name for name, score in scores.items() if score.reads_scores}
        self._kept_fields = sorted({field for name in self.deferred for field in scores[name].reads})
        self._columns, self._outputs = RowBuffer(), RowBuffer()
        self._batch_sizes: list[int] = []
        self._loss_sum = 0.0
        self._loss_count = 0

    def add(self, batch: Batch, output: Output) -> dict[str, Tensor]:
        """Score a batch, remember the result, and return the scores known by now; ``output`` is float32."""
        known = [name for name in self.detector.scores if name not in self.deferred | self._fused]
        scores = {name: self.detector.score(name, output) for name in known}
        code = output.code.flatten(1)
        columns = {"label": batch.label, "is_anomaly": batch.is_anomaly, "index": batch.index, "code": code}
        self._columns.add(columns | {f"scores.{name}": values for name, values in scores.items()})
        self._batch_sizes.append(len(batch.index))
        if self.deferred:
            self._outputs.add(output.only(self._kept_fields).tensors())
        return scores

    def add_loss(self, loss: Tensor, count: int) -> None:
        """Account for the mean loss of ``count`` normal images."""
        self._loss_sum = self._loss_sum + float(loss) * count
        self._loss_count += count

    def mean_loss(self, strategy: Strategy) -> float:
        """Mean loss over the normal images of all devices, in float32 as it is logged; every device must call it."""
        pair = torch.tensor([[self._loss_sum, self._loss_count]], dtype=torch.float64)
        total, count = gather_rows(pair, strategy).sum(0).tolist()
        return torch.tensor(total / count if count else torch.nan, dtype=torch.float32).item()

    def outputs_to_fit(self, reads: Iterable[str], strategy: Strategy) -> Output:
        """The kept fields of every second normal image of all devices, ordered by index; the others calibrate."""
        columns = self._local_columns()
        normal = ~columns["is_anomaly"]
        kept = Output.from_tensors(self._outputs.columns()).only(reads)
        local = {name: value[normal] for name, value in kept.tensors().items()}
        gathered = gather_in_order(local, columns["index"][normal], strategy)
        return Output.from_tensors({name: halves(value)[0] for name, value in gathered.items()})

    def _local_columns(self) -> dict[str, Tensor]:
        if not self._batch_sizes:
            raise UserError("there is nothing to evaluate: the evaluation loader yielded no batch")
        return self._columns.columns()

    def evaluation(self, strategy: Strategy) -> Evaluation:
        """Everything gathered, with thresholds and metrics.

        In a pass that fits, every device first calibrates by the same normal images. Scores that put others together
        come last, because they need the calibration of these; they are calibrated by what they give to each normal
        image when it is measured by the other ones, as a new image is.
        """
        columns = self._local_columns() | self._deferred_scores()
        gathered = gather_in_order(columns, columns["index"], strategy)
        rows = {name: column.cpu() for name, column in gathered.items()}
        evaluation = Evaluation({}, {}, rows["code"], rows["label"], rows["is_anomaly"], rows["index"])
        standardised = by_others = Output.from_tensors({})
        for name, module in self.detector.score_modules.items():
            if name in self._fused and all(field in standardised.tensors() for field in module.reads):
                rows[f"scores.{name}"] = self.detector.score(name, standardised)
            if f"scores.{name}" not in rows:
                continue
            scores, calibration = rows[f"scores.{name}"], self.detector.calibration(name)
            evaluation.scores[name] = scores
            if self.fits:
                normal = self.detector.score(name, by_others) if name in self._fused else evaluation.normal(name)
                calibration.fit(halves(normal)[1] if self.detector.fitted_on_half(name) else normal)
                by_others = by_others.extended({f"scores.{name}": calibration.standardised_by_others(normal)})
            standardised = standardised.extended({f"scores.{name}": calibration.standardised(scores)})
            thresholds = self.detector.threshold_values(name)
            evaluation.thresholds[name] = thresholds
            evaluation.metrics[name] = score_metrics(scores, evaluation.is_anomaly, thresholds)
        return evaluation

    def _deferred_scores(self) -> dict[str, Tensor]:
        """In the batches in which the images came: a score may need far more memory for a batch than it returns."""
        scores = RowBuffer()
        if self.deferred:
            for output in Output.from_tensors(self._outputs.columns()).split(self._batch_sizes):
                scores.add({f"scores.{name}": self.detector.score(name, output) for name in self.deferred})
        return scores.columns()
