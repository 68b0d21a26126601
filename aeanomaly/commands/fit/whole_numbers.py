"""Whole numbers of the Trainer's options stay whole, whatever was imported before it."""

from __future__ import annotations

import inspect
from typing import get_args

from lightning.pytorch import Trainer


def keep_whole_numbers() -> None:
    """Put int before float in the types of the Trainer's options; the parser takes the first that fits.

    Lightning writes ``Optional[Union[int, float]]`` there and ``Optional[Union[float, int]]`` elsewhere. To Python
    these are equal, and its cache of types may give the Trainer the latter, by which 2 batches become 2.0, and 1 batch
    1.0, which is all of them.
    """
    types = inspect.unwrap(Trainer.__init__).__annotations__
    for name, kind in types.items():
        if get_args(kind) == (float, int, type(None)):
            types[name] = int | float | None
        elif get_args(kind) == (float, int):
            types[name] = int | float
