"""Which picture files there are, of which class, and in which part: from folders named for the classes, or a table."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from aeanomaly.data.plain_file import plain_file
from aeanomaly.errors import UserError

ENDINGS = (  # of the names of picture files
    *(".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".pbm", ".pnm"),
    *(".tga", ".jp2", ".avif", ".heic", ".heif"),
)
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")  # of the content of JPEG and PNG files
_MASKS = "ground_truth"
_RESERVED = ("train", "test", _MASKS)  # names of folders that are no classes
_VALIDATION = ("val", "valid", "validation")  # of folders that others look for
# Of what `aeanomaly.runs` writes, which this room must not import.
_LOGS, _RUN = "lightning_logs", {"metrics.json", "config.yaml"}


class Listed(NamedTuple):
    """One picture; paths are relative to the folder, or absolute."""

    path: str
    label: int
    part: str  # train or test; empty where nobody says
    mask: str | None  # of what is anomalous in it


class PictureList(Protocol):
    """Pictures in an order that depends on their names alone, listed anew each time, so that none need be kept."""

    classes: list[str]  # names of class 0, 1, ...

    def __iter__(self) -> Iterator[Listed]: ...


class FolderList:
    """A folder for each class: in ``train`` and ``test``, or beside ``test``, or without a ``test``.

    ``ground_truth/<class>/<name>_mask.png`` or ``ground_truth/<class>/<name>.png`` is the mask of
    ``test/<class>/<name>.png``, whatever the endings. This is the layout of MVTec AD (Bergmann et al., 2019), and
    without its parts that of torchvision's ImageFolder. Folders within those of the classes are looked into; names that
    begin with a dot, and files that do not end like a picture, are left out.

    Raises:
        UserError: if there is no such folder, or none with a name of a class.
    """

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise UserError(f"data.folder: there is no folder {root}")
        self._root = root
        place = "train" if (root / "train").is_dir() else ""
        self._places = {"train": place, "test": "test"} if (root / "test").is_dir() else {"": place}
        self._below = {part: self._class_folders(place) for part, place in self._places.items()}
        self._folders = {
            part: {name: below for name, below in folders.items() if next(_pictures(root, below), None)} or folders
            for part, folders in self._below.items()
        }
        self.classes = sorted({name for names in self._folders.values() for name in names})

    def _class_folders(self, place: str) -> dict[str, str]:
        """Folders that may be those of classes, by their name; paths are relative to the root."""
        reserved = () if place else _RESERVED
        names = [name for name, is_folder in _entries(self._root / place) if is_folder and name not in reserved]
        if not names:
            good = self._root / place / "good"
            raise UserError(f"{good.parent} has no folder for each class; put the normal pictures into {good}")
        return {name: name if not place else f"{place}/{name}" for name in names}

    def __iter__(self) -> Iterator[Listed]:
        for part, folders in self._folders.items():
            for name, below in folders.items():
                number, masks = self.classes.index(name), {} if part == "train" else self._masks(below)
                for file in _pictures(self._root, below):
                    stem = _stem(file)
                    yield Listed(file, number, part, masks.get(f"{stem}_mask") or masks.get(stem))

    def overlooked(self) -> Iterator[str]:
        """Files in the folders of classes that begin like a JPEG or PNG, and are left out because of how they end."""
        for folders in self._below.values():
            for below in folders.values():
                for file in _files(self._root, below):
                    if not file.lower().endswith(ENDINGS) and _begins_like_a_picture(self._root / file):
                        yield file

    def remarks(self, masked: bool) -> Iterator[str]:
        """A line about each folder that is passed over although it seems to be meant for something.

        ``masked`` says whether a test picture has a mask.
        """
        if self._places == {"": "train"}:
            for name in _VALIDATION:
                if (self._root / name).is_dir():
                    yield (
                        f"{self._root / name} is passed over, and some pictures of {self._root / 'train'} are tested "
                        "in its place: call it test if they are to be tested"
                    )
        meant = _files(self._root, _MASKS) if not masked and (self._root / _MASKS).is_dir() else iter(())
        if first := next((file for file in meant if file.lower().endswith((*ENDINGS, ".npy"))), None):
            place = self._places.get("test", self._places.get("", ""))
            mask = f"{_MASKS}/{place.removeprefix('test')}/CLASS/NAME".replace("//", "/")
            yield (
                f"no test picture has a mask, and {self._root / first} is passed over: the mask of "
                f"{f'{place}/CLASS'.lstrip('/')}/NAME.png is {mask}_mask.png or {mask}.png"
            )

    def _masks(self, below: str) -> dict[str, str]:
        """What may be the masks of a folder's pictures, by where these would lie, without an ending."""
        place = f"{_MASKS}/{below.removeprefix('test/')}"
        files = _pictures(self._root, place) if (self._root / place).is_dir() else ()
        best_last = sorted(files, key=lambda file: -ENDINGS.index(file[len(_stem(file)) :].lower()))
        return {below + _stem(file).removeprefix(place): file for file in best_last}


def _stem(file: str) -> str:
    return os.path.splitext(file)[0]  # noqa: PTH122


def _pictures(root: Path, below: str) -> Iterator[str]:
    """Files that end like a picture, in this folder of the root and those in it, by their paths in the root."""
    return (file for file in _files(root, below) if file.lower().endswith(ENDINGS))


def _files(root: Path, below: str, above: frozenset[Path] = frozenset()) -> Iterator[str]:
    """All files there, but for hidden ones and those of runs.

    ``above`` are the folders, without links, that lead here: a link back to one of them is passed over.
    """
    entries = _entries(root / below)
    if is_run([name for name, _ in entries]):
        return
    here = (root / below).resolve()
    above |= {here, *here.parents}
    for name, is_folder in entries:
        if is_folder:
            inner = root / below / name
            if not (inner.is_symlink() and inner.resolve() in above):
                yield from _files(root, f"{below}/{name}", above)
        else:
            yield f"{below}/{name}"


def _begins_like_a_picture(path: Path) -> bool:
    try:
        with plain_file(path).open("rb") as stream:
            return stream.read(len(_BEGINNINGS[-1])).startswith(_BEGINNINGS)
    except OSError:
        return False


def is_shown(name: str) -> bool:
    """Whether what has this name may hold pictures: neither what is hidden, nor the folder that runs are written to."""
    return not name.startswith(".") and name != _LOGS


def is_run(names: Iterable[str]) -> bool:
    """Whether a folder with these names in it is that of a finished run, whose pictures are figures."""
    return _RUN.issubset(names)


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Names in a folder, sorted, and whether each is a folder; without those that `is_shown` passes over."""
    try:
        with os.scandir(folder) as entries:
            return sorted((entry.name, _is_folder(entry)) for entry in entries if is_shown(entry.name))
    except OSError as error:
        raise UserError(f"cannot read {folder}: {error.strerror or error}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is one, or leads to one; a link to itself does not, of which the entry raises an error."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


class TableList:
    """The rows of a CSV file with the columns ``path`` and ``label``, and maybe ``split`` and ``mask``.

    Args:
        table: the file; its first line names the columns.

    Raises:
        UserError: if it cannot be read or misses a column; while it is read, for a split other than train and test, or
            a row without a path or label.
    """

    def __init__(self, table: Path) -> None:
        self._table = table
        self.classes = sorted({str(row["label"]) for _, row in self._rows()})

    def _rows(self) -> Iterator[tuple[int, dict[str, Any]]]:
        try:
            with plain_file(self._table).open(encoding="utf-8-sig", newline="") as stream:
                rows = csv.DictReader(self._without_nul(stream))
                for column in ("path", "label"):
                    if column not in (rows.fieldnames or ()):
                        raise UserError(
                            f"{self._table} has no column {column}: its first line must name path and label"
                        )
                for row in rows:
                    if not (row["path"] and row["label"]):
                        raise UserError(f"{self._table}, line {rows.line_num}: a path and a label must stand there")
                    yield rows.line_num, row
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise UserError(f"cannot read {self._table}: {getattr(error, 'strerror', None) or error}") from None

    def _without_nul(self, lines: Iterable[str]) -> Iterator[str]:
        """The same lines: no file has such a name, and a table of UTF-16 is full of it."""
        for number, line in enumerate(lines, start=1):
            if "\0" in line:
                raise UserError(f"{self._table}, line {number}: a NUL character stands there; save the table as UTF-8")
            yield line

    def __iter__(self) -> Iterator[Listed]:
        numbers = {name: number for number, name in enumerate(self.classes)}
        for line, row in self._rows():
            part = row.get("split", "")
            if "split" in row and part not in ("train", "test"):
                raise UserError(f"{self._table}, line {line}: split must be train or test, not {part!r}")
            yield Listed(row["path"], numbers[row["label"]], part, row.get("mask") or None)


def assigned(pictures: PictureList, normal: Collection[int], test_fraction: float) -> Iterator[Listed]:
    """The pictures, each in a part: where nobody says, some normal ones and all others are tested.

    The normal ones are evenly spread over their class, such as every fifth, so that pictures which are added to another
    class move none.
    """
    seen: Counter[int] = Counter()
    for picture in pictures:
        if not picture.part:
            count = seen[picture.label] = seen[picture.label] + 1
            held_out = int(count * test_fraction) > int((count - 1) * test_fraction)
            tested = held_out or picture.label not in normal
            yield picture._replace(part="test" if tested else "train")
        else:
            yield picture
