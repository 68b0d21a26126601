"""One process at a time in a folder."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from aeanomaly.errors import UserError


def hold(folder: Path, who: str) -> FileLock:
    """Keep other processes out of an existing folder until the lock is released, or this process ends in any way.

    Args:
        folder: it gets a hidden file ``.lock``.
        who: what such another process would be, for the message.

    Raises:
        UserError: if another process holds it, or the folder cannot be written to.
    """
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError(f"another {who} is at work in {folder}") from None
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    return lock
