"""From a benchmark's YAML to its cells."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from aeanomaly.commands.fit.options import SET_BY_COMMAND, option, plain_key
from aeanomaly.commands.typed_file import typed
from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config

PROTOCOLS = {"leave-one-out": "anomaly_classes", "one-class": "normal_classes"}


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


@dataclass
class Grid:
    """A benchmark: the keys of its file, each explained in ``configs/benchmark/loo_mnist.yaml``, and its cells.

    Raises:
        UserError: if the keys do not go together.
    """

    name: str
    base: list[str] = field(default_factory=list)
    overrides: dict[str, Any] | None = None
    protocol: Literal["leave-one-out", "one-class"] | None = None
    classes: list[int] | None = None
    methods: dict[str, dict[str, Any] | None] | None = None
    axes: dict[str, list[Any]] | None = None
    seeds: list[int] | None = None
    scores: list[str] | None = None
    promises: dict[str, float] | None = None
    keep_checkpoints: bool = True
    cells: list[Cell] = field(init=False)

    def __post_init__(self) -> None:
        if self.protocol is not None and not self.classes:
            raise UserError(f"the protocol {self.protocol} needs the list `classes`")
        if self.protocol is None and self.classes:
            raise UserError(f"`classes` needs a protocol: {' or '.join(PROTOCOLS)}")
        if self.scores == []:
            raise UserError("`scores` must name at least one score; left out, all are shown")
        for method, keys in (self.methods or {"base": {}}).items():
            if not self.base and not (keys or {}).get("config"):
                raise UserError(f"neither `base` nor `config` of the method {method!r} names a config")
        for where, keys in (("overrides", self.overrides), ("axes", self.axes)):
            _refuse_ours(where, keys or (), self.protocol)
        for method, keys in (self.methods or {}).items():
            _refuse_ours(f"method {method}", (key for key in keys or () if key != "config"), self.protocol)
            varied = {plain_key(key) for key in self.axes or () if not key.endswith("+")}  # what is added does not win
            if both := sorted(varied.intersection(map(plain_key, keys or ()))):
                raise UserError(f"method {method}: {both[0]} is varied under `axes`, too, whose values would win")
        for file in self.base:
            if not Path(file).is_file():
                raise UserError(f"base config {file!r} does not exist in the current folder")
        self.cells = _cells(self)
        names = [cell.name for cell in self.cells]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise UserError(f"two cells are called {twice!r}: a value stands twice in the grid, or is written alike")


def _refuse_ours(where: str, keys: Iterable[str], protocol: str | None) -> None:
    """Refuse a key that the benchmark sets in every cell: tables would tell of a value that none had."""
    lists = {"seed_everything": "seeds", **{f"data.{side}": "classes" for side in PROTOCOLS.values() if protocol}}
    for key in (plain_key(name).removesuffix("+") for name in keys):
        if key in lists or key in SET_BY_COMMAND:
            advice = f"list its values under `{lists[key]}`" if key in lists else "leave it out"
            raise UserError(f"{where}: {key} is set by the benchmark itself, {advice}")


def read_grid(path: Path) -> Grid:
    """Read a benchmark file.

    Raises:
        UserError: if the file is missing or something in it is not understood.
    """
    content = read_config(path)
    return typed(Grid, {**content, "name": content.get("name") or path.stem}, str(path))


def _cells(file: Grid) -> list[Cell]:
    axes = file.axes or {}
    classes: Sequence[int | None] = (file.classes or []) if file.protocol else [None]
    # Seeds outermost: an interrupted benchmark then has whole columns of the table rather than all seeds of a corner.
    grid = itertools.product(
        file.seeds or [0], (file.methods or {"base": {}}).items(), classes, itertools.product(*axes.values())
    )
    cells = []
    for seed, (method, settings), class_, values in grid:
        varied = dict(zip(axes, values, strict=True))
        settings = dict(settings or {})
        more = settings.pop("config", None) or []
        files = [*file.base, *map(str, [more] if isinstance(more, str) else more)]
        options = [word for name in files for word in ("--config", name)]
        options += [option(*pair) for given in (file.overrides or {}, settings, varied) for pair in given.items()]
        if file.protocol is not None:
            side = PROTOCOLS[file.protocol]
            other = next(key for key in PROTOCOLS.values() if key != side)
            options += [f"--data.{side}=[{class_}]", f"--data.{other}=null"]
        options.append(f"--seed_everything={seed}")
        parts = [method, *([f"class{class_}"] if class_ is not None else [])]
        parts += [f"{key.rpartition('.')[2]}{value}" for key, value in varied.items()]
        name = re.sub(r"[^\w.=-]+", "_", "-".join([*parts, f"seed{seed}"]))
        cells.append(Cell(name, method, class_, varied, seed, tuple(options)))
    return cells
