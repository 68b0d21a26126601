"""An array file that grows by a row at a time, for what is larger than memory."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from typing_extensions import Self


class RowFile:
    """An `.npy` file of as many rows as are appended; on leaving the context it says how many.

    Args:
        path: a new file.
        dtype: numpy's name of it.
        shape: of a row.
    """

    def __init__(self, path: Path, dtype: str, shape: tuple[int, ...] = ()) -> None:
        self.count, self._dtype, self._shape = 0, np.dtype(dtype), shape
        self._stream = path.open("wb")
        self._write_header()

    def _write_header(self) -> None:
        # Its length does not depend on the count: numpy leaves room for one that grows.
        header = {"descr": np.lib.format.dtype_to_descr(self._dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._stream, {**header, "shape": (self.count, *self._shape)})

    def append(self, row: Any) -> None:
        """Write one row, whatever numpy makes an array of."""
        self._stream.write(np.ascontiguousarray(row, self._dtype).data)
        self.count += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._stream:
            self._stream.seek(0)
            self._write_header()
