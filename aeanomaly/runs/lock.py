"""One process at a time in a folder, or at a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from aeanomaly.errors import UserError

LOCK = ".lock"  # name of the file in a folder that is held


def hold(folder: Path, who: str, patience: float = 0) -> FileLock:
    """Keep other processes out of an existing folder until the lock is released, or this process ends in any way.

    Args:
        folder: it gets a hidden file ``.lock``.
        who: what such another process would be, for the message.
        patience: seconds that another process is waited for.

    Raises:
        UserError: if another process holds it, or the folder cannot be written to.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise UserError(f"another {who} is at work in {folder}") from None
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    return lock


@contextmanager
def alone_in(folder: Path, who: str, patience: float = 0) -> Iterator[None]:
    """Make a folder where there is none, and keep other processes out of it inside the context; see `hold`.

    Raises:
        UserError: if another process holds it, or the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot write to the folder {folder}: {error.strerror}") from None
    lock = hold(folder, who, patience)
    try:
        yield
    finally:
        lock.release()


def hold_file(path: Path, who: str) -> FileLock:
    """Keep other processes from making a file until `let_go`, or this process ends in any way.

    Args:
        path: of the file, in an existing folder, which gets a hidden ``.<name>.lock``.
        who: what such another process would be, for the message.

    Raises:
        UserError: if another process holds it.
        OSError: if the folder cannot be written to.
    """
    lock = FileLock(path.with_name(f".{path.name}{LOCK}"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError(f"another {who} is at work on {path}") from None
    return lock


def let_go(lock: FileLock) -> None:
    """End what `hold_file` began, unless it has ended, and leave no file of the lock."""
    if not lock.is_locked:
        return
    with suppress(OSError):
        Path(lock.lock_file).unlink(missing_ok=True)  # while it is held, so that nobody loses it
    lock.release()
