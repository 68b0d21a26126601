"""The content of a YAML file as a dataclass, checked by jsonargparse, which needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from jsonargparse import ArgumentError, ArgumentParser

from aeanomaly.commands.parser import one_line
from aeanomaly.errors import UserError, suggestion

T = TypeVar("T")


def typed(kind: type[T], content: Mapping[str, Any], where: str) -> T:
    """An instance of a dataclass with the values of a file; its types and defaults say what is allowed.

    What types cannot say is checked by its ``__post_init__``, which raises a `UserError`.

    Raises:
        UserError: one line that begins with ``where``, if a key is unknown or missing, or a value is not allowed.
    """
    known = [field.name for field in dataclasses.fields(kind) if field.init]  # type: ignore[arg-type]
    for key in content:
        if key not in known:
            raise UserError(f"{where}: unknown key {key!r}; {suggestion(str(key), known)}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind)
    try:
        values = parser.parse_object(dict(content)).as_dict()
        # Where int and float are allowed, whether 2 becomes 2.0 depends on what Python has in its cache of types.
        values |= {key: content[key] for key in content if values[key] == content[key]}
    except ArgumentError as error:
        raise UserError(f"{where}: {one_line(str(error))}") from None
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from None
