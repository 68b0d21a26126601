"""Run directories: where they lie, finding them, and reading what they hold without torch."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from aeanomaly.errors import UserError
from aeanomaly.runs.flat_file import read_flat
from aeanomaly.runs.hyperparameters import flatten_config

LOGS = "lightning_logs"
Value: TypeAlias = int | float | str

_METRICS, _CONFIG, _PREDICTIONS = "metrics.json", "config.yaml", "predictions.csv"
# libyaml reads a config seven times faster; wheels of PyYAML bring it, a build from source may lack it.
_YamlLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What `auto` and null came to: two runs do not differ because one of them spelled the default out.
_EFFECTIVE = {"seed": "seed"} | {name: f"trainer.{name}" for name in ("precision", "accelerator", "devices")}


@dataclass(frozen=True, eq=False)
class Run:
    """What one run directory holds, whatever its state.

    Attributes:
        path: the directory, as it was named or found.
        record: metrics.json as it is; empty if there is none to be read.
        hyperparameters: the flat config (see `flatten_config`), with the seed, precision, accelerator and number of
            devices that took effect; None if there is no config to be read.
        status: ``ok``, ``unfinished`` or ``broken``. Even then its values may be of use.
        reason: why the status is not ``ok``; empty if it is.
    """

    path: Path
    record: dict[str, Any]
    hyperparameters: dict[str, Value] | None
    status: str = "ok"
    reason: str = ""

    @cached_property
    def values(self) -> dict[str, float]:
        """The numbers of metrics.json, among them perhaps NaN and infinities."""
        return {name: value for name, value in self.record.items() if type(value) in (int, float)}

    @property
    def finished(self) -> bool:
        """Whether it was tested to the end."""
        return "test_seconds" in self.record


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The run directories among and under ``paths``, each once, in natural order below each path.

    A run is a folder with metrics.json or config.yaml, or one called ``version_N`` even if nothing is in it yet. What
    lies below a run, and hidden folders, are not searched. A folder with predictions and no metrics is passed over
    unless it is named itself: there is nothing in it to compare.

    Raises:
        UserError: if a path does not exist, is a file, or has no run in it.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no run or folder {str(path)!r}")
        if not path.is_dir():
            raise UserError(f"{path} is a file: name the folder of a run, or a folder of runs")
        below = _search(path)
        if not below:
            raise UserError(f"no run in {path}: a run is a folder with {_METRICS} or {_CONFIG}")
        for run in sorted(below, key=lambda run: natural_order(str(run))):
            found.setdefault(os.path.realpath(run), run)
    return list(found.values())


def _search(folder: Path) -> list[Path]:
    # A folder that cannot be listed counts as found: reading it will say why not.
    runs: list[Path] = []
    seen: set[str] = set()
    walk = os.walk(folder, followlinks=True, onerror=lambda error: runs.append(Path(error.filename)))
    for place, folders, files in walk:
        real = os.path.realpath(place)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        if _METRICS in files or _CONFIG in files or re.fullmatch(r"version_\d+", Path(real).name):
            folders.clear()
            if _METRICS in files or _PREDICTIONS not in files or Path(place) == folder:
                runs.append(Path(place))
        folders[:] = [name for name in folders if not name.startswith(".")]
    return runs


def natural_order(text: str) -> list[tuple[int, str]]:
    """A sort key that puts version_2 before version_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def run_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A short, unique name for each run: its path from the deepest folder that holds them all."""
    if not paths:
        return {}
    # not resolved: a run that was named by a link keeps the name of the link
    absolute = {path: Path(os.path.normpath(path.absolute())) for path in paths}
    common = os.path.commonpath([path.parent for path in absolute.values()])
    return {path: os.path.relpath(full, common) for path, full in absolute.items()}


def read_run(path: Path) -> Run:
    """Read a run directory. Whatever is wrong with it becomes a reason in the result, never an exception."""
    broken: list[str] = []
    unfinished: list[str] = []
    record = _read(path / _METRICS, _record, broken)
    hyperparameters = _read(path / _CONFIG, lambda text: read_flat(path, text) or _hyperparameters(text), broken)
    if record is None and hyperparameters is None:
        unfinished.append(f"neither {_METRICS} nor {_CONFIG}: just started, or stopped at once")
    elif record is None:
        only = "only predictions" if (path / _PREDICTIONS).is_file() else "still running, or stopped early"
        unfinished.append(f"no {_METRICS}: {only}")
    elif record.get("trial") == "pruned":
        unfinished.append("pruned by its sweep")
    elif record and record.get("trial") != "complete" and not any(name.startswith("test/") for name in record):
        unfinished.append("no test values: only validated, or stopped before its test")
    if record is not None and hyperparameters is None:
        broken.append(f"no {_CONFIG}: its hyperparameters are unknown")
    record = record or {}
    if hyperparameters:
        effective = {key: record.get(name) for name, key in _EFFECTIVE.items()}
        hyperparameters |= {key: value for key, value in effective.items() if isinstance(value, (int, str))}
    wrong = sorted(name for name, value in record.items() if isinstance(value, float) and not math.isfinite(value))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        broken.append(f"NaN or infinite: {', '.join(wrong[:3])}{more}")
    status = "broken" if broken else "unfinished" if unfinished else "ok"
    return Run(path, record, hyperparameters or None, status, "; ".join(broken + unfinished))


def _read(path: Path, parse: Callable[[str], dict[str, Any]], broken: list[str]) -> dict[str, Any] | None:
    """What a file holds; None if there is none. If it cannot be read, nothing, and ``broken`` gets the reason."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        broken.append(f"cannot read {path.name}: {error.strerror or error}")
    except UnicodeDecodeError:
        broken.append(f"{path.name} is not text")
    except json.JSONDecodeError as error:
        truncated = f"is truncated or not JSON (line {error.lineno}: {error.msg})"
        broken.append(f"{path.name} {truncated if error.doc else 'is empty'}")
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        broken.append(f"{path.name} is not YAML ({where}{error.problem})")
    except RecursionError:
        broken.append(f"{path.name} is nested too deeply")
    except (ValueError, yaml.YAMLError) as error:
        broken.append(f"{path.name} is not valid: {' '.join(str(error).split())}")
    return {}


def _record(text: str) -> dict[str, Any]:
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("it holds no names and values")
    return record


def _hyperparameters(text: str) -> dict[str, Value]:
    config = yaml.load(text, _YamlLoader)
    if not isinstance(config, dict):
        raise ValueError("it holds no keys and values")
    for section in ("trainer", "model", "data"):
        if not isinstance(config.get(section) or {}, dict):
            raise ValueError(f"{section} holds no keys and values")
    return flatten_config(config)


def run_of_checkpoint(path: Path) -> Path | None:
    """The run directory that a checkpoint lies in, going by the layout ``version_N/checkpoints/*.ckpt``, if any."""
    return path.resolve().parent.parent if path.parent.name == "checkpoints" else None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint at a path; of a run's directory the one that was tested, as its metrics.json says.

    In a directory that does not say so, as that of a run not yet tested, it is ``best*.ckpt``, else ``last.ckpt``.

    Raises:
        UserError: if there is none, or it is not clear which.
    """
    if not path.is_dir():
        if not path.is_file():
            raise UserError(f"there is no run or checkpoint {str(path)!r}")
        return path
    tested = (_read(path / _METRICS, _record, []) or {}).get("checkpoint")
    if isinstance(tested, str):
        found = Path(os.path.normpath(path / tested))
        if not found.is_file():
            raise UserError(f"the checkpoint that was tested is not in {found.parent} any more: {found.name}")
        return found
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    for pattern in ("best*.ckpt", "last.ckpt", "[!.]*.ckpt"):  # a hidden one is of a process that was killed
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            raise UserError(f"{folder} has several checkpoints, name one: {', '.join(file.name for file in files)}")
        if files:
            return files[0]
    raise UserError(f"no checkpoint in {path}: name one, or a run that has its checkpoints/")


def version_of(run: Path) -> int | None:
    """N if this is ``lightning_logs/version_N``, else None."""
    folder = run.resolve()
    match = re.fullmatch(r"version_(\d+)", folder.name)
    return int(match[1]) if match and folder.parent.name == LOGS else None
