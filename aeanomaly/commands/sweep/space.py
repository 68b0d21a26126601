"""The search space: entries of the YAML as Optuna's distributions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from aeanomaly.commands.typed_file import typed
from aeanomaly.errors import UserError

Distribution: TypeAlias = IntDistribution | FloatDistribution | CategoricalDistribution
Space: TypeAlias = dict[str, Distribution]


@dataclass
class Range:
    """Numbers from ``low`` to ``high``, both included: whole ones if all given numbers are whole."""

    low: int | float
    high: int | float
    log: bool = False
    step: int | float | None = None

    def distribution(self) -> Distribution:
        """Optuna's form, which checks that the numbers make a range."""
        low, high, step = self.low, self.high, self.step
        if isinstance(low, int) and isinstance(high, int) and isinstance(step, int | None):
            return IntDistribution(low, high, self.log, 1 if step is None else step)
        return FloatDistribution(low, high, self.log, step)


@dataclass
class Choice:
    """One of some values."""

    choices: list[Any]

    def distribution(self) -> Distribution:
        """Optuna's form, in which lists and mappings are their JSON."""
        if not self.choices:
            raise ValueError("choices must be a list with something in it")
        plain = [json.dumps(value) if isinstance(value, (list, dict)) else value for value in self.choices]
        if len({json.dumps(value, default=str) for value in plain}) < len(plain):
            raise ValueError("choices has an entry twice")
        return CategoricalDistribution(plain)


def read_space(entries: Mapping[str, Any]) -> Space:
    """One distribution for each dotted key, from ``{low, high, log, step}`` or ``{choices: [...]}``.

    Raises:
        UserError: naming the key, if an entry is neither or its numbers do not make a range.
    """
    space: Space = {}
    for key, entry in entries.items():
        where = f"space.{key}"
        if not isinstance(entry, Mapping) or not entry:
            raise UserError(f"{where} must be {{low: ..., high: ...}} or {{choices: [...]}}, got {entry!r}")
        kind: type[Range] | type[Choice] = Choice if "choices" in entry else Range
        try:
            space[key] = typed(kind, entry, where).distribution()
        except ValueError as error:  # Optuna's own: low above high, step with log, ...
            raise error if isinstance(error, UserError) else UserError(f"{where}: {error}") from None
    return space


def probes(space: Space) -> list[dict[str, Any]]:
    """Settings that between them have both ends of every range and every choice, to try keys and types on."""
    values = {
        key: list(each.choices) if isinstance(each, CategoricalDistribution) else [each.low, each.high]
        for key, each in space.items()
    }
    count = max(map(len, values.values()))
    return [{key: known[min(number, len(known) - 1)] for key, known in values.items()} for number in range(count)]
