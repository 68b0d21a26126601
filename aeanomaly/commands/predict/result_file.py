"""The table of scores: complete or absent, and what there is of it kept for another try."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aeanomaly.errors import UserError
from aeanomaly.runs.files import written_whole
from aeanomaly.runs.lock import hold_file, let_go

_TEXT: dict[str, Any] = {"newline": "", "encoding": "utf-8", "errors": "surrogateescape"}  # paths are any bytes
_ROWS_AT_ONCE = 20_000


class ResultFile:
    """Rows of a table that gets its name when it is complete. Until `leave` or `finish` no other process makes it.

    Args:
        path: of the result, ``.csv`` or ``.parquet``.
        columns: the first is text, those with an ``@`` are decisions, the others are numbers.
        origin: what the rows come from; the rows of another origin are never taken for these.
        there: first cell and version of each row to come. A row that an earlier try has left is kept if both are its
            own: what was changed since is done anew, what is gone has no row. By default none is kept.

    Attributes:
        partial: where the rows are until then, as CSV whose last column is the version.
        done: the first cell of each row that was kept.
        count: number of rows.
        above: number of rows with a 1, for each column of decisions.

    Raises:
        UserError: if the place cannot be written to, or another process is about to.
    """

    def __init__(
        self,
        path: Path,
        columns: Sequence[str],
        origin: Sequence[str],
        there: Iterable[tuple[str, str]] | None = None,
    ) -> None:
        self.path, self.columns = path, list(columns)
        mark = hashlib.sha256("\0".join([*origin, *columns]).encode(errors="surrogateescape")).hexdigest()[:12]
        self.partial = path.with_name(f"{path.name}.partial-{mark}")
        self._added: list[Iterable[str]] = []  # cells of columns that only the result has
        self.done: set[str] = set()
        self.count, self.above = 0, dict.fromkeys([name for name in columns if "@" in name], 0)
        with _writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = hold_file(path, "prediction")
            try:
                self._begin(there)
            except BaseException:
                let_go(self._lock)
                raise

    def _begin(self, there: Iterable[tuple[str, str]] | None) -> None:
        """Write the partial file anew, with the rows that are still right; the last one may have been cut short."""
        if there is not None and (left := {row[0]: row[-1] for row in self._kept()}):
            self.done = {name for name, version in there if left.get(name) == version}
        renewed = self.partial.with_name(f"{self.partial.name}.new")
        self._stream = renewed.open("w", **_TEXT)
        self._rows = csv.writer(self._stream, lineterminator="\n")
        self._rows.writerow([*self.columns, "version"])
        for row in self._kept() if self.done else ():
            if row[0] in self.done:
                self.add([row])
        self._stream.flush()
        renewed.replace(self.partial)

    def _kept(self) -> Iterator[list[str]]:
        """The whole rows of the partial file, if there is one."""
        if not self.partial.is_file():
            return
        with self.partial.open("rb") as tail:
            tail.seek(-1, 2)
            cut = tail.read() != b"\n"
        with self.partial.open(**_TEXT) as stream:
            rows = csv.reader(stream)
            next(rows, None)
            row = next(rows, None)
            while row is not None:
                following = next(rows, None)
                if len(row) == len(self.columns) + 1 and not (cut and following is None):
                    yield row
                row = following

    def add(self, rows: Sequence[Sequence[Any]]) -> None:
        """Write rows, each with its version at the end, which are there even if the process is killed after this.

        Raises:
            UserError: if the disk is full, or gone.
        """
        with _writing(self.partial):
            self._rows.writerows(rows)
            self._stream.flush()
        self.count += len(rows)
        for column, name in enumerate(self.columns):
            if name in self.above:
                self.above[name] += sum(row[column] == "1" for row in rows)

    def values(self, name: str) -> NDArray[np.float64]:
        """(count,) numbers of a column, of all rows."""
        at = self.columns.index(name)
        with self.partial.open(**_TEXT) as stream:
            rows = csv.reader(stream)
            next(rows)
            return np.fromiter((float(row[at]) for row in rows), np.float64, self.count)

    def extend(self, name: str, cells: Iterable[str]) -> None:
        """Add a last column to the result, with a cell for each row. The rows kept for another try are without it."""
        self.columns.append(name)
        self._added.append(cells)

    def _result(self) -> Iterator[list[str]]:
        """The rows of the result, without their versions."""
        with self.partial.open(**_TEXT) as stream:
            rows = csv.reader(stream)
            next(rows)
            for row, *more in zip(rows, *self._added, strict=True):
                yield [*row[:-1], *more]

    def leave(self) -> None:
        """Leave the rows for another try; where there is none, no file."""
        try:
            with suppress(OSError):  # on a full disk it fails once more, and it was said
                self._stream.close()
            if not self.count:
                self.partial.unlink(missing_ok=True)
        finally:
            let_go(self._lock)

    def finish(self) -> None:
        """Write the result under its name; where that fails, `leave` the rows.

        Raises:
            UserError: if the place cannot be written to.
        """
        try:
            with written_whole(self.path) as whole:
                self._stream.close()
                if self.path.suffix == ".parquet":
                    self._to_parquet(whole)
                else:
                    with whole.open("w", **_TEXT) as stream:
                        csv.writer(stream, lineterminator="\n").writerows(chain([self.columns], self._result()))
            self.partial.unlink(missing_ok=True)
        except BaseException:
            self.leave()
            raise
        let_go(self._lock)

    def _to_parquet(self, target: Path) -> None:
        import pyarrow
        from pyarrow import parquet

        first, *numbers = self.columns
        kinds = {name: pyarrow.bool_() if "@" in name else pyarrow.float32() for name in numbers}
        schema = pyarrow.schema({first: pyarrow.string(), **kinds})
        rows = self._result()
        with parquet.ParquetWriter(target, schema) as writer:
            while piece := list(islice(rows, _ROWS_AT_ONCE)):
                cells: list[Iterable[Any]] = list(zip(*piece, strict=True))
                texts = [cell.encode(errors="surrogateescape").decode(errors="replace") for cell in cells[0]]
                values = [[float(cell) for cell in column] for column in cells[1:]]
                arrays = [pyarrow.array(texts, pyarrow.string())]
                arrays += [
                    pyarrow.array(map(bool, column) if "@" in name else column, kinds[name])
                    for name, column in zip(numbers, values, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from None
