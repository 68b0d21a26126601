"""An object as a class path and arguments, which a checkpoint can hold and jsonargparse can build from."""

from __future__ import annotations

import inspect
from typing import Any

from aeanomaly.outputs import Described

_PLAIN = (bool, int, float, str)


def describe(value: Any) -> Any:
    """Plain types as they are, a class or function as its import path, a `Described` as class path and arguments.

    What inherits from a plain type becomes one: ``weights_only`` refuses a checkpoint with a ``numpy.float64``.

    Raises:
        TypeError: for anything else, such as a lambda, an array, a module that is built by hand, or a class whose
            constructor was given ``*args``.
    """
    if value is None:
        return None
    for plain in _PLAIN:
        if isinstance(value, plain):
            return plain(value)
    if isinstance(value, (list, tuple)):
        return [describe(item) for item in value]
    if isinstance(value, dict):
        return {key: describe(item) for key, item in value.items()}
    if isinstance(value, Described):
        args, kwargs = value.arguments
        return {"class_path": _path(type(value)), "init_args": _named(type(value), args, kwargs)}
    if inspect.isclass(value) or inspect.isfunction(value):
        return _path(value)
    raise TypeError(f"{type(value).__name__} cannot be described by a class path and arguments")


def _named(kind: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a constructor by name, those that it takes by ``**`` beside the others."""
    signature = inspect.signature(kind)
    named: dict[str, Any] = {}
    for name, argument in signature.bind(*args, **kwargs).arguments.items():
        kept_as = signature.parameters[name].kind
        if kept_as is inspect.Parameter.VAR_POSITIONAL:
            raise TypeError(f"{kind.__name__} takes *{name}, which have no names to be written under")
        named |= argument if kept_as is inspect.Parameter.VAR_KEYWORD else {name: argument}
    return {name: describe(argument) for name, argument in named.items()}


def _path(value: Any) -> str:
    path = f"{value.__module__}.{value.__qualname__}"
    if "<" in path or value.__module__ == "__main__":
        raise TypeError(f"{path} cannot be imported")
    return path
