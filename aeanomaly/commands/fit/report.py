"""The table that ends a run."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from aeanomaly.evaluation.metric_name import ACCURACIES, LOCALISING, RANKING, MetricName


def metrics_table(metrics: Mapping[str, float], stage: str) -> Table:
    """One row per score of a stage, val or test: ranking metrics, then both accuracies for each threshold."""
    names = [name for name in map(MetricName.parse, metrics) if name and name.stage == stage and name.score]
    names = [name for name in names if name.metric not in LOCALISING]  # they have a table of their own
    thresholds = dict.fromkeys(name.threshold for name in names if name.threshold)
    table = _table("test images" if stage == "test" else "validation images")
    for metric in RANKING:
        table.add_column(metric.upper(), justify="right")
    for threshold in thresholds:
        table.add_column(f"normal\n@{threshold}", justify="right")
        table.add_column(f"anomaly\n@{threshold}", justify="right")
    for score in dict.fromkeys(name.score for name in names):
        row = [MetricName(stage, metric, score) for metric in RANKING]
        row += [MetricName(stage, metric, score, threshold) for threshold in thresholds for metric in ACCURACIES]
        table.add_row(score, *(f"{metrics[str(name)]:.4f}" if str(name) in metrics else "-" for name in row))
    return table


def maps_table(metrics: Mapping[str, float], stage: str) -> Table | None:
    """One row per score whose map was measured by masks; None if there is none."""
    names = [name for name in map(MetricName.parse, metrics) if name and name.stage == stage]
    scores = dict.fromkeys(name.score for name in names if name.metric in LOCALISING)
    if not scores:
        return None
    table = _table("pixels of their maps")
    for metric in LOCALISING:
        table.add_column(metric.upper().replace("_", " "), justify="right")
    for score in scores:
        table.add_row(score, *(f"{metrics[str(MetricName(stage, metric, score))]:.4f}" for metric in LOCALISING))
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("score", no_wrap=True)
    return table


def print_report(metrics: Mapping[str, float], stage: str, checkpoint: str | None, run_dir: Path | None) -> None:
    """Print the table, which weights it is of, where the run is, and how to look at it.

    Without a checkpoint the weights are those at the end of training.
    """
    console = Console()
    console.print(metrics_table(metrics, stage))
    of_maps = maps_table(metrics, stage)
    if of_maps is not None:
        console.print(of_maps)
    if any("@" in name for name in metrics):
        console.print("normal@T, anomaly@T: share of these images judged rightly at threshold T")
    below = checkpoint is not None and Path(checkpoint).absolute().is_relative_to(Path.cwd())
    shown = os.path.relpath(checkpoint) if checkpoint and below else checkpoint
    lines = [f"Checkpoint: {shown or 'none, these are the weights at the end of training'}"]
    if run_dir is not None:
        page = [f"Report: {run_dir / 'report.html'}"] if (run_dir / "report.html").is_file() else []
        lines += [f"Run: {run_dir}", *page, f"TensorBoard: tensorboard --logdir {shlex.quote(str(run_dir.parent))}"]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
