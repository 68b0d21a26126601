"""A nested configuration as the flat, uniformly typed row that TensorBoard's HParams can compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aeanomaly.runs.files import MOST_VALUES

# What changes a result or its cost. Paths, callbacks and logging do not.
_KEPT_TRAINER_KEYS = ("max_epochs", "precision", "devices", "num_nodes", "strategy", "accelerator")
# A number in some runs and a word in others (devices: 2 or auto).
_ALWAYS_TEXT = ("trainer.devices", "data.split_seed")


def flatten_config(config: dict[str, Any]) -> dict[str, int | float | str]:
    """The keys of a run's config.yaml that make it differ from other runs.

    Class paths become class names, lists of plain values become one string, lists of objects are numbered. TensorBoard
    hides a run whose value is None, or of another type than in other runs, so None and booleans become strings.

    Raises:
        ValueError: if it holds more than any config does, such as aliases of aliases that stand for billions of values.
    """
    if count_values(config) > MOST_VALUES:
        raise ValueError(f"it holds more than {MOST_VALUES:,} values")
    trainer = config.get("trainer") or {}
    kept = {
        "seed": config.get("seed_everything"),
        "trainer": {key: trainer[key] for key in _KEPT_TRAINER_KEYS if key in trainer},
        "model": config.get("model") or {},
        "data": {key: value for key, value in _object(config.get("data") or {}).items() if key != "data_dir"},
    }
    flat: dict[str, int | float | str] = {}
    _flatten("", kept, flat)
    return flat


def count_values(value: Any, known: int = 0) -> int:
    """How many values there are, together with those that are known; no further than `MOST_VALUES`."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if known > MOST_VALUES:
            break
        known = count_values(item, known + 1)
    return known


def _object(value: dict[str, Any]) -> dict[str, Any]:
    """``{class_path, init_args}`` as its arguments, with the class name as ``class``."""
    if "class_path" not in value:
        return value
    arguments = value.get("init_args") or {}
    if not isinstance(arguments, dict):
        raise ValueError(f"the init_args of {value['class_path']} are no keys and values")
    return {"class": str(value["class_path"]).rpartition(".")[2], **arguments}


def _flatten(prefix: str, value: Any, flat: dict[str, int | float | str]) -> None:
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if isinstance(value, dict):
        for key, item in _object(value).items():
            _flatten(f"{prefix}.{key}" if prefix else str(key), item, flat)
    elif isinstance(value, (int, float)) and not isinstance(value, bool) and prefix not in _ALWAYS_TEXT:
        flat[prefix] = value
    elif isinstance(value, list):
        flat[prefix] = "-".join(str(item) for item in value)
    else:
        flat[prefix] = str(value).lower() if isinstance(value, bool) or value is None else str(value)


def short_key(key: str, known: Sequence[str]) -> str:
    """The shortest telling ending of a hyperparameter that no other in ``known`` has."""
    parts = key.split(".")
    for start in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[start:])
        if parts[start].isdecimal() or name in ("class", "value"):  # these alone would say nothing
            continue
        if not any(other != key and (other == name or other.endswith(f".{name}")) for other in known):
            return name
    return key
