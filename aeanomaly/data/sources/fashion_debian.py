"""Fashion-MNIST's bytes from Debian's package dataset-fashion-mnist, and the checksums of the right ones.

The package holds the published files: once the name and the time of day, which Debian strips from the head of a gzip
file, are put back, each of the four has the MD5 that torchvision expects of its own download. `SHA256` are those of
their contents, so whoever delivers them, they are the same images.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from aeanomaly.data.sources.delivery import SourceError, fetched, last_line, read_verified, store_verified

PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("/usr/share/datasets/fashion-mnist")  # where the package puts its files
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


def _raw(root: Path) -> Path:
    return root / "FashionMNIST" / "raw"


def verify(root: Path) -> None:
    """Check the four raw idx files that lie where torchvision has them under ``root``.

    Raises:
        SourceError: if one is missing or its SHA-256 is wrong.
    """
    raw = _raw(root)
    for name, digest in SHA256.items():
        path = raw / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise SourceError(f"{raw} has no intact {name}")


def unpack_installed(root: Path, installed: Path | None = None) -> None:
    """Write the raw idx files to where torchvision has them under ``root``, from the compressed ones of the package.

    Args:
        root: torchvision's root folder.
        installed: folder of the compressed files; by default that of the installed package.

    Raises:
        SourceError: if the package is not installed there, or a file is damaged.
    """
    folder = installed or INSTALLED
    if not any((folder / f"{name}.gz").is_file() for name in SHA256):
        raise SourceError(f"{PACKAGE} is not installed")
    store_verified(_raw(root), SHA256, read_verified(folder, SHA256))


def unpack_download(root: Path) -> None:
    """The same from the package as apt-get downloads it, which needs neither root nor an installation.

    Raises:
        SourceError: if apt-get or dpkg-deb is missing or fails, such as without an `apt-get update` before.
    """
    with fetched(["apt-get", "download", PACKAGE], "*.deb") as archive:
        folder = archive.parent / "unpacked"
        try:
            done = subprocess.run(["dpkg-deb", "-x", archive, folder], capture_output=True, text=True)
        except OSError as error:
            raise SourceError(f"dpkg-deb failed: {error}") from None
        if done.returncode:
            raise SourceError(f"dpkg-deb failed: {last_line(done.stderr)}")
        unpack_installed(root, folder / INSTALLED.relative_to("/"))
