"""The table that ends a run."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

_RANKING = {"auroc": "AUROC", "aupr": "AUPR", "fpr95": "FPR95"}


def scores_in(metrics: dict[str, float], stage: str) -> list[str]:
    """Names of the scores for which there is any metric of the stage, in the order of the metrics."""
    names = [
        name.split("/")[2].split("@")[0] for name in metrics if name.startswith(f"{stage}/") and name.count("/") == 2
    ]
    return list(dict.fromkeys(names))


def metrics_table(metrics: dict[str, float], stage: str) -> Table:
    """One row per score: ranking metrics, then normal and anomaly accuracy for each threshold.

    Args:
        metrics: values by tag, such as ``test/auroc/kmeans``.
        stage: ``val`` or ``test``.
    """
    thresholds = dict.fromkeys(
        name.partition("@")[2] for name in metrics if name.startswith(f"{stage}/") and "@" in name
    )
    title = "test images" if stage == "test" else "validation images"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("score", no_wrap=True)
    for heading in _RANKING.values():
        table.add_column(heading, justify="right")
    for threshold in thresholds:
        table.add_column(f"normal\n@{threshold}", justify="right")
        table.add_column(f"anomaly\n@{threshold}", justify="right")
    for score in scores_in(metrics, stage):
        tags = [f"{stage}/{metric}/{score}" for metric in _RANKING]
        for threshold in thresholds:
            tags += [f"{stage}/{kind}_accuracy/{score}@{threshold}" for kind in ("normal", "anomaly")]
        table.add_row(score, *(f"{metrics[tag]:.4f}" if tag in metrics else "-" for tag in tags))
    return table


def print_report(metrics: dict[str, float], stage: str, run_dir: Path | None) -> None:
    """Print the table, where the run is, and how to look at it."""
    console = Console()
    console.print(metrics_table(metrics, stage))
    if any("@" in name for name in metrics):
        console.print("normal@T, anomaly@T: share of these images judged rightly at threshold T")
    if run_dir is not None:
        console.print(f"Run: {run_dir}", soft_wrap=True, highlight=False)
        console.print(f"TensorBoard: tensorboard --logdir {run_dir.parent}", soft_wrap=True, highlight=False)
