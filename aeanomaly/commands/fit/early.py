"""Mistakes in the options of a Trainer verb that show without torch, whose import takes seconds.

Nothing is refused here that the parser would take: what is not plain is left to it.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from aeanomaly.commands.fit.class_files import arguments_in, look_at, refuse_argument, refuse_word
from aeanomaly.commands.fit.settings import MISSING, OPTIONS, SECTIONS, Setting, last_of, read_value, settings_of
from aeanomaly.commands.fit.taken_over import not_there
from aeanomaly.commands.fit.values import refuse_out_of_range
from aeanomaly.errors import UserError, suggestion

_COMPLETE = "--config configs/base.yaml"
_CHOSEN = ("model.net", "data")  # classes that a run cannot do without


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
    settings: list[Setting] = []
    for setting in settings_of(words):  # an unknown key is told before a config behind it that cannot be read
        _refuse_unknown(setting, known, others)
        settings.append(setting)
    nameless = _look_at_classes(settings)
    last = last_of(settings)
    _refuse_sections_without_keys(last)
    for key, setting in last.items():
        if key.startswith("trainer."):
            refuse_word(setting.value, known["trainer"].get(key.removeprefix("trainer."), ""), f"{setting.where}{key}")
    _refuse_incomplete(settings, later)
    if nameless:
        raise UserError(nameless)
    refuse_out_of_range({key: setting.value for key, setting in last.items()})
    _refuse_missing_checkpoint(last)


def _refuse_unknown(setting: Setting, known: Mapping[str, Mapping[str, str]], others: Sequence[str]) -> None:
    """Refuse an option that does not exist, or that has no value.

    Args:
        known: the options of a section, by its name.
        others: see `refuse_early`.
    """
    section, _, rest = setting.key.partition(".")
    option = rest.partition(".")[0].removesuffix("+")
    likely = ""
    if section not in (OPTIONS if setting.name.startswith("--") else (*SECTIONS, "config")):
        likely = suggestion(section, (*SECTIONS, *others))
    elif option and known.get(section) and option not in known[section]:
        likely = suggestion(option, known[section])
    if likely:
        raise UserError(f"{setting.where}there is no option {setting.name}; {likely}")
    if setting.value is MISSING and section in SECTIONS:
        raise UserError(f"{setting.name} needs a value; one that begins with - is given as {setting.name}=VALUE")


def _look_at_classes(settings: Sequence[Setting]) -> str:
    """Refuse classes and arguments that do not exist; what `not_there` has to complain of first, or nothing."""
    classes: dict[str, str] = {}  # by their keys
    names: dict[str, set[str] | None] = {}  # of scores and thresholds
    nameless = ""
    for setting in settings:
        key = setting.place
        try:
            refuse_argument(key, setting.value, setting.where, classes)
            look_at(setting.value, key, setting.where, classes)
            nameless = nameless or not_there(key, setting.value, setting.where, names)
        except RecursionError:
            raise UserError(f"{setting.where}{setting.key} is nested too deeply") from None
    return nameless


def _refuse_sections_without_keys(last: Mapping[str, Setting]) -> None:
    for section in ("trainer", "model"):
        if section in last and not isinstance(last[section].value, (str, Mapping)):
            given = "nothing" if last[section].value is None else repr(last[section].value)
            raise UserError(f"{last[section].where}{section} must hold keys and values, and holds {given}")


def _refuse_incomplete(settings: Sequence[Setting], later: Collection[str]) -> None:
    lacking = [
        key
        for key in _CHOSEN
        if not ({key, f"{key}.class_path"}.intersection(later) or any(_names_class(each, key) for each in settings))
    ]
    if lacking:
        raise UserError(f"{' and '.join(lacking)} must be given: start from a complete config, such as {_COMPLETE}")


def _names_class(setting: Setting, key: str) -> bool:
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


def _refuse_missing_checkpoint(last: Mapping[str, Setting]) -> None:
    given = last.get("ckpt_path")
    if given and isinstance(given.value, str) and read_value(given.value) and not Path(given.value).is_file():
        raise UserError(f"{given.where}ckpt_path: there is no file {given.value!r}")


def options_of_trainer() -> dict[str, str]:
    """The types of Lightning's Trainer's arguments, by name, read from its file; empty if it is not as expected."""
    found = importlib.util.find_spec("lightning")
    folders = found.submodule_search_locations if found else None
    return arguments_in(Path(folders[0], "pytorch", "trainer", "trainer.py"), "Trainer") if folders else {}


def options_of_model() -> dict[str, str]:
    """The same of our LightningModule."""
    return arguments_in(Path(__file__).parents[2] / "training" / "module.py", "LitAutoencoder")
