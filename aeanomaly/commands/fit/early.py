"""Mistakes in the options of a Trainer verb that show without torch, whose import takes seconds.

Nothing is refused here that the parser would take: what is not plain is left to it.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from aeanomaly.commands.fit.class_files import arguments_in, look_at, refuse_argument, refuse_word
from aeanomaly.commands.fit.options import is_option
from aeanomaly.commands.fit.taken_over import not_there
from aeanomaly.commands.fit.values import refuse_out_of_range
from aeanomaly.errors import UserError, suggestion
from aeanomaly.runs.files import read_config

# What a config may hold at its top, whatever the verb, and what is an option beside.
SECTIONS = ("seed_everything", "trainer", "model", "data", "ckpt_path", "weights_only", "verbose", "return_predictions")
_OPTIONS = (*SECTIONS, "config", "print_config", "help", "resume")
_COMPLETE = "--config configs/base.yaml"
_CHOSEN = ("model.net", "data")  # classes that a run cannot do without
_MISSING = object()  # the value of an option that has none


class _Setting(NamedTuple):
    key: str  # dotted, such as trainer.max_epochs
    value: Any
    where: str  # said before it, such as "fast.yaml: "
    name: str  # as it was written


def refuse_early(words: Sequence[str], others: Sequence[str] = (), later: Collection[str] = ()) -> None:
    """Look through the words after a verb, and the configs that they name.

    Args:
        words: what is given.
        others: options that the command has besides, one of which may have been meant.
        later: keys that are set besides the words.

    Raises:
        UserError: for an option or key that does not exist, a word where the Trainer wants a whole number, a value out
            of range, an option without its value, a missing checkpoint, what `look_at` refuses of classes, a score or
            threshold taken over from nowhere, or a net or data without a class.
    """
    if any(re.match(r"(-h|--help|--print_config|--[\w.]+\.help)(=|$)", word) for word in words):
        return  # to be shown, whatever else there is
    known = {"trainer": options_of_trainer(), "model": options_of_model()}
    classes: dict[str, str] = {}  # by their keys
    names: dict[str, set[str] | None] = {}  # of scores and thresholds
    absent = ""
    lacking = [key for key in _CHOSEN if not {key, f"{key}.class_path"}.intersection(later)]
    last: dict[str, _Setting] = {}  # of several for a key the parser takes the last
    for setting in _settings(words):
        section, _, rest = setting.key.partition(".")
        option = rest.partition(".")[0].removesuffix("+")
        if section not in (_OPTIONS if setting.name.startswith("--") else (*SECTIONS, "config")):
            raise UserError(
                f"{setting.where}there is no option {setting.name}; {suggestion(section, (*SECTIONS, *others))}"
            )
        if option and known.get(section) and option not in known[section]:
            likely = suggestion(option, known[section])
            raise UserError(f"{setting.where}there is no option {setting.name}; {likely}")
        if setting.value is _MISSING and section in SECTIONS:
            raise UserError(f"{setting.name} needs a value; one that begins with - is given as {setting.name}=VALUE")
        if section == setting.key:  # a whole section replaces what was said of its keys, and may be a file
            last = {key: value for key, value in last.items() if not key.startswith(f"{section}.")}
        last[setting.key] = setting
        lacking = [key for key in lacking if not _names_class(setting, key)]
        try:
            key = re.sub(r"\.(init_args|class_path)(?=\.|$)", "", setting.key)
            refuse_argument(key, setting.value, setting.where, classes)
            look_at(setting.value, key, setting.where, classes)
            absent = absent or not_there(key, setting.value, setting.where, names)
        except RecursionError:
            raise UserError(f"{setting.where}{setting.key} is nested too deeply") from None
    for section in ("trainer", "model"):
        if section in last and not isinstance(last[section].value, (str, Mapping)):
            given = "nothing" if last[section].value is None else repr(last[section].value)
            raise UserError(f"{last[section].where}{section} must hold keys and values, and holds {given}")
    for key, setting in last.items():
        if key.startswith("trainer."):
            refuse_word(setting.value, known["trainer"].get(key.removeprefix("trainer."), ""), f"{setting.where}{key}")
    if lacking:
        raise UserError(f"{' and '.join(lacking)} must be given: start from a complete config, such as {_COMPLETE}")
    if absent:
        raise UserError(absent)
    plain = {key: setting.value for key, setting in last.items()}
    refuse_out_of_range(plain)
    checkpoint = plain.get("ckpt_path")
    if isinstance(checkpoint, str) and _read(checkpoint) and not Path(checkpoint).is_file():
        raise UserError(f"{last['ckpt_path'].where}ckpt_path: there is no file {checkpoint!r}")


def _names_class(setting: _Setting, key: str) -> bool:
    """Whether a setting gives a key its class, or may do so, as the name of a file may."""
    section, _, option = key.partition(".")
    value = setting.value
    if setting.key in ("config", f"{key}.class_path"):
        return True
    if option and setting.key == section and isinstance(value, Mapping):
        value = value.get(option, {})
    elif setting.key not in (key, section):
        return False
    return not isinstance(value, Mapping) or "class_path" in value


def _settings(words: Sequence[str]) -> Iterator[_Setting]:
    """What configs and options set, in their order."""
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
        elif name.startswith("--") and (sign or follows or missing or name.partition(".")[0][2:] not in _OPTIONS):
            yield _Setting(name[2:], _MISSING if missing else _read(value), "", name)


def _in_config(content: Mapping[Any, Any], where: str, above: str = "") -> Iterator[_Setting]:
    for key, value in content.items():
        if not isinstance(key, str):
            raise UserError(f"{where}a key {f'in {above[:-1]} ' if above else ''}must be text, got {key!r}")
        names = f"{above}{key}" in ("model", "model.scores", "model.thresholds")  # which may be all that is said
        if key.startswith("__") or value == {} or (isinstance(value, Mapping) and not (names or any(_leaves(value)))):
            continue  # the parser passes over these
        if not above and key in ("trainer", "model") and isinstance(value, Mapping):
            yield from _in_config(value, where, f"{key}.")
        else:
            yield _Setting(f"{above}{key}", value, where, f"{above}{key}")


def _leaves(value: Mapping[Any, Any]) -> Iterator[bool]:
    for item in value.values():
        if isinstance(item, Mapping):
            yield from _leaves(item)
        else:
            yield True


def _read(text: str) -> Any:
    """A value on the command line, which is YAML; text where it is none."""
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError):
        return text


def options_of_trainer() -> dict[str, str]:
    """The types of Lightning's Trainer's arguments, by name, read from its file; empty if it is not as expected."""
    found = importlib.util.find_spec("lightning")
    folders = found.submodule_search_locations if found else None
    return arguments_in(Path(folders[0], "pytorch", "trainer", "trainer.py"), "Trainer") if folders else {}


def options_of_model() -> dict[str, str]:
    """The same of our LightningModule."""
    return arguments_in(Path(__file__).parents[2] / "training" / "module.py", "LitAutoencoder")
