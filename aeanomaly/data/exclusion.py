"""Training pictures that the user has found not to be normal, and lists in a text file, so that they are left out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from aeanomaly.data.picture_lists import Listed
from aeanomaly.data.plain_file import plain_file
from aeanomaly.errors import UserError


class _Line(NamedTuple):
    number: int  # in the file, from 1
    path: str


def excluded(file: Path, folder: Path, paths: Sequence[str], pictures: Iterable[Listed]) -> Tensor:
    """Which training pictures a list names, (N,) bool.

    The list is a text file with one path a line, relative to the folder, or absolute, or from where the program was
    started. Empty lines and those that begin with # say nothing. Space around a path is no part of it, unless the path
    stands in double quotes, in which it is written as a string of JSON.

    Args:
        file: the list.
        folder: of the pictures.
        paths: to the N training pictures that could be read, the folder's own path included.
        pictures: all that there are, with their parts; looked at only if a line names none of ``paths``.

    Raises:
        UserError: if the list cannot be read, or names what is no training picture.
    """
    wanted = list(_lines(file))
    keys = {line.path: (_key(folder / line.path), _key(Path(line.path))) for line in wanted}
    rows: dict[str, list[int]] = {key: [] for pair in keys.values() for key in pair}
    for row, path in enumerate(paths):
        rows.get(_key(Path(path)), []).append(row)
    left_out, unknown = torch.zeros(len(paths), dtype=torch.bool), []
    for line in wanted:
        in_folder, from_here = keys[line.path]
        found = rows[in_folder] or rows[from_here]
        left_out[found] = True
        if not found:
            unknown.append(line)
    if unknown:
        parts = {_key(folder / picture.path): picture.part for picture in pictures}
        for line in unknown:
            part = next((parts[key] for key in keys[line.path] if key in parts), None)
            if part != "train":  # else a picture that cannot be read, and is left out anyway
                why = "a test picture, and those are not trained on" if part else f"no picture of {folder}"
                raise UserError(f"data.exclude: {file}, line {line.number}: {line.path} is {why}")
    return left_out


def line_of(path: str, folder: Path) -> str:
    """The line that names the picture at a path: relative to the folder if it lies there, in quotes if need be."""
    inside = Path(path).is_relative_to(folder)
    name = str(Path(path).relative_to(folder)) if inside else os.path.abspath(path)  # noqa: PTH100
    plain = name.isprintable() and name == name.strip() and not name.startswith(("#", '"'))
    return name if plain else json.dumps(name)


def _lines(file: Path) -> Iterator[_Line]:
    try:
        text = plain_file(file).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise UserError(f"data.exclude: cannot read {file}: {error.strerror or error}") from None
    for number, line in enumerate(text.split("\n"), start=1):
        path = line.strip()
        if path and not path.startswith("#"):
            yield _Line(number, _unquoted(path, f"data.exclude: {file}, line {number}"))


def _unquoted(text: str, where: str) -> str:
    if len(text) < 2 or not (text.startswith('"') and text.endswith('"')):
        return text
    try:
        return str(json.loads(text))
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: {text} is no string of JSON, as a path in quotes must be: {error.msg}") from None


def _key(path: Path) -> str:
    """The same for every way to write a path; links are not followed, since two of them are two pictures."""
    return os.path.normcase(os.path.abspath(path))  # noqa: PTH100
