"""The names of columns: which metrics there are, which hyperparameters differ, and what people may call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.runs.reading import Run, Value, natural_order


def choose_metrics(runs: Iterable[Run], wanted: Sequence[str] | None = None) -> list[str]:
    """Full names of the metrics to show.

    Args:
        runs: whose values there are to choose from.
        wanted: names or patterns, which mean values of the test if it has such: ``auroc/kmeans``, ``auroc`` (of every
            score), ``*accuracy*@35``; then any others: ``val/loss`` or just ``loss``, ``val/*@35``, ``fit_seconds``.
            By default the AUROC of every score on the test images (any test value if no run has that, ``val/loss`` if
            none was tested), and ``fit_seconds``.

    Raises:
        UserError: if no run has such a value, though they have others.
    """
    known = sorted({name for run in runs for name in run.values}, key=natural_order)
    if wanted is None:
        # without any anomaly among the test images there is no AUROC
        tested = {n: parts for n in known if (parts := MetricName.parse(n)) and parts.stage == "test"}
        quality = [n for n, parts in tested.items() if parts.metric == "auroc"] or list(tested)
        quality = quality or [n for n in known if n == "val/loss"]  # all that the trials of a sweep have to go by
        return quality + [name for name in known if name == "fit_seconds"]
    chosen: dict[str, None] = {}
    for name in wanted if known else ():
        chosen |= dict.fromkeys(_matching(name, known))
    return list(chosen)


def _matching(name: str, known: Sequence[str]) -> list[str]:
    for full in (f"test/{name}", name):
        if full in known:
            return [full]
        matching = [metric for metric in known if fnmatchcase(metric, full) or metric.startswith(f"{full}/")]
        if matching:
            return matching
    if endings := [metric for metric in known if metric.endswith(f"/{name}")]:
        return endings
    raise UserError(f"no run has the metric {name!r}; {_hint(name, known)}")


def match_name(what: str, name: str, known: Sequence[str], labels: Mapping[str, str] | None = None) -> str | None:
    """The one of ``known`` whose full name, label or ending is ``name``; None if it fits none.

    An ending begins at a dot or a slash: ``code_size`` for ``model.net.code_size``.

    Raises:
        UserError: if it fits several. It says ``what`` the name stands for.
    """
    found = [full for full in known if name in (full, (labels or {}).get(full))]
    found = found or [full for full in known if full.endswith((f".{name}", f"/{name}"))]
    if len(found) > 1:
        raise UserError(f"the {what} {name!r} may be any of: {', '.join(found)}")
    return found[0] if found else None


def match_key(name: str, known: Sequence[str]) -> str:
    """The hyperparameter called ``name``, see `match_name`.

    Raises:
        UserError: if it fits none of ``known``, or several.
    """
    key = match_name("hyperparameter", name, known)
    if key is None:
        raise UserError(f"no run has the hyperparameter {name!r}; {_hint(name, known)}")
    return key


def _hint(name: str, known: Sequence[str]) -> str:
    parts = {part for full in known for part in re.split(r"[./]", full) if len(part) > 2}
    return suggestion(name, known, sorted(parts))


def differing(configs: Iterable[dict[str, Value] | None]) -> list[str]:
    """The keys whose values are not the same in all ``configs``.

    A key that only some have differs. Unknown configs (None) do not count.
    """
    known = [flat for flat in configs if flat is not None]
    keys = dict.fromkeys(key for flat in known for key in flat)
    return [key for key in keys if len({comparable(flat.get(key)) for flat in known}) > 1]


def comparable(value: Value | None) -> Value | None:
    """The value, or for NaN, which equals nothing and itself least, a word that equals itself."""
    return "nan" if value != value else value


def higher_is_better(metric: str) -> bool | None:
    """Which way a metric is better; None if neither."""
    name = MetricName.parse(metric)
    if name is not None:
        return name.higher_is_better
    return True if metric.endswith("_per_second") else False if metric.endswith("_seconds") else None
