"""What stands on a page about one run: numbers for the script, and texts for the tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeanomaly.evaluation.metric_name import ACCURACIES, LOCALISING, RANKING, MetricName
from aeanomaly.page.curves import density_curves, ranking_curves
from aeanomaly.page.gallery import Gallery
from aeanomaly.page.scored import ScoredRun

_MOST_SCORES = 600_000  # on a page for one run: 3.2 MB of it


def run_data(name: str, scored: ScoredRun, gallery: Gallery | None) -> dict[str, Any]:
    """What the script needs, as JSON: the exact scores of all test images, curves, pictures.

    Of more than `_MOST_SCORES` scores there is a random sample, of the first ``counted`` rows, and behind it the images
    that are shown.
    """
    gallery = gallery or Gallery()
    suspects, total = gallery.suspects, len(scored.label)
    rows, counted = np.arange(total), min(total, max(1, _MOST_SCORES // len(scored.scores)))
    if counted < total:
        rows = np.append(np.random.default_rng(0).choice(rows, counted, replace=False), np.array([*gallery.test], int))
    scores = {score: _score_data(scored, score, rows) for score in scored.scores}
    return {
        "name": name,
        "total": total,
        "counted": counted,
        "anomalous": _base64(scored.is_anomaly[rows].astype(np.uint8)),
        "scores": scores,
        "main": scored.main,
        "images": [
            {
                "row": row if counted == total else counted + place,
                "index": int(scored.index[row]),
                "class": _class_name(gallery, int(scored.label[row])),
                "path": gallery.paths.get(row),
                "pictures": pictures,
            }
            for place, (row, pictures) in enumerate(gallery.test.items())
        ],
        "suspects": [
            {
                "index": one.index,
                "class": _class_name(gallery, one.label),
                "path": one.path,
                "line": one.line,
                "trained": one.trained_on,
                "pictures": one.pictures,
            }
            for one in suspects.images
        ],
        "ranking": suspects.ranking,
        "looked_at": suspects.looked_at,
        "notes": suspects.notes,
        "left_out": suspects.left_out,
    }


def _class_name(gallery: Gallery, label: int) -> str:
    names = gallery.class_names or ()
    return names[label] if 0 <= label < len(names) else str(label)


def _score_data(scored: ScoredRun, score: str, rows: NDArray[np.int64]) -> dict[str, Any]:
    values = scored.run.values
    ranking = {metric: values.get(str(MetricName("test", metric, score))) for metric in ("auroc", "aupr")}
    return {
        "values": _base64(scored.scores[score][rows]),
        "thresholds": scored.thresholds(score),
        "start": scored.start(score),
        "density": density_curves(scored, score),
        **{name: value if value is not None and np.isfinite(value) else None for name, value in ranking.items()},
        **ranking_curves(scored, score),
    }


def _base64(values: NDArray[Any]) -> str:
    """The bytes of an array, little-endian: a float32 takes six characters and stays exact."""
    return base64.b64encode(values.astype(values.dtype.newbyteorder("<")).tobytes()).decode()


def localising(scored: ScoredRun) -> list[str]:
    """The metrics of maps that any score of the run has; none where the test images have no masks."""
    known = scored.run.values
    return [
        name for name in LOCALISING if any(str(MetricName("test", name, score)) in known for score in scored.scores)
    ]


def metric_rows(scored: ScoredRun) -> list[dict[str, Any]]:
    """The table of test metrics: a row for each score and threshold.

    Of each: ``score``, ``first`` and ``rows`` (whether it is the first of so many rows of the score), ``ranking`` (with
    the metrics that `localising` names) and ``accuracies`` as texts, ``threshold`` (its name) and ``value``.
    """
    known, rows = scored.run.values, []
    metrics = (*RANKING, *localising(scored))
    for score in scored.scores:
        thresholds: dict[str, float | None] = {**scored.thresholds(score)} or {"": None}
        ranking = [_share(known, MetricName("test", metric, score)) for metric in metrics]
        for number, (threshold, value) in enumerate(thresholds.items()):
            accuracies = [_share(known, MetricName("test", metric, score, threshold)) for metric in ACCURACIES]
            row = {"score": score, "first": not number, "rows": len(thresholds), "ranking": ranking}
            rows.append(
                row
                | {"threshold": threshold, "value": "" if value is None else f"{value:.5g}", "accuracies": accuracies}
            )
    return rows


def _share(known: Mapping[str, float], name: MetricName) -> str:
    value = known.get(str(name))
    return "-" if value is None else f"{value:.4f}"


def facts(scored: ScoredRun) -> list[tuple[str, str]]:
    """What the run was, in words: of metrics.json and config.yaml, as far as they say."""
    record, flat = scored.run.record, scored.run.hyperparameters or {}

    def text(template: str) -> str:
        """The template, or nothing if a value for it is missing."""
        try:
            return template.format_map(record)
        except (KeyError, ValueError):
            return ""

    def joined(*parts: str) -> str:
        return ", ".join(filter(None, parts))

    rows = {
        "Net": str(flat.get("model.net.class", "")),
        "Data": joined(text("{data}"), text("from {data_source}"), text("tested on the {test_on} images")),
        "Training": text("{train_images:,} images, none of whose labels was read"),
        "Validation": text("{val_normal:,} normal images held out, {val_anomaly:,} anomalous for curves only"),
        "Test": f"{(~scored.is_anomaly).sum():,} normal, {scored.is_anomaly.sum():,} anomalous images",
        "Seed": text("{seed}"),
        "Computed": joined(text("on {devices} x {accelerator}"), text("{threads} threads"), text("at {precision}")),
        "Fit": joined(
            text("{fit_seconds:,.1f} s"), text("{epochs} epochs"), text("{train_images_per_second:,.0f} images/s")
        ),
        "Test pass": text("{test_seconds:,.1f} s"),
        "Versions": joined(
            *(text(f"{name} {{version_{name}}}") for name in ("aeanomaly", "torch", "lightning")),
        ),
        "State": f"{scored.run.status}: {scored.run.reason}" if scored.run.reason else "",
        "Directory": str(scored.run.path),
    }
    return [(name, value) for name, value in rows.items() if value]


def config_text(path: Path) -> str:
    """A run's config.yaml as it is; empty if there is none."""
    try:
        return (path / "config.yaml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
