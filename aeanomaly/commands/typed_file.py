"""The content of a YAML file as a dataclass, checked by jsonargparse, which needs no torch."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from aeanomaly.commands.one_line import one_line
from aeanomaly.errors import UserError

T = TypeVar("T")


def typed(kind: type[T], content: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass with the values of a file; its types and defaults say what is allowed.

    Args:
        kind: the dataclass. What types cannot say is checked by its ``__post_init__``, which raises a `UserError`.
        content: keys and values of the file.
        where: what the messages begin with, such as the name of the file.

    Raises:
        UserError: in one line, if a key is unknown or missing, or a value is not allowed.
    """
    known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
            raise UserError(f"{where}: unknown key {key!r}; {hint}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        values = parser.parse_object(dict(content)).as_dict()
    except ArgumentError as error:
        raise UserError(f"{where}: {one_line(str(error))}") from None
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
