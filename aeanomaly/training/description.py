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
        TypeError: for anything else, such as a lambda, an array or a module that is built by hand.
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
        bound = inspect.signature(type(value)).bind(*args, **kwargs)
        return {"class_path": _path(type(value)), "init_args": {k: describe(v) for k, v in bound.arguments.items()}}
    if inspect.isclass(value) or inspect.isfunction(value):
        return _path(value)
    raise TypeError(f"{type(value).__name__} cannot be described by a class path and arguments")


def _path(value: Any) -> str:
    path = f"{value.__module__}.{value.__qualname__}"
    if "<" in path or value.__module__ == "__main__":
        raise TypeError(f"{path} cannot be imported")
    return path
