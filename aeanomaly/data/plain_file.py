"""Files that can be read to their end: not a pipe, which may wait for ever, nor a device, which may never end."""

from __future__ import annotations

import errno
import stat
from pathlib import Path


def plain_file(path: Path) -> Path:
    """The path, if what it names may be opened and read.

    Raises:
        OSError: if it is missing, or a pipe, a socket or a device. A folder fails when it is opened.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "it is a pipe or a device, not a file", str(path))
    return path
