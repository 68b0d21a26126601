"""Arrays in `.npy` and idx files: opened after a look at their headers, and mapped."""

from __future__ import annotations

import math
import mmap
import os
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from aeanomaly.data.plain_file import plain_file
from aeanomaly.errors import UserError

_HINTS = {b"\x1f\x8b": " (it is gzip: unpack it)", b"PK": " (it is a zip archive: numpy.save makes the right kind)"}
# Linux refuses to map for writing what is larger than memory unless told to reserve nothing for it. Pages are private
# and never written here, so there is nothing to reserve. Python names the flag from 3.13 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
_LONGEST_ADVICE = 128 * 1024  # bytes; Linux cuts longer ones to the read-ahead of the disk, which by default is this
_TOGETHER = 256  # rows that are sorted and announced at a time


def open_array(path: Path) -> np.memmap[Any, Any]:
    """The array in an uncompressed `.npy` file in C order, or in an idx file of unsigned bytes, whatever its name.

    Nothing but the header is read until somebody looks at the array. The formats are described at
    https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html and https://yann.lecun.com/exdb/mnist.

    Raises:
        UserError: if the file cannot be read, is of neither format, or is not as long as its header says.
    """
    try:
        with plain_file(path).open("rb") as stream:
            start = stream.read(4)
            if start == np.lib.format.MAGIC_PREFIX[:4]:
                array = np.lib.format.open_memmap(path, "r")
            elif start[:2] == b"\0\0" and len(start) == 4:
                array = _open_idx(path, stream, *start[2:])
            else:
                raise UserError(f"{path} is neither .npy nor idx{_HINTS.get(start[:2], '')}")
            excess = os.fstat(stream.fileno()).st_size - array.offset - array.nbytes
    except UserError:  # which is a ValueError
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, OverflowError):  # too short, or not the header of an array of numbers
        raise UserError(f"{path} is incomplete, damaged, or holds objects instead of numbers") from None
    if excess:
        raise UserError(f"{path} has {excess:,} bytes more than its header says: it is damaged")
    if not array.flags.c_contiguous:
        raise UserError(f"{path} is in Fortran order; save numpy.ascontiguousarray(...) of it")
    return array


def _open_idx(path: Path, stream: BinaryIO, kind: int, dimensions: int) -> np.memmap[Any, Any]:
    if kind != 0x08:
        raise UserError(f"{path} is not an idx file of unsigned bytes: its type is 0x{kind:02x}, not 0x08")
    sizes = np.frombuffer(stream.read(4 * dimensions), ">u4").tolist()
    if len(sizes) != dimensions or math.prod(sizes) > os.fstat(stream.fileno()).st_size:
        raise ValueError
    return np.memmap(path, np.uint8, "r", stream.tell(), tuple(sizes))


class MappedBytes:
    """A uint8 array that stays in its file; pages come into memory when touched, and leave it when others need it.

    The mapping is private: writing to `tensor`, the same array, would change this process's copy only.
    """

    def __init__(self, array: np.memmap[Any, Any]) -> None:
        assert array.filename is not None
        self._descriptor = os.open(array.filename, os.O_RDONLY)
        weakref.finalize(self, os.close, self._descriptor)
        if sys.platform == "linux":
            flags, allowed = mmap.MAP_PRIVATE | _NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            self._map = mmap.mmap(self._descriptor, 0, flags=flags, prot=allowed)
        else:
            self._map = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_COPY)
        self.tensor: Tensor = torch.from_numpy(np.ndarray(array.shape, np.uint8, self._map, array.offset))
        self._offset, self._row_bytes = array.offset, math.prod(array.shape[1:])
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
