"""Why trainer, net or data could not be made of a configuration that the parser took."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import lightning

from aeanomaly.errors import UserError
from aeanomaly.runs.files import is_full_disk

_LIGHTNING = Path(lightning.__file__).parent
# Types that accept null, as far as their names tell.
_MAY_BE_NULL = re.compile(r"None|Optional|Any\b|object")

_WORD = re.compile("[a-z]{3,}")


def why_not_built(error: BaseException, config: Mapping[str, Any], built: bool) -> str:
    """What is wrong in a configuration, told by an exception; empty if that is a defect.

    The parser takes null for any value, as a synonym of leaving it out.

    Args:
        error: what ended the command.
        config: of the command, with ``class_path`` and ``init_args``.
        built: whether it was raised after everything was built.
    """
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:  # one that is raised again in another thread may cause itself
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(map(is_full_disk, chain)):  # whatever Lightning makes of it
        return ""
    texts = [str(each) for each in chain]
    if not built and isinstance(error, RecursionError):
        return "the configuration is nested too deeply"
    if not built and isinstance(error, OSError) and error.filename is None:
        return f"a file that an option names cannot be read: {error.strerror or error}"
    if any("NoneType" in text for text in texts) and (empty := next(iter(_nulls(config)), None)):
        return empty
    if isinstance(error, UserError):
        return ""
    if key := next(iter(_unions(config)), None):
        return f"{key}: expected a class, such as package.module.Class, got keys and values without its class_path"
    text = " ".join(texts[0].split())
    raised_by = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    if _LIGHTNING in raised_by.parents and (not built or isinstance(error, ValueError)):
        trainer = config.get("trainer")
        trainer = trainer if isinstance(trainer, Mapping) else {}
        named = next((name for name in re.findall(r"`(?:Trainer\()?(\w+)", text) if name in trainer), None)
        named = named or _by_its_value(text, trainer)
        return f"trainer{f'.{named} is {trainer[named]!r}' if named else ''}: {text}"
    return text if not built and isinstance(error, ValueError) and "Namespace(" not in text else ""


def _by_its_value(text: str, trainer: Mapping[str, Any]) -> str | None:
    """The option whose value shares a word with a text that names none, such as that of a library that is missing."""
    said = set(_WORD.findall(text.lower()))
    given = ((name, trainer.get(name)) for name in ("precision", "profiler", "strategy", "accelerator"))
    return next((name for name, value in given if isinstance(value, str) and said & {*_WORD.findall(value)}), None)


def _nulls(value: Any, key: str = "") -> Iterator[str]:
    """What is null where the type of an argument of a class says that it must not be."""
    for path, name, item in _walk(value, key):
        if isinstance(item, Mapping) and isinstance(item.get("init_args"), Mapping):
            for option, given in item["init_args"].items():
                wanted = _type_of(item.get("class_path"), option) if given is None else ""
                if wanted:
                    yield f"{path}{name}.{option}: expected {wanted}, got null"


def _unions(value: Any) -> Iterator[str]:
    """Where the parser took the union of two classes for the class that was not named."""
    for path, name, item in _walk(value, ""):
        if isinstance(item, Mapping) and item.get("class_path") == "typing.Union":
            yield f"{path}{name}"


def _walk(value: Any, path: str) -> Iterator[tuple[str, str, Any]]:
    """Every key of a configuration, as people write it, with its value."""
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        if name == "init_args":
            yield from _walk(item, path)
        else:
            yield path, str(name), item
            yield from _walk(item, f"{path}{name}.")


def _type_of(class_path: Any, option: str) -> str:
    """The type of an argument that must not be null; empty if it may, or nothing says so."""
    module, _, name = str(class_path).rpartition(".")
    for parent in getattr(getattr(sys.modules.get(module), name, None), "__mro__", ()):
        parameter = inspect.signature(parent.__init__).parameters.get(option) if "__init__" in vars(parent) else None
        if parameter is not None and parameter.kind is not parameter.VAR_KEYWORD:
            kind = parameter.annotation
            text = "" if kind is parameter.empty else kind if isinstance(kind, str) else inspect.formatannotation(kind)
            return "" if parameter.default is None or _MAY_BE_NULL.search(text) else text
    return ""
