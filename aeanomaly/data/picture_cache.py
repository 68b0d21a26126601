"""Where pictures are kept once they were read: a folder that is whole or absent, named for what is in it."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock, Timeout

from aeanomaly.data.picture_lists import Listed
from aeanomaly.errors import UserError

_FORMAT = 4  # of the cache; another number has everything read anew
_KEPT = 24 * 3600  # seconds since it was last used for which a cache of pictures that have changed is kept

log = logging.getLogger(__name__)


class Census(NamedTuple):
    """What can be said of pictures without opening one."""

    name: str  # of their cache: another one for other files, labels or options
    counts: Counter[str]  # of ``train`` and ``test``
    masked: bool  # whether a test picture has a mask
    path_type: str  # numpy's, of bytes that the longest path fits in


def census(pictures: Iterable[Listed], folder: Path, recipe: object, normal: Collection[int]) -> Census:
    """Look at every file's name, size and time of change, which stand for its content.

    Args:
        pictures: with their parts.
        folder: which their paths are relative to.
        recipe: whatever else decides what the cache holds; its `repr` does.
        normal: numbers of the normal classes, which may lack masks.
    """
    counts: Counter[str] = Counter()
    digest, masked, longest = hashlib.blake2b(digest_size=10), False, 1
    for picture in pictures:
        files = [_stamp(folder, path) for path in (picture.path, picture.mask) if path is not None]
        digest.update(repr((*picture, files)).encode(errors="surrogateescape"))
        counts[picture.part] += 1
        masked |= picture.part == "test" and picture.mask is not None
        longest = max(longest, len(os.fsencode(picture.path)))
    digest.update(repr(sorted(normal) if masked else None).encode())
    kind = hashlib.blake2b(repr((_FORMAT, recipe)).encode(), digest_size=5)
    return Census(f"{kind.hexdigest()}-{digest.hexdigest()}", counts, masked, f"S{longest}")


def _stamp(folder: Path, path: str) -> tuple[int, int] | None:
    try:
        found = (folder / path).stat()
    except OSError:  # whoever opens it says what is wrong
        return None
    return found.st_size, found.st_mtime_ns


def cache_places(folder: Path, cache_dir: str | None) -> list[Path]:
    """Where the cache of a folder may be, the first choice first: in it, or in the user's own where it is read-only.

    A user without a home has none.
    """
    path = folder.resolve()
    own = f"{path.name}-{hashlib.blake2b(os.fsencode(path), digest_size=4).hexdigest()}"  # one for each folder
    if cache_dir is not None:
        return [Path(cache_dir) / own]
    places = [folder / ".aeanomaly_cache"]
    with contextlib.suppress(RuntimeError):  # no home
        users = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        places.append(users / "aeanomaly" / own)
    return places


def found_or_written(places: Sequence[Path], name: str, write: Callable[[Path], None]) -> Path:
    """The cache of this name in the first place that has it, else written into the first that can be written to.

    It is written under another name and renamed when whole. Of two processes that want the same, one waits for the
    other. What is left of one that was killed goes, and so do caches of the same kind that nobody used for a day.

    Raises:
        UserError: if no place can be written to, or a disk is full.
    """
    for place in places:
        if (place / name).is_dir():
            with contextlib.suppress(OSError):  # it may be read-only
                os.utime(place / name)
            return place / name
    refusals = []
    for place in places:
        try:
            lock = _locked(place)
        except (OSError, NotImplementedError) as error:  # the latter on file systems without locks
            refusals.append(f"cannot write into {place}: {getattr(error, 'strerror', None) or error}")
            continue
        with lock:
            if refusals:
                log.info("%s; what is read is kept in %s", refusals[0], place)
            if not (place / name).is_dir():
                _write(place, name, write)
        return place / name
    raise UserError(f"{'; '.join(refusals)}; name a folder for it by data.cache_dir")


def _locked(place: Path) -> contextlib.AbstractContextManager[object]:
    """The lock, held; leaving its context releases it."""
    place.mkdir(parents=True, exist_ok=True)
    (place / ".gitignore").write_text("*\n")
    lock = FileLock(place / "lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        log.info("Another process writes into %s: waiting for it", place)
        return lock.acquire()


def _write(place: Path, name: str, write: Callable[[Path], None]) -> None:
    for older in _outdated(place, name.partition("-")[0]):
        shutil.rmtree(older, ignore_errors=True)
    partial = place / f"{name}.partial"
    try:
        partial.mkdir()
        write(partial)
        partial.rename(place / name)
    except OSError as error:
        raise UserError(f"cannot write into {place}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # mostly it has its name by now


def _outdated(place: Path, kind: str) -> Iterator[Path]:
    yield from place.glob("*.partial")  # of a killed process: only who has the lock writes
    for other in place.glob(f"{kind}-*"):
        with contextlib.suppress(OSError):
            if time.time() - other.stat().st_mtime > _KEPT:
                yield other
