"""What the words after a Trainer verb and the configs that they name set; read without torch, whose import is slow."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from aeanomaly.commands.fit.options import is_option
from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config

# What a config may hold at its top, whatever the verb, and what is an option beside.
SECTIONS = ("seed_everything", "trainer", "model", "data", "ckpt_path", "weights_only", "verbose", "return_predictions")
OPTIONS = (*SECTIONS, "config", "print_config", "help", "resume")
MISSING = object()  # the value of an option that has none


class Setting(NamedTuple):
    """A value that is given to a key.

    Attributes:
        key: dotted, such as trainer.max_epochs.
        value: as YAML reads it.
        where: said before it, such as "fast.yaml: ".
        name: the key as it was written.
    """

    key: str
    value: Any
    where: str
    name: str

    @property
    def section(self) -> str:
        """The first part of its key."""
        return self.key.partition(".")[0]

    @property
    def place(self) -> str:
        """Where the value stands: its key without the words of jsonargparse for classes."""
        return re.sub(r"\.(init_args|class_path)(?=\.|$)", "", self.key)


def settings_of(words: Sequence[str]) -> Iterator[Setting]:
    """What configs and options set, in their order.

    Raises:
        UserError: for a word that is no option, or a config that cannot be read.
    """
    waiting = list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return
        name, sign, value = word.partition("=")
        if not is_option(word):
            config = f"; did you mean --config {word}?" if word.endswith((".yaml", ".yml")) else ""
            raise UserError(f"unrecognized arguments: {word}{config}")
        follows = bool(waiting) and waiting[0] != "--" and not is_option(waiting[0])
        missing = not sign and (not waiting or is_option(waiting[0]))
        if not sign:
            value = waiting.pop(0) if follows else ""
        if re.match(r"-c.", name):
            name, value = "-c", word[2:].removeprefix("=")
        if name in ("-c", "--config"):
            yield from _in_config(read_config(Path(value)), f"{value}: ")
        elif name.startswith("--") and (sign or follows or missing or name.partition(".")[0][2:] not in OPTIONS):
            yield Setting(name[2:], MISSING if missing else read_value(value), "", name)


def last_of(settings: Iterable[Setting]) -> dict[str, Setting]:
    """The last of several for a key, which the parser takes, by that key.

    A whole section replaces what was said of its keys, and may be the name of a file.
    """
    last: dict[str, Setting] = {}
    for setting in settings:
        if setting.section == setting.key:
            last = {key: value for key, value in last.items() if not key.startswith(f"{setting.section}.")}
        last[setting.key] = setting
    return last


def _in_config(content: Mapping[Any, Any], where: str, above: str = "") -> Iterator[Setting]:
    for key, value in content.items():
        if not isinstance(key, str):
            raise UserError(f"{where}a key {f'in {above[:-1]} ' if above else ''}must be text, got {key!r}")
        names = f"{above}{key}" in ("model", "model.scores", "model.thresholds")  # which may be all that is said
        if key.startswith("__") or value == {} or (isinstance(value, Mapping) and not (names or any(_leaves(value)))):
            continue  # the parser passes over these
        if not above and key in ("trainer", "model") and isinstance(value, Mapping):
            yield from _in_config(value, where, f"{key}.")
        else:
            yield Setting(f"{above}{key}", value, where, f"{above}{key}")


def _leaves(value: Mapping[Any, Any]) -> Iterator[bool]:
    for item in value.values():
        if isinstance(item, Mapping):
            yield from _leaves(item)
        else:
            yield True


def read_value(text: str) -> Any:
    """A value on the command line, which is YAML; text where it is none."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return text
