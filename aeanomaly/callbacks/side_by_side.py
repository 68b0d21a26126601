"""Normal against anomalous in one chart: TensorBoard's tab Custom Scalars."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import lightning as L
import torch
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.plugins.custom_scalar import metadata
from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    Layout,
    MarginChartContent,
    MultilineChartContent,
)

from aeanomaly.callbacks.tensorboard import summary_writer
from aeanomaly.outputs import Evaluation
from aeanomaly.training.module import LitAutoencoder

KINDS = ("normal", "anomaly")
QUANTILES = {"median": 0.5, "q05": 0.05, "q95": 0.95}


class SideBySide(L.Callback):
    """Lays out Custom Scalars so that what belongs together shares a chart, epoch by epoch.

    For each score, how the middle 90 % of normal and of anomalous validation scores lie, as two bands around their
    medians (scalars ``val_spread/<score>/<kind>_median``, ``_q05`` and ``_q95``, which this callback writes); for each
    score and threshold, both accuracies; AUROC, AUPR and FPR at 95 % TPR of all scores; both losses. The single charts
    of each remain where they were.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the layout."""
        assert isinstance(pl_module, LitAutoencoder)
        writer = summary_writer(trainer)
        if writer is not None:
            thresholds = {
                score: [
                    name for name, threshold in pl_module.detector.thresholds.items() if threshold.applies_to(score)
                ]
                for score in pl_module.detector.score_modules
            }
            writer._get_file_writer().add_summary(layout_summary(layout(thresholds)))

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write the spread of the scores."""
        assert isinstance(pl_module, LitAutoencoder)
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        evaluation = pl_module.evaluation()
        writer = summary_writer(trainer)
        if writer is not None:
            for tag, value in spread(evaluation).items():
                writer.add_scalar(tag, value, trainer.global_step)


def spread(evaluation: Evaluation) -> dict[str, float]:
    """Median, 5 % and 95 % quantile of the finite normal and anomalous scores, by tag; an empty kind is left out."""
    values: dict[str, float] = {}
    for score in evaluation.scores:
        for kind, group in zip(KINDS, (evaluation.normal(score), evaluation.anomalous(score)), strict=True):
            group = group[group.isfinite()].double()
            if len(group):
                levels = torch.quantile(group, torch.tensor(list(QUANTILES.values()), dtype=torch.float64)).tolist()
                values |= {_spread_tag(score, kind, name): level for name, level in zip(QUANTILES, levels, strict=True)}
    return values


def _spread_tag(score: str, kind: str, quantile: str) -> str:
    return f"val_spread/{score}/{kind}_{quantile}"


def layout(thresholds: Mapping[str, Sequence[str]]) -> Layout:
    """The charts for scores, given by name with the names of the thresholds that apply to each.

    TensorBoard merges the layouts of several runs chart by chart, so a chart must read the same in all runs that have
    it: one for all scores matches their tags by a pattern instead of naming those of this run.
    """
    bands, accuracies = [], []
    for score, names in thresholds.items():
        series = [
            MarginChartContent.Series(
                value=_spread_tag(score, kind, "median"),
                lower=_spread_tag(score, kind, "q05"),
                upper=_spread_tag(score, kind, "q95"),
            )
            for kind in KINDS
        ]
        bands.append(Chart(title=f"{score}: median and middle 90 %", margin=MarginChartContent(series=series)))
        for name in names:
            tags = [f"^val/{kind}_accuracy/{re.escape(f'{score}@{name}')}$" for kind in KINDS]
            accuracies.append(_lines(f"{score}: accuracies at threshold {name}", tags))
    detection = [
        _lines("AUROC", ["^val/auroc/"]),
        _lines("AUPR", ["^val/aupr/"]),
        _lines("FPR at 95 % TPR", ["^val/fpr95/"]),
        _lines("loss", ["^train/loss$", "^val/loss$"]),
    ]
    # Bands apart from lines, because TensorBoard shuffles charts of different kinds.
    return Layout(
        category=[
            Category(title="Scores, normal against anomalous", chart=bands),
            Category(title="Accuracies, normal against anomalous", chart=accuracies),
            Category(title="Detection", chart=detection),
        ]
    )


def _lines(title: str, patterns: Sequence[str]) -> Chart:
    return Chart(title=title, multiline=MultilineChartContent(tag=patterns))


def layout_summary(content: Layout) -> Summary:
    """The layout as the summary that TensorBoard looks for; its own maker of it needs TensorFlow."""
    tensor = TensorProto(dtype="DT_STRING", string_val=[content.SerializeToString()], tensor_shape=TensorShapeProto())
    value = Summary.Value(tag=metadata.CONFIG_SUMMARY_TAG, tensor=tensor, metadata=metadata.create_summary_metadata())
    return Summary(value=[value])
