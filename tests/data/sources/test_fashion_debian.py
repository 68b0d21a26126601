"""Fashion-MNIST from Debian's package: with stand-ins for its commands, and once as it really is."""

from __future__ import annotations

import gzip
import hashlib
import shutil
import stat
import struct
from pathlib import Path

import pytest
import torch
from torchvision import datasets

from aeanomaly.data.sources import fashion_debian
from aeanomaly.data.sources.delivery import SourceError
from aeanomaly.data.sources.torchvision import TorchvisionData
from aeanomaly.errors import UserError
from tests.conftest import REPOSITORY
from tests.data.sources.torchvision_archives import Truth, idx_files, publish


@pytest.fixture
def truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Truth:
    """Tiny images that are the right ones by their checksums; torchvision's mirror has gone."""
    truth, archives = publish("FashionMNIST", tmp_path / "archives", monkeypatch)
    for archive in archives:
        archive.unlink()
    monkeypatch.setattr(fashion_debian, "INSTALLED", Path("/usr/share/of-the-test/fashion"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return truth


def put_package(folder: Path, truth: Truth) -> Path:
    folder.mkdir(parents=True)
    for name, content in idx_files("FashionMNIST", truth).items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    return folder


def put_command(tmp_path: Path, name: str, script: str) -> None:
    path = tmp_path / "bin" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def data(tmp_path: Path, download: bool = True) -> TorchvisionData:
    return TorchvisionData("FashionMNIST", str(tmp_path / "data"), download=download, anomaly_classes=[0])


@pytest.mark.parametrize("download", [True, False])
def test_installed_files_are_used(
    download: bool, truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fashion_debian, "INSTALLED", put_package(tmp_path / "installed", truth))
    source = data(tmp_path, download)
    source.prepare_data()
    assert source.source == "FashionMNIST (debian)"
    assert torch.equal(source.load().train_images, torch.from_numpy(truth.images["train"]))
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == idx_files("FashionMNIST", truth)


def test_the_package_is_downloaded_and_unpacked(truth: Truth, tmp_path: Path) -> None:
    unpacked = put_package(tmp_path / "package" / "usr" / "share" / "of-the-test" / "fashion", truth)
    put_command(tmp_path, "apt-get", 'echo "$@" > dataset.deb')
    put_command(tmp_path, "dpkg-deb", f'grep -q "download dataset-fashion-mnist" "$2" && cp -r {tmp_path}/package "$3"')
    source = data(tmp_path)
    source.prepare_data()
    assert source.source == "FashionMNIST (apt-get)"
    assert torch.equal(source.load().test_images, torch.from_numpy(truth.images["test"]))
    shutil.rmtree(tmp_path / "data")
    next(unpacked.glob("t10k-labels*")).write_bytes(gzip.compress(b"other labels"))
    with pytest.raises(UserError, match=r"apt-get: .*/of-the-test/fashion has no intact t10k-labels-idx1-ubyte\)"):
        data(tmp_path).prepare_data()
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    ("apt", "dpkg", "says"),
    [
        (None, None, "apt-get failed: .*No such file"),
        ("echo 'E: Unable to locate package' >&2; exit 100", None, "apt-get failed: E: Unable to locate package"),
        ("true", None, r"no \*\.deb was delivered"),
        ("echo > x.deb", None, "dpkg-deb failed: .*No such file"),
        ("echo > x.deb", "echo 'not an archive' >&2; exit 2", "dpkg-deb failed: not an archive"),
        ("echo > x.deb", "true", "dataset-fashion-mnist is not installed"),
    ],
)
def test_each_failure_is_one_reason(apt: str | None, dpkg: str | None, says: str, truth: Truth, tmp_path: Path) -> None:
    for name, script in (("apt-get", apt), ("dpkg-deb", dpkg)):
        if script is not None:
            put_command(tmp_path, name, script)
    with pytest.raises(UserError, match=f"apt-get: {says}") as failure:
        data(tmp_path).prepare_data()
    for reason in ("disk: ", "debian: dataset-fashion-mnist is not installed", "torchvision: "):
        assert reason in str(failure.value)
    assert "\n" not in str(failure.value)
    assert not list((tmp_path / "data").iterdir())


def test_a_damaged_installed_file_is_refused(truth: Truth, tmp_path: Path) -> None:
    folder = put_package(tmp_path / "installed", truth)
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(SourceError, match=f"{folder} has no intact train-labels-idx1-ubyte"):
        fashion_debian.unpack_installed(tmp_path / "data", folder)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> TorchvisionData:
    """The whole data set: that of the main job if it has run here, else a new one from wherever it is served fast."""
    folder = REPOSITORY / "data"
    for place in (folder, tmp_path_factory.mktemp("fashion")):
        source = TorchvisionData("FashionMNIST", str(place), download=False, anomaly_classes=[0], split_seed=0)
        try:
            if place != folder:
                fashion_debian.unpack_download(place)
            source.prepare_data()
            return source
        except (SourceError, UserError) as error:
            reason = str(error)
    pytest.skip(f"Fashion-MNIST cannot be obtained here: {reason}")


def test_the_real_data_set(real: TorchvisionData) -> None:
    arrays = real.load()
    assert (*arrays.train_images.shape, *arrays.test_images.shape) == (60_000, 1, 28, 28, 10_000, 1, 28, 28)
    assert arrays.train_labels.bincount().tolist() == [6000] * 10
    assert arrays.test_labels.bincount().tolist() == [1000] * 10
    # Trousers stand upright: their pixels spread more in height than in width.
    weight = arrays.test_images[arrays.test_labels == 1, 0].float().mean(0)
    places = torch.arange(28.0)

    def spread(profile: torch.Tensor) -> float:
        share = profile / profile.sum()
        return float((share * (places - (share * places).sum()) ** 2).sum())

    assert spread(weight.sum(1)) > 2 * spread(weight.sum(0))


def test_the_package_holds_the_published_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With name and time (August 2017) in its head again, each file has the MD5 that torchvision asks for."""
    heads: dict[str, str] = {}

    def keep(root: Path, installed: Path | None = None) -> None:
        for name in fashion_debian.SHA256:
            packed = ((installed or fashion_debian.INSTALLED) / f"{name}.gz").read_bytes()
            time = 1504176606 if name.startswith("train") else 1504176627
            head = packed[:3] + b"\x08" + struct.pack("<I", time) + packed[8:10] + name.encode() + b"\0"
            heads[f"{name}.gz"] = hashlib.md5(head + packed[10:]).hexdigest()
            assert hashlib.sha256(gzip.decompress(packed)).hexdigest() == fashion_debian.SHA256[name]

    unpack = keep if fashion_debian.INSTALLED.is_dir() else fashion_debian.unpack_download
    monkeypatch.setattr(fashion_debian, "unpack_installed", keep)
    try:
        unpack(tmp_path)
    except SourceError as error:
        pytest.skip(f"the package cannot be obtained here: {error}")
    assert heads == dict(datasets.FashionMNIST.resources)
