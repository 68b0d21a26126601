"""Which files are to be scored, found without torch."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from aeanomaly.data.picture_lists import ENDINGS, is_run, is_shown
from aeanomaly.errors import UserError


class Listing:
    """The pictures that words of the command line mean, in an order that is always the same.

    A folder is walked again for each use, so that there is no list of a million paths. Hidden files and folders in it
    are passed over, and so are what has no suffix of a picture, and runs with their figures. A run that is named itself
    is walked.

    Args:
        words: folders, files, or patterns as of `glob`, where ``**`` stands for any folders.

    Attributes:
        array: the one .npy file, if that is what is meant.
        count: number of pictures; 0 for an array.
        common: the folder that everything lies in, with whatever folders lie between.

    Raises:
        UserError: if a word means nothing, there is no picture, or an array stands beside other words.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._found: list[str] = []
        for word in words:
            if Path(word).exists():  # a bracket in a name is no pattern
                self._found.append(word)
                continue
            pattern = glob.has_magic(word)
            matching = sorted(glob.glob(word, recursive=True)) if pattern else []  # noqa: PTH207 - Path takes none with /
            # Files below a folder match `**` themselves.
            matching = [path for path in matching if _is_picture(path) or ("**" not in word and Path(path).is_dir())]
            if not matching:
                raise UserError(
                    f"--images: {'no picture matches' if pattern else 'there is no folder or file'} {word!r}"
                )
            self._found += matching
        arrays = [path for path in self._found if path.endswith(".npy")]
        if arrays and len(self._found) > 1:
            raise UserError(f"--images takes one array at a time, got {arrays[0]} and more")
        self.array = Path(arrays[0]) if arrays else None
        self.count = 0 if arrays else sum(1 for _ in self)
        if not self.count and not arrays:
            raise UserError(f"--images: no picture in {', '.join(words)} (no {', '.join(ENDINGS[:3])}, ...)")

        folders = [path if Path(path).is_dir() else Path(path).parent for path in self._found]
        self.common = os.path.commonpath([os.path.abspath(folder) for folder in folders])  # noqa: PTH100 - see `relative`

    def relative(self, name: str) -> Path:
        """Where a picture lies in the common folder; different for any two files."""
        # Links are not followed: two names of one file are two pictures.
        return Path(os.path.relpath(os.path.abspath(name), self.common))  # noqa: PTH100

    def walks_through(self, folder: Path) -> bool:
        """Whether pictures that appear in a folder would be among those listed."""
        walked = [Path(os.path.realpath(path)) for path in self._found if Path(path).is_dir()]
        real = Path(os.path.realpath(folder))  # Path.resolve raises for a link that leads to itself
        return any(place in (real, *real.parents) for place in walked)

    def __iter__(self) -> Iterator[str]:
        for path in self._found:
            yield from _walk(path) if Path(path).is_dir() else [path]


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS)


def _walk(folder: str) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        if place != folder and is_run(files):
            folders.clear()
            continue
        folders[:] = sorted(filter(is_shown, folders))
        for name in sorted(files):
            if _is_picture(name) and not name.startswith("."):
                yield str(Path(place, name))
