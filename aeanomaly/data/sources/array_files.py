"""Arrays in `.npy` and idx files: what their headers say, and their content read or mapped."""

from __future__ import annotations

import math
import mmap
import os
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from aeanomaly.errors import UserError

_NPY_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_IDX_UNSIGNED_BYTE = 0x08
_HINTS = {b"\x1f\x8b": " (it is gzip: unpack it)", b"PK": " (it is a zip archive: numpy.save makes the right kind)"}
# Linux refuses to map for writing what is larger than memory unless told to reserve nothing for it. Pages are private
# and never written here, so there is nothing to reserve. Python names the flag from 3.13 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_LONGEST_ADVICE = 128 * 1024  # bytes; Linux cuts longer ones to the read-ahead of the disk, which by default is this
_TOGETHER = 256  # rows that are sorted and announced at a time


class Header(NamedTuple):
    """Where an array lies in its file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int  # of the first element, in bytes


def read_header(path: Path) -> Header:
    """The header of an uncompressed `.npy` file in C order, or of an idx file of unsigned bytes, whatever its name.

    The formats are described at https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html and
    https://yann.lecun.com/exdb/mnist.

    Raises:
        UserError: if the file cannot be read, is of neither format, or is not as long as its header says.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            stream.seek(0)
            if start == np.lib.format.MAGIC_PREFIX[:4]:
                header = _npy_header(stream, path)
            elif start[:2] == b"\0\0" and len(start) == 4:
                header = _idx_header(stream, path)
            else:
                raise UserError(f"{path} is neither .npy nor idx{_HINTS.get(start[:2], '')}")
            length = os.fstat(stream.fileno()).st_size
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    expected = header.offset + math.prod(header.shape) * header.dtype.itemsize
    if length != expected:
        raise UserError(f"{path} has {length:,} bytes, but its header says {expected:,}: it is incomplete or damaged")
    return header


def _npy_header(stream: BinaryIO, path: Path) -> Header:
    try:
        shape, fortran_order, dtype = _NPY_READERS[np.lib.format.read_magic(stream)](stream)
    except (ValueError, KeyError):  # KeyError: version 3.0, which only tables with named columns need
        raise UserError(f"{path} has a damaged .npy header") from None
    if dtype.kind not in "biuf":
        raise UserError(f"{path} holds {dtype} instead of numbers")
    if fortran_order and len(shape) > 1:
        raise UserError(f"{path} is in Fortran order; save numpy.ascontiguousarray(...) of it")
    return Header(shape, dtype, stream.tell())


def _idx_header(stream: BinaryIO, path: Path) -> Header:
    _, _, kind, dimensions = stream.read(4)
    if kind != _IDX_UNSIGNED_BYTE:
        raise UserError(f"{path} is not an idx file of unsigned bytes: its type is 0x{kind:02x}, not 0x08")
    sizes = stream.read(4 * dimensions)
    if len(sizes) != 4 * dimensions:
        raise UserError(f"{path} ends within its header: it is incomplete or damaged")
    return Header(tuple(np.frombuffer(sizes, ">u4").tolist()), np.dtype(np.uint8), 4 + len(sizes))


def read_array(path: Path, header: Header) -> np.ndarray[Any, Any]:
    """The content, in memory."""
    count = math.prod(header.shape)
    return np.fromfile(path, header.dtype, count, offset=header.offset).reshape(header.shape)


class MappedBytes:
    """A uint8 array that stays in its file; pages come into memory when touched, and leave it when others need it.

    The mapping is private: writing to `tensor` would change this process's copy only.

    Args:
        path: the file.
        header: what `read_header` says about it.

    Attributes:
        tensor: the array, of ``header.shape``.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self._descriptor = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        if sys.platform == "linux":
            flags, allowed = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            self._map = mmap.mmap(self._descriptor, 0, flags=flags, prot=allowed)
        else:
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_COPY)
        flat = np.frombuffer(self._map, np.uint8, math.prod(header.shape), header.offset)
        self.tensor: Tensor = torch.from_numpy(flat.reshape(header.shape))
        self._offset, self._row_bytes = header.offset, math.prod(header.shape[1:])
        self._announcer: ThreadPoolExecutor | None = None
        if hasattr(mmap, "MADV_RANDOM") and hasattr(os, "posix_fadvise"):
            # Around a page that is missing Linux reads some more, megabytes on some machines. In a shuffled order that
            # is read in vain; `will_read` says what is needed.
            self._map.madvise(mmap.MADV_RANDOM)
            # In a thread: announcing a page costs a fifth of training on an image of 28x28 pixels.
            self._announcer = ThreadPoolExecutor(1, "announcer")

    def will_read(self, rows: Tensor) -> None:
        """Have the system fetch these (B,) rows beforehand, many at once instead of one after the other.

        Returns at once; they are announced in their order, a few hundred at a time.
        """
        if self._announcer is not None and len(rows):
            self._announcer.map(self._announce, rows.split(_TOGETHER))

    def _announce(self, rows: Tensor) -> None:
        first = rows.sort().values.numpy() * self._row_bytes + self._offset
        pages, last_pages = first // mmap.PAGESIZE, (first + self._row_bytes - 1) // mmap.PAGESIZE
        begins = np.flatnonzero(np.diff(pages, prepend=-2) > 1)  # rows on the same or the next page are one stretch
        ends = last_pages[np.append(begins[1:], len(pages)) - 1] + 1
        for begin, end in zip((pages[begins] * mmap.PAGESIZE).tolist(), (ends * mmap.PAGESIZE).tolist(), strict=True):
            for place in range(begin, end, _LONGEST_ADVICE):
                length = min(end - place, _LONGEST_ADVICE)
                os.posix_fadvise(self._descriptor, place, length, os.POSIX_FADV_WILLNEED)
