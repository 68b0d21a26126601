"""The order of a run's event files, which TensorBoard takes from their names."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

_NAME = re.compile(r"(events\.out\.tfevents\.)(\d+)(\..*)", re.DOTALL)  # the number is a time, in whole seconds


def date_before(folder: Path, second: int) -> None:
    """Rename event files in whose name the time is not before this second, keeping their order.

    TensorBoard reads files in the order of their names, and the file of a run that goes on takes back points of those
    before it. Its name does not come last if the clock was set back in between, or if less than a second went by. Files
    that cannot be renamed, as on Windows while TensorBoard reads them, stay.
    """
    latest, renamed = second - 1, list[tuple[Path, Path]]()
    for path in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        match = _NAME.fullmatch(path.name)
        if match is None:
            continue
        if int(match[2]) <= latest:
            break
        renamed.append((path, folder / f"{match[1]}{latest:010d}{match[3]}"))
        latest -= 1
    for path, new in reversed(renamed):  # the earliest first, so that no name is taken that another still has
        with contextlib.suppress(OSError):
            path.rename(new)
