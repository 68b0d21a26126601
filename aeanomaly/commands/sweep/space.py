"""The search space: entries of the YAML as Optuna's distributions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from aeanomaly.errors import UserError

Space: TypeAlias = dict[str, BaseDistribution]

_RANGE = ("low", "high", "log", "step")


def read_space(entries: Mapping[str, Any]) -> Space:
    """One distribution for each key.

    A range of whole numbers searches whole numbers, otherwise real ones. Among choices, lists and mappings become their
    JSON, which is also how they are written on the command line.

    Args:
        entries: by dotted key, ``{low, high, log, step}`` or ``{choices: [...]}``.

    Raises:
        UserError: naming the key, if an entry is neither or its numbers do not make a range.
    """
    return {key: _distribution(key, entry) for key, entry in entries.items()}


def _distribution(key: str, entry: Any) -> BaseDistribution:
    if not isinstance(entry, Mapping) or not entry:
        raise UserError(f"space.{key} must be {{low: ..., high: ...}} or {{choices: [...]}}, got {entry!r}")
    unknown = [name for name in entry if name not in (*_RANGE, "choices")]
    if unknown:
        raise UserError(f"space.{key}: unknown {unknown[0]!r}; there are low, high, log, step, or choices alone")
    try:
        return _choice(entry) if "choices" in entry else _range(entry)
    except ValueError as error:  # Optuna's own: low above high, step with log, ...
        raise UserError(f"space.{key}: {error}") from None


def _choice(entry: Mapping[str, Any]) -> CategoricalDistribution:
    choices = entry["choices"]
    if len(entry) > 1 or not isinstance(choices, list) or not choices:
        raise ValueError("choices must be a list with something in it, and stands alone")
    plain = [json.dumps(value) if isinstance(value, (list, dict)) else value for value in choices]
    if len({json.dumps(value, default=str) for value in plain}) < len(plain):
        raise ValueError("choices has an entry twice")
    return CategoricalDistribution(plain)


def _range(entry: Mapping[str, Any]) -> BaseDistribution:
    missing = [name for name in ("low", "high") if name not in entry]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    numbers = {name: _number(name, entry[name]) for name in ("low", "high", "step") if entry.get(name) is not None}
    if len(numbers) < 2 or "low" not in numbers or "high" not in numbers:
        raise ValueError("low and high must be numbers")
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"log must be true or false, got {log!r}")
    if all(isinstance(number, int) for number in numbers.values()):
        if log and "step" in numbers:
            raise ValueError("step and log exclude each other")
        return IntDistribution(int(numbers["low"]), int(numbers["high"]), log, int(numbers.get("step", 1)))
    return FloatDistribution(numbers["low"], numbers["high"], log, numbers.get("step"))


def _number(name: str, value: Any) -> int | float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    try:
        return float(value if isinstance(value, str) else "")  # YAML reads 1e-4, without a point, as text
    except ValueError:
        raise ValueError(f"{name} must be a number, got {value!r}") from None


def probes(space: Space) -> list[dict[str, Any]]:
    """Settings that between them have both ends of every range and every choice, to try keys and types on."""
    values = {key: _extremes(distribution) for key, distribution in space.items()}
    count = max(map(len, values.values()))
    return [{key: known[min(number, len(known) - 1)] for key, known in values.items()} for number in range(count)]


def _extremes(distribution: BaseDistribution) -> list[Any]:
    if isinstance(distribution, CategoricalDistribution):
        return list(distribution.choices)
    assert isinstance(distribution, (IntDistribution, FloatDistribution))
    return [distribution.low, distribution.high]
