"""From a benchmark's YAML to its cells."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError
from aeanomaly.runs.config_files import read_config

PROTOCOLS = {"leave-one-out": "anomaly_classes", "one-class": "normal_classes"}
_KEYS = {"name", "base", "overrides", "protocol", "classes", "methods", "axes", "seeds"}


@dataclass(frozen=True)
class Cell:
    """One ordinary ``fit``.

    Attributes:
        name: of its folder, unique in the grid, made of what is varied.
        method: name of the method.
        class_: the class that is left out or the only normal one; None without a protocol.
        axes: what is varied besides, value by config key.
        seed: of ``seed_everything``.
        options: the words after ``fit``, without where to put the run.
    """

    name: str
    method: str
    class_: int | None
    axes: dict[str, Any]
    seed: int
    options: tuple[str, ...]

    def columns(self) -> dict[str, Any]:
        """What identifies the cell in results.csv."""
        return {"method": self.method, "class": self.class_, **self.axes, "seed": self.seed}


@dataclass(frozen=True)
class Grid:
    """A benchmark.

    Attributes:
        name: of the benchmark.
        protocol: ``leave-one-out``, ``one-class`` or None.
        cells: in the order in which they are run.
    """

    name: str
    protocol: str | None
    cells: list[Cell] = field(default_factory=list)


def read_grid(path: Path) -> Grid:
    """Read a benchmark file; ``configs/benchmark/loo_mnist.yaml`` explains every key.

    Raises:
        UserError: if the file is missing or something in it is not understood.
    """
    content = read_config(path)
    unknown = sorted(set(content) - _KEYS)
    if unknown:
        raise UserError(f"{path}: unknown key {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}")
    protocol = content.get("protocol")
    if protocol is not None and protocol not in PROTOCOLS:
        raise UserError(f"{path}: protocol must be one of {', '.join(PROTOCOLS)} or null, got {protocol!r}")
    if protocol is not None and not content.get("classes"):
        raise UserError(f"{path}: the protocol {protocol} needs the list `classes`")
    base = [str(file) for file in _list(content, "base", path)]
    if not base:
        raise UserError(f"{path}: `base` must name at least one complete config")
    for file in base:
        if not Path(file).is_file():
            raise UserError(f"{path}: base config {file!r} does not exist in the current folder")
    cells = _cells(content, base, protocol, path)
    names = [cell.name for cell in cells]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise UserError(f"{path}: two cells are called {twice!r}: a value stands twice in the grid")
    return Grid(str(content.get("name") or path.stem), protocol, cells)


def _cells(content: dict[str, Any], base: list[str], protocol: str | None, path: Path) -> list[Cell]:
    methods = _mapping(content, "methods", path) or {"base": {}}
    axes = {key: _list(_mapping(content, "axes", path), key, path) for key in _mapping(content, "axes", path)}
    seeds = _list(content, "seeds", path) or [0]
    classes: Sequence[int | None] = _list(content, "classes", path) if protocol else [None]
    common = _options(_mapping(content, "overrides", path))
    cells = []
    # Seeds outermost: an interrupted benchmark then has whole columns of the table rather than all seeds of a corner.
    for seed, (method, settings), class_, values in itertools.product(
        seeds, methods.items(), classes, itertools.product(*axes.values())
    ):
        varied = dict(zip(axes, values, strict=True))
        settings = dict(settings or {})
        files = [*base, *(str(file) for file in settings.pop("config", []))]
        options = [word for file in files for word in ("--config", file)]
        options += common + _options(settings) + _options(varied)
        if protocol is not None:
            side = PROTOCOLS[protocol]
            other = next(key for key in PROTOCOLS.values() if key != side)
            options += [f"--data.{side}=[{class_}]", f"--data.{other}=null"]
        options.append(f"--seed_everything={seed}")
        parts = [method, *([f"class{class_}"] if class_ is not None else [])]
        parts += [f"{key.rpartition('.')[2]}{value}" for key, value in varied.items()]
        name = re.sub(r"[^\w.=-]+", "_", "-".join([*parts, f"seed{seed}"]))
        cells.append(Cell(name, str(method), class_, varied, int(seed), tuple(options)))
    return cells


def _options(settings: dict[str, Any]) -> list[str]:
    """Dotted keys and values as command-line words."""
    # JSON is YAML; a string stays bare, because an option that wants a string would keep the quotes.
    return [f"--{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in settings.items()]


def _list(content: dict[str, Any], key: str, path: Path) -> list[Any]:
    value = content.get(key) or []
    if not isinstance(value, list):
        raise UserError(f"{path}: `{key}` must be a list, got {value!r}")
    return value


def _mapping(content: dict[str, Any], key: str, path: Path) -> dict[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise UserError(f"{path}: `{key}` must hold keys and values, got {value!r}")
    return value
