"""Reading all pictures once, on all processors, into files that are mapped from then on."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
import warnings
from array import array
from collections.abc import Collection, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from joblib import cpu_count
from rich.console import Console
from rich.progress import track
from torch import Tensor

from aeanomaly.data.ahead import ahead
from aeanomaly.data.picture_cache import Census
from aeanomaly.data.picture_lists import Listed
from aeanomaly.data.pictures import Geometry, PictureError, read_mask, read_picture
from aeanomaly.data.plain_file import plain_file
from aeanomaly.data.row_file import RowFile
from aeanomaly.data.unusable import LIST, SHOWN, Unusable, some
from aeanomaly.errors import UserError

_AHEAD = 16  # pictures for each processor that may wait for their turn to be written

Item = TypeVar("Item")
log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """How pictures are read."""

    folder: Path
    geometry: Geometry
    normal: Collection[int]  # numbers of the classes that may lack masks
    stop: bool  # at the first picture that cannot be used


class _Pixels(NamedTuple):
    picture: Tensor  # (C, H, W)
    mask: Tensor | None  # (H, W)
    digest: int  # of the file, the same in this process for the same content


def write_pictures(
    target: Path, pictures: Iterable[Listed], found: Census, reading: Reading, overlooked: Sequence[str]
) -> None:
    """Read pictures into ``train_images.npy``, ``train_labels.npy``, ``train_paths.npy``, and the same for the test.

    ``test_masks.npy`` is there if a test picture has a mask. ``report.json`` has what the user should know: how many
    pictures there are in ``total``, how many were ``skipped`` and the ``first`` of them, ``warnings``, and the files
    that were ``overlooked``, as they are given.
    ``skipped.txt`` has a line for each picture that was skipped.
    Memory does not grow with the number of pictures, but by 8 bytes for each.

    Raises:
        UserError: for a picture that cannot be used, if that is to stop the reading; if none is left for a part.
    """
    shape, total, started = reading.geometry.shape, sum(found.counts.values()), time.perf_counter()
    log.info("Reading %s pictures of %s", f"{total:,}", reading.folder)
    first: list[Unusable] = []
    skipped = 0
    digests = {part: array("q") for part in ("train", "test")}
    with ExitStack() as files:
        skipped_list = files.enter_context((target / LIST).open("w", encoding="utf-8"))
        rows = {"test_masks": files.enter_context(RowFile(target / "test_masks.npy", "u1", shape[1:]))}
        for part in digests:
            for name, dtype, of_row in (("images", "u1", shape), ("labels", "i8", ()), ("paths", found.path_type, ())):
                file = RowFile(target / f"{part}_{name}.npy", dtype, of_row)
                rows[f"{part}_{name}"] = files.enter_context(file)
        files.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", module="PIL")  # large or odd, but read
        read = ahead(
            lambda picture: _read(picture, found.masked, reading), _shown(pictures, total), _AHEAD * cpu_count()
        )
        for picture, pixels in files.enter_context(closing(read)):
            if isinstance(pixels, Unusable):
                if reading.stop:
                    said = pixels.said(reading.folder)
                    raise UserError(f"{said}; or leave out what cannot be used: data.on_error skip")
                skipped += 1
                first += [pixels] if skipped <= SHOWN else []
                skipped_list.write(f"{pixels.line}\n")
                continue
            digests[picture.part].append(pixels.digest)
            rows[f"{picture.part}_images"].append(pixels.picture)
            rows[f"{picture.part}_labels"].append(picture.label)
            rows[f"{picture.part}_paths"].append(os.fsencode(picture.path))
            if pixels.mask is not None:
                rows["test_masks"].append(pixels.mask)
    for part, done in digests.items():
        if not done:
            reasons = some((one.said(reading.folder) for one in first), skipped)
            raise UserError(f"{reading.folder}: no {part} picture can be used: {reasons}")
    if not found.masked:
        (target / "test_masks.npy").unlink()
    report = {"total": total, "skipped": skipped, "first": first, "overlooked": overlooked}
    report["warnings"] = _twins(target, digests)
    (target / "report.json").write_text(json.dumps(report))
    log.info("Read in %.1f s; next time they are there at once", time.perf_counter() - started)


def _read(picture: Listed, masked: bool, reading: Reading) -> tuple[Listed, _Pixels | Unusable]:
    """A picture with its pixels, or with what is wrong with it."""
    reading_mask = None
    try:
        content = _content(reading.folder / picture.path)
        pixels, size = read_picture(content, reading.geometry)
        mask = None
        if masked and picture.part == "test":
            if picture.mask is not None:
                reading_mask = picture.mask
                mask = read_mask(_content(reading.folder / picture.mask), reading.geometry, size)
            elif picture.label in reading.normal:
                mask = torch.zeros(reading.geometry.shape[1:], dtype=torch.uint8)
            else:
                raise PictureError("is anomalous and has no mask, while others have one")
    except PictureError as error:
        return picture, Unusable(picture.path, str(error), reading_mask)
    return picture, _Pixels(pixels, mask, hash(content))


def _content(path: Path) -> bytes:
    try:
        return plain_file(path).read_bytes()
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror or error})") from None


def _shown(pictures: Iterable[Item], total: int) -> Iterable[Item]:
    """The same, with a bar on a terminal."""
    console = Console(stderr=True)
    return track(pictures, "pictures", total, console=console, transient=True, disable=not sys.stderr.isatty())


def _twins(target: Path, digests: dict[str, array[int]]) -> list[str]:
    """A line about files with the same content in training and test, if there are any."""
    train, test = (np.frombuffer(digests[part], np.int64) for part in ("train", "test"))
    twins = np.flatnonzero(np.isin(test, train))
    if not len(twins):
        return []
    train_paths, test_paths = (np.load(target / f"{part}_paths.npy", mmap_mode="r") for part in ("train", "test"))
    pairs = []
    for row in twins[:SHOWN].tolist():
        other = int(np.flatnonzero(train == test[row])[0])
        pairs.append(f"{os.fsdecode(test_paths[row])} is {os.fsdecode(train_paths[other])}")
    return [f"{len(twins):,} test pictures are among the training pictures too: {some(pairs, len(twins))}"]
