"""The names of columns: which metrics there are, which hyperparameters differ, and what people may call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from aeanomaly.errors import UserError, suggestion
from aeanomaly.evaluation.metric_name import MetricName
from aeanomaly.runs.finding import natural_order
from aeanomaly.runs.reading import Run, Value


def choose_metrics(runs: Iterable[Run], wanted: Sequence[str] | None = None) -> list[str]:
    """Full names of the metrics to show.

    Those ``wanted`` are names or patterns, see `matching`. By default the AUROC of every score on the test images (any
    test value if no run has that, ``val/loss`` if none was tested), and ``fit_seconds``.

    Raises:
        UserError: if no run has such a value, though they have others.
    """
    known = sorted({name for run in runs for name in run.values}, key=natural_order)
    if wanted is None:
        # Without anomalies among the test images there is no AUROC; trials of a sweep have only val/loss to go by.
        quality = next(filter(None, (matching(name, known) for name in ("test/auroc", "test", "val/loss"))), [])
        return quality + [name for name in known if name == "fit_seconds"]
    chosen: dict[str, None] = {}
    for name in wanted if known else ():
        found = matching(name, known)
        if not found:
            raise _unknown("metric", name, known)
        chosen |= dict.fromkeys(found)
    return list(chosen)


def matching(name: str, known: Sequence[str]) -> list[str]:
    """Those of ``known`` that ``name`` may mean.

    A full name means itself. Otherwise it may be the beginning of some, or a pattern: ``auroc`` is that of every score,
    ``*accuracy*@35``; or their ending from a dot or slash on: ``loss``, ``code_size``. ``test/`` may be left out, and
    values of the test come first.
    """
    for full in (f"test/{name}", name):
        if full in known:
            return [full]
        found = [one for one in known if fnmatchcase(one, full) or one.startswith(f"{full}/")]
        if found:
            return found
    return [one for one in known if one.endswith((f"/{name}", f".{name}"))]


def match_one(what: str, name: str, known: Sequence[str]) -> str:
    """The one of ``known`` that ``name`` means, see `matching`.

    Raises:
        UserError: if there is none, or several. It says ``what`` the name stands for.
    """
    found = matching(name, known)
    if not found:
        raise _unknown(what, name, known)
    if len(found) > 1:
        raise UserError(f"the {what} {name!r} may be any of: {', '.join(found)}")
    return found[0]


def _unknown(what: str, name: str, known: Sequence[str]) -> UserError:
    parts = {part for full in known for part in re.split(r"[./]", full) if len(part) > 2}
    return UserError(f"no run has the {what} {name!r}; {suggestion(name, known, sorted(parts))}")


def differing(configs: Iterable[dict[str, Value] | None]) -> list[str]:
    """The keys whose values are not the same in all ``configs``.

    A key that only some have differs. Unknown configs (None) do not count.
    """
    known = [flat for flat in configs if flat is not None]
    keys = dict.fromkeys(key for flat in known for key in flat)
    return [key for key in keys if len({comparable(flat.get(key)) for flat in known}) > 1]


def comparable(value: Value | None) -> Value | None:
    """The value; for NaN, which is not equal to itself, the word ``nan``."""
    return "nan" if value != value else value


def higher_is_better(metric: str) -> bool | None:
    """Which way a metric is better; None if neither."""
    name = MetricName.parse(metric)
    if name is not None:
        return name.higher_is_better
    return True if metric.endswith("_per_second") else False if metric.endswith("_seconds") else None
