"""Fetching the bytes of a data set from elsewhere, verifying them, and storing them whole or not at all."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import logging
import socket
import subprocess
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from aeanomaly.errors import UserError

_MOST_BYTES = 2**28  # of an unpacked file; the largest has 47 million
_FETCH_SECONDS = 300  # a client that says nothing for longer than this is not going to

Served = TypeVar("Served")
log = logging.getLogger(__name__)


class SourceError(Exception):
    """This source cannot serve; the message says why in one line."""


def first_served(data_set: str, sources: Mapping[str, Callable[[], Served]], advice: str) -> tuple[str, Served]:
    """The name of the first source that works, and what it serves.

    Raises:
        UserError: if every source raises a `SourceError`; the message has each reason, then the advice.
    """
    reasons = []
    for name, source in sources.items():
        try:
            return name, source()
        except SourceError as failure:
            log.info("%s: source %s did not serve: %s", data_set, name, failure)
            reasons.append(f"{name}: {failure}")
    raise UserError(f"{data_set} could not be obtained ({'; '.join(reasons)}); {advice}")


def read_verified(folder: Path, digests: Mapping[str, str]) -> dict[str, bytes]:
    """The content of each file, from ``name`` or ``name.gz``, given the right SHA-256 by name.

    Raises:
        SourceError: if one is not there or not intact.
    """
    files: dict[str, bytes] = {}
    for name, digest in digests.items():
        for path in filter(Path.is_file, (folder / name, folder / f"{name}.gz")):
            try:
                content = path.read_bytes() if path.name == name else _unzipped(path)
            except (OSError, EOFError, zlib.error):
                content = b""
            if hashlib.sha256(content).hexdigest() == digest:
                files[name] = content
                break
            log.warning("%s is damaged or incomplete (its SHA-256 is wrong): not used", path)
        if name not in files:
            raise SourceError(f"{folder} has no intact {name}")
    return files


def _unzipped(path: Path) -> bytes:
    """The content, no more of it than a data set may have: a small archive can hold zeros without end."""
    with gzip.open(path) as stream:
        return stream.read(_MOST_BYTES)


def store_verified(folder: Path, digests: Mapping[str, str], files: Mapping[str, bytes]) -> None:
    """Put what was delivered into its place by renaming, so that no other process sees half a file.

    Raises:
        SourceError: if a file is missing or its SHA-256 is wrong; then nothing is written.
        UserError: if the place cannot be written to.
    """
    for name, digest in digests.items():
        if hashlib.sha256(files.get(name, b"")).hexdigest() != digest:
            raise SourceError(f"it delivered a wrong {name} (SHA-256)")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as unfinished:
            for name in digests:
                path = Path(unfinished, name)
                path.write_bytes(files[name])
                path.replace(folder / name)
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error.strerror or error}") from None


def last_line(text: str) -> str:
    """The last line of a message that says anything."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no message"


@contextlib.contextmanager
def fetched(command: list[str], pattern: str) -> Iterator[Path]:
    """The archive that a package manager's command leaves in its working folder, until the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_FETCH_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SourceError(f"{command[0]} failed: {error}") from None
        if done.returncode:
            raise SourceError(f"{Path(command[0]).name} failed: {last_line(done.stderr or done.stdout)}")
        archive = next(Path(folder).glob(pattern), None)
        if archive is None:
            raise SourceError(f"no {pattern} was delivered")
        try:
            yield archive
        except (tarfile.TarError, zipfile.BadZipFile, KeyError, OSError, EOFError) as error:
            raise SourceError(f"the archive delivered is damaged or unexpected: {error}") from None


@contextlib.contextmanager
def torchvision_download() -> Iterator[None]:
    """In this context torchvision prints nothing, a silent mirror is given up, and every failure is a `SourceError`."""
    timeout = socket.getdefaulttimeout()
    try:
        socket.setdefaulttimeout(20)  # torchvision sets none: a silent mirror would hang the run
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except Exception as error:  # torchvision passes on whatever urllib, gzip or the mirror raise
        raise SourceError(last_line(str(error))) from None
    finally:
        socket.setdefaulttimeout(timeout)
