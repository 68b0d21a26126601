"""What a run directory holds, read without torch."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from aeanomaly.runs.flat_file import read_flat
from aeanomaly.runs.hyperparameters import flatten_config

Value: TypeAlias = int | float | str

METRICS, CONFIG, PREDICTIONS = "metrics.json", "config.yaml", "predictions.csv"
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
        return {name: value for name, value in self.record.items() if _is_number(value)}

    @property
    def finished(self) -> bool:
        """Whether it was tested to the end."""
        return "test_seconds" in self.record


def read_run(path: Path) -> Run:
    """Read a run directory. Whatever is wrong with it becomes a reason in the result, never an exception."""
    broken: list[str] = []
    unfinished: list[str] = []
    record = _read(path / METRICS, _record, broken)
    hyperparameters = _read(path / CONFIG, lambda text: read_flat(path, text) or _hyperparameters(text), broken)
    if record is None and hyperparameters is None:
        unfinished.append(f"neither {METRICS} nor {CONFIG}: just started, or stopped at once")
    elif record is None:
        only = "only predictions" if (path / PREDICTIONS).is_file() else "still running, or stopped early"
        unfinished.append(f"no {METRICS}: {only}")
    elif record.get("trial") == "pruned":
        unfinished.append("pruned by its sweep")
    elif record and record.get("trial") != "complete" and not any(name.startswith("test/") for name in record):
        unfinished.append("no test values: only validated, or stopped before its test")
    if record is not None and hyperparameters is None:
        broken.append(f"no {CONFIG}: its hyperparameters are unknown")
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


def read_record(path: Path) -> dict[str, Any]:
    """metrics.json of a run directory; empty if there is none to be read."""
    return _read(path / METRICS, _record, []) or {}


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
    # Tags of YAML convert what they are given: `!!int ""` and its like raise whatever Python does.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, yaml.YAMLError) as error:
        broken.append(f"{path.name} is not valid: {' '.join(str(error).split()) or type(error).__name__}")
    return {}


def _is_number(value: Any) -> bool:
    """Whether it is a number that floating point can hold, NaN and infinities among them; True and False are none."""
    return isinstance(value, float) or (type(value) is int and abs(value) <= sys.float_info.max)


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
