"""Pictures that cannot be used: what is said of them, and the list of them that is kept beside what was read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from aeanomaly.data.exclusion import line_of

LIST = "skipped.txt"  # in the cache: a line for each picture that cannot be used
SHOWN = 3  # of many files with the same trouble


class Unusable(NamedTuple):
    """One of them; paths are relative to the folder of the pictures, which need not be where it was, or absolute."""

    path: str
    reason: str  # said after the name of the picture, or of the mask
    mask: str | None = None  # if that is what cannot be used

    def said(self, folder: Path) -> str:
        """What is wrong with it, after its path from here."""
        mask = f"has a mask, {folder / self.mask}, that " if self.mask is not None else ""
        return f"{folder / self.path} {mask}{self.reason}"

    @property
    def line(self) -> str:
        """Its line in the list: the path as in a list for ``data.exclude``, a tab, and the reason."""
        mask = f"has a mask, {line_of(self.mask, Path())}, that " if self.mask is not None else ""
        return f"{line_of(self.path, Path())}\t{mask}{self.reason}"


def some(lines: Iterable[str], count: int) -> str:
    """Some of the lines, and how many more there are."""
    shown = list(islice(lines, SHOWN))
    return "; ".join(shown) + (f"; and {count - len(shown):,} more" if count > len(shown) else "")


def left_out(first: Iterable[Unusable], count: int, total: int, folder: Path, cache: Path) -> str:
    """That so many of all pictures are left out, what is wrong with the first, and where all of them are listed."""
    named = some((one.said(folder) for one in first), count)
    return f"{count:,} of {total:,} pictures cannot be used and are left out: {named}; all are listed in {cache / LIST}"
