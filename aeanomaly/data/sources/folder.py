"""Pictures of the user's own, in folders named for their classes or listed in a table."""

from __future__ import annotations

import json
import logging
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from aeanomaly.data.base import Arrays, OneClassDataModule
from aeanomaly.data.exclusion import excluded, line_of
from aeanomaly.data.picture_cache import cache_places, census, found_or_written
from aeanomaly.data.picture_lists import FolderList, Listed, PictureList, TableList, assigned
from aeanomaly.data.picture_writer import Reading, write_pictures
from aeanomaly.data.pictures import Geometry
from aeanomaly.data.sources.array_files import MappedBytes, open_array
from aeanomaly.data.splits import Class, class_numbers
from aeanomaly.data.table import Rows
from aeanomaly.data.unusable import Unusable, left_out
from aeanomaly.errors import UserError

log = logging.getLogger(__name__)


class PictureFolder(OneClassDataModule):
    """Picture files of any size and kind, in a folder for each class, or listed in a table.

    Folders are ``train/<class>`` and ``test/<class>``, with masks in ``ground_truth/<class>`` if there are any (the
    layout of MVTec AD), or ``<class>`` alone (that of torchvision's ImageFolder), or ``<class>`` beside
    ``test/<class>``. A table is a CSV file with the columns ``path``, ``label``, and maybe ``split`` (train or test)
    and ``mask``. Where nobody says what is for the test, all anomalous pictures are, and of each normal class one in
    so many, in the order of names. Classes are numbered in the order of their names. There may be no anomalous picture
    at all: a model is then trained, and a threshold chosen, but nothing can be said of what it finds.

    Pictures are decoded once, by the first run, into files that later runs map: they take no more memory than there is
    to spare. Files are told apart by name, size and time of change. `aeanomaly.data.pictures` says what becomes of
    unusual kinds.

    Args:
        folder: of the pictures; paths in the table are relative to it.
        table: a CSV file in the place of folders for classes.
        normal_classes: by name, such as 001 or no in quotes, or by number.
        anomaly_classes: likewise.
        size: height and width of the images; one number for both.
        fit: whether a picture of another shape is squeezed into it (``resize``), or what is too much is cut off two
            sides, alike (``crop``).
        channels: 3 for RGB, 1 for grey.
        test_fraction: share of the normal pictures that are tested where nobody says which, in (0, 1).
        on_error: at a picture that cannot be used, ``stop``, or ``skip`` it and warn; all that are skipped stand in a
            file that the warning names.
        exclude: a text file with the paths of training pictures that are left out, one a line, relative to the folder;
            lines that begin with # are comments, and unusual names stand in quotes, as strings of JSON. The others stay
            where they are: in training, or held out.
        cache_dir: where the decoded pictures are kept; by default in the folder ``.aeanomaly_cache`` beside them, or
            in ``~/.cache/aeanomaly`` if nothing can be written there.
        options: those of `OneClassDataModule`.

    Attributes:
        skipped: how many pictures could not be used; None before they were read.

    Raises:
        UserError: for values outside these ranges, or no name of a folder.
    """

    needs_anomalies = False

    def __init__(
        self,
        folder: str | Path,
        table: str | None = None,
        normal_classes: Sequence[Class] | None = ("good",),
        anomaly_classes: Sequence[Class] | None = None,
        size: int | tuple[int, int] = 256,
        fit: Literal["resize", "crop"] = "resize",
        channels: Literal[1, 3] = 3,
        test_fraction: float = 0.2,
        on_error: Literal["stop", "skip"] = "stop",
        cache_dir: str | None = None,
        exclude: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(normal_classes=normal_classes, anomaly_classes=anomaly_classes, **options)
        # Plain numbers, since the name of the cache has them in words.
        height, width = map(operator.index, (size, size) if isinstance(size, (int, np.integer)) else size)
        for name, value, known in (
            ("fit", fit, ("resize", "crop")),
            ("channels", channels, (1, 3)),
            ("on_error", on_error, ("stop", "skip")),
        ):
            if value not in known:
                raise UserError(f"data.{name} must be {known[0]} or {known[1]}, got {value!r}")
        if min(height, width) < 1:
            raise UserError(f"data.size must be at least 1, got {size}")
        if not 0 < test_fraction < 1:
            raise UserError(f"data.test_fraction must lie strictly between 0 and 1, got {test_fraction:g}")
        if not str(folder).strip():
            raise UserError("data.folder must be the name of a folder; is a variable of the shell unset?")
        self.folder = Path(folder)
        self.table = Path(table) if table is not None else None
        self.exclude = Path(exclude) if exclude is not None else None
        self.geometry = Geometry(height, width, fit, channels)
        self.test_fraction, self.on_error, self.cache_dir = test_fraction, on_error, cache_dir
        self.skipped: int | None = None
        self._mapped: dict[str, MappedBytes] = {}
        self._arrays: Arrays | None = None

    def prepare_data(self) -> None:
        """Read the pictures if need be; Lightning calls this on one process per machine.

        Raises:
            UserError: if there are none, one cannot be used, or they cannot be kept.
        """
        if self._arrays is None:  # Lightning asks again before the test
            self._arrays = self._read()
            self._announce(self._arrays)

    def load(self) -> Arrays:
        """What was read, here or by the process that prepared the data."""
        if self._arrays is None:
            self._arrays = self._read()
            if self.trainer is None:  # nobody prepared them
                self._announce(self._arrays)
        return self._arrays

    def will_read(self, array: str) -> Callable[[Tensor], None] | None:
        """Have the images of a batch, or of several, fetched all at once before they are read one after the other."""
        return self._mapped[array].will_read

    def exclude_line(self, path: str) -> str:
        return line_of(path, self.folder)

    @property
    def source(self) -> str:
        """The table, or the folder."""
        return str(self.table or self.folder)

    def _read(self) -> Arrays:
        listed: PictureList = FolderList(self.folder) if self.table is None else TableList(self.table)
        normal = self._normal(listed.classes)

        def pictures() -> Iterator[Listed]:
            return assigned(listed, normal, self.test_fraction)

        found = census(pictures(), self.folder, (self.geometry, self.table and self.table.name), normal)
        remarks = list(listed.remarks(found.masked)) if isinstance(listed, FolderList) else []
        for part in ("train", "test"):
            if not found.counts[part]:
                none = f"{self.source} has no picture to {part} on; it has the classes {listed.classes}"
                raise UserError("; ".join([none, *remarks, *self._said_of(self._overlooked())]))
        reading = Reading(self.folder, self.geometry, normal, self.on_error == "stop")
        places = cache_places(self.folder, self.cache_dir)
        cache = found_or_written(
            places,
            found.name,
            lambda target: write_pictures(target, pictures(), found, reading, self._overlooked()),
        )
        report = json.loads((cache / "report.json").read_text())
        still = [file for file in report["overlooked"] if (self.folder / file).is_file()]
        self._warnings, self.skipped = [*remarks, *report["warnings"], *self._said_of(still)], report["skipped"]
        if self.skipped:
            first = [Unusable(*one) for one in report["first"]]
            said = left_out(first, self.skipped, report["total"], self.folder, cache)
            if self.on_error == "stop":  # a run that skips them has read them
                raise UserError(f"{said}; they are by data.on_error skip only")
            self._warnings.insert(0, said)
        self._mapped = {part: MappedBytes(open_array(cache / f"{part}_images.npy")) for part in ("train", "test")}
        labels = [torch.from_numpy(np.array(open_array(cache / f"{part}_labels.npy"))) for part in ("train", "test")]
        masks = MappedBytes(open_array(cache / "test_masks.npy")).tensor if found.masked else None
        paths = {
            part: Rows(open_array(cache / f"{part}_paths.npy"), read=lambda path: str(self.folder / os.fsdecode(path)))
            for part in ("train", "test")
        }
        train, test = self._mapped["train"].tensor, self._mapped["test"].tensor
        unwanted = excluded(self.exclude, self.folder, paths["train"], pictures()) if self.exclude else None
        return Arrays(train, labels[0], test, labels[1], masks, listed.classes, paths, unwanted)

    def _normal(self, names: Sequence[str]) -> set[int]:
        normal = class_numbers("normal_classes", self.normal_classes, names)
        if normal is None:
            anomalous = class_numbers("anomaly_classes", self.anomaly_classes, names)
            return set(range(len(names))) - set(anomalous or ())
        return set(normal)

    def _overlooked(self) -> list[str]:
        """Files that may be pictures in spite of how they end, relative to the folder; every file is opened for it."""
        return list(FolderList(self.folder).overlooked()) if self.table is None else []

    def _said_of(self, files: Sequence[str]) -> list[str]:
        """A line about files that are overlooked, if there are any."""
        if not files:
            return []
        are = "files begin like a JPEG or PNG and are left out because of how they end"
        return [f"{len(files):,} {are}, such as {self.folder / files[0]}: rename them if they are pictures"]

    def _announce(self, arrays: Arrays) -> None:
        names = arrays.class_names or ()
        normal = self._normal(names)
        kinds = [[name for number, name in enumerate(names) if (number in normal) == kind] for kind in (True, False)]
        log.info("Pictures of %s: normal %s; anomalous %s", self.source, *(", ".join(kind) or "none" for kind in kinds))
        if arrays.left_out is not None:
            counts = (f"{count:,}" for count in (int(arrays.left_out.sum()), len(arrays.left_out)))
            log.info("Left out: %s of %s training pictures, by %s", *counts, self.exclude)
        for warning in self._warnings:
            log.warning("%s", warning)
