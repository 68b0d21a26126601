"""Scores and thresholds that a config takes over from one before it, by their names alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_KINDS = {"model.scores": "score", "model.thresholds": "threshold"}
_OF_BASE = ("reconstruction", "kmeans", "alarm5", "fixed")


def not_there(key: str, value: Any, where: str, names: dict[str, set[str] | None]) -> str:
    """The complaint about a score or threshold that has a class neither here nor in a config before; empty if none.

    Args:
        key: dotted, without ``init_args``.
        value: as YAML reads it.
        where: said before it, such as "gmm.yaml: ".
        names: of scores and thresholds so far, None where that cannot be told; it is completed.
    """
    if key == "model":  # all of it, which may be a file
        names |= dict.fromkeys(_KINDS)
    for kind, noun in _KINDS.items():
        known = names.setdefault(kind, set())
        if key.startswith(f"{kind}.") and known is not None:
            known.add(key.removeprefix(f"{kind}.").partition(".")[0])
        if key != kind:
            continue
        names[kind] = set(value) if isinstance(value, Mapping) else None if isinstance(value, str) else set()
        for name, item in value.items() if isinstance(value, Mapping) else ():
            if known is not None and name not in known and (item is None or _without_class(item)):
                such = ", such as configs/base.yaml" if name in _OF_BASE else ""
                advice = f"stack it on one that has{such}, or {'give its class_path' if item else 'delete that line'}"
                taker = where.removesuffix(": ") or kind
                return f"{taker} takes over the {noun} {name!r}, which no config before it has: {advice}"
            if item is None:  # which the parser does not take for that
                return f"{where}{kind}.{name} holds nothing: to take it over, write {{}} there"
    return ""


def _without_class(item: Any) -> bool:
    return isinstance(item, Mapping) and "class_path" not in item
