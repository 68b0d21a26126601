"""Data sets by torchvision's names: what comes out of archives in their own layouts, what an interruption leaves."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torchvision import datasets
from torchvision.datasets import utils

from aeanomaly.commands.main import main
from aeanomaly.data.sources import fashion_debian
from aeanomaly.data.sources.torchvision import Dataset, TorchvisionData
from aeanomaly.errors import UserError
from tests.conftest import DEBUG, REPOSITORY
from tests.data.sources.torchvision_archives import publish

NAMES = get_args(Dataset)
DAMAGED = {  # a file in which a damage is noticed
    "FashionMNIST": "FashionMNIST/raw/train-images-idx3-ubyte",
    "KMNIST": "KMNIST/raw/t10k-labels-idx1-ubyte",
    "EMNIST": "EMNIST/raw/emnist-letters-test-images-idx3-ubyte",
    "QMNIST": "QMNIST/raw/qmnist-train-labels-idx2-int",
    "USPS": "usps.t.bz2",
    "CIFAR10": "cifar-10-batches-py/data_batch_3",
    "SVHN": "test_32x32.mat",
}


@pytest.fixture(autouse=True)
def _no_debian(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither the installed package nor apt-get: tests of those are elsewhere."""
    monkeypatch.setattr(fashion_debian, "INSTALLED", tmp_path / "nothing installed")
    monkeypatch.setenv("PATH", str(tmp_path / "no commands"))


def source(dataset: Any, folder: Path, **options: Any) -> TorchvisionData:
    return TorchvisionData(dataset, data_dir=str(folder / "data"), anomaly_classes=[1], **options)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder / "data")) for path in (folder / "data").rglob("*") if path.is_file()}


@pytest.mark.parametrize("dataset", NAMES)
def test_images_are_upright_and_labels_those_of_torchvision(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, _ = publish(dataset, tmp_path / "archives", monkeypatch)
    data = source(dataset, tmp_path)
    data.prepare_data()
    arrays = data.load()
    first = 1 if dataset == "EMNIST" else 0  # letters count from 1
    for part in ("train", "test"):
        images, labels = getattr(arrays, f"{part}_images"), getattr(arrays, f"{part}_labels")
        assert images.dtype == torch.uint8
        assert images.is_contiguous()
        assert labels.dtype == torch.int64
        assert np.array_equal(images.numpy(), truth.images[part])
        assert labels.tolist() == (truth.labels[part] + first).tolist()
    # torchvision's own picture of an image, which for EMNIST alone lies on its side
    options = {"split": "test"} if dataset == "SVHN" else {"train": False}
    options |= {"split": "letters"} if dataset == "EMNIST" else {}
    picture, label = getattr(datasets, dataset)(tmp_path / "data", **options)[7]
    shown = np.asarray(picture).reshape(*picture.size[::-1], -1)
    shown = shown.transpose(1, 0, 2) if dataset == "EMNIST" else shown
    assert np.array_equal(arrays.test_images[7].permute(1, 2, 0).numpy(), shown)
    assert int(arrays.test_labels[7]) == int(label)


@pytest.mark.parametrize("dataset", NAMES)
def test_what_was_obtained_is_not_downloaded_again(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, archives = publish(dataset, tmp_path / "archives", monkeypatch)
    first, again, unprepared = (source(dataset, tmp_path, download=wanted) for wanted in (True, False, True))
    with pytest.raises(UserError, match=rf"^{dataset} was not prepared: .*data has no intact "):
        unprepared.load()
    first.prepare_data()
    for archive in archives:
        archive.unlink()
    first.prepare_data()  # as Lightning does before the test
    again.prepare_data()
    split = " letters" if dataset == "EMNIST" else ""
    assert (first.source, again.source) == (f"{dataset}{split} (torchvision)", f"{dataset}{split} (disk)")
    for one, other, third in zip(*(data.load()[:4] for data in (first, again, unprepared)), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, third)
    assert not [name for name in files(tmp_path) if name.endswith((".gz", ".zip"))]  # only what is read is kept
    assert not list((tmp_path / "data").glob(".*"))


@pytest.mark.parametrize("dataset", NAMES)
def test_half_a_download_leaves_nothing(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, archives = publish(dataset, tmp_path / "archives", monkeypatch)
    whole = archives[-1].read_bytes()
    archives[-1].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError) as failure:
        source(dataset, tmp_path).prepare_data()
    assert "\n" not in str(failure.value)
    assert "torchvision: " in str(failure.value)
    assert str(failure.value).endswith(f"unpacked, in {tmp_path / 'data'}")
    assert not list((tmp_path / "data").iterdir())
    archives[-1].write_bytes(whole)
    source(dataset, tmp_path).prepare_data()


@pytest.mark.parametrize("dataset", NAMES)
def test_an_interruption_leaves_nothing(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(dataset, tmp_path / "archives", monkeypatch)
    fetch, seen = utils._urlretrieve, []

    def interrupted(url: str, path: str, *more: Any) -> None:
        fetch(url, path, *more)
        seen.append(Path(path).relative_to(tmp_path / "data"))
        if len(seen) == (1 if dataset in ("EMNIST", "CIFAR10") else 2):
            raise KeyboardInterrupt

    monkeypatch.setattr(utils, "_urlretrieve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source(dataset, tmp_path).prepare_data()
    assert all(path.parts[0].startswith(".download-") for path in seen)  # nothing was ever at its final place
    assert not list((tmp_path / "data").iterdir())


@pytest.mark.parametrize("dataset", NAMES)
def test_a_damaged_file_is_refused_and_obtained_anew(
    dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth, _ = publish(dataset, tmp_path / "archives", monkeypatch)
    source(dataset, tmp_path).prepare_data()
    path = tmp_path / "data" / DAMAGED[dataset]
    whole = path.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    checked = dataset in ("FashionMNIST", "USPS", "CIFAR10", "SVHN")
    for damaged in (whole[:-1], b"", *([flipped] if checked else [])):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=rf"^{dataset} could not be obtained \(disk: .*data has no intact "):
            source(dataset, tmp_path, download=False).prepare_data()
        data = source(dataset, tmp_path)
        data.prepare_data()
        assert path.read_bytes() == whole
        assert np.array_equal(data.load().train_images.numpy(), truth.images["train"])


@pytest.mark.parametrize("dataset", NAMES)
def test_without_download_nobody_is_asked(dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(dataset, tmp_path / "archives", monkeypatch)
    with pytest.raises(UserError) as failure:
        source(dataset, tmp_path, download=False).prepare_data()
    assert "torchvision:" not in str(failure.value)
    assert not files(tmp_path)


def test_a_silent_mirror_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchvision sets no time limit of its own; outside the download the process keeps the one it had."""
    publish("USPS", tmp_path / "archives", monkeypatch)
    fetch, limits = utils._urlretrieve, []

    def timed(*words: Any) -> None:
        limits.append(socket.getdefaulttimeout())
        if len(limits) == 2:
            raise TimeoutError("timed out")
        fetch(*words)

    monkeypatch.setattr(utils, "_urlretrieve", timed)
    before = socket.getdefaulttimeout()
    with pytest.raises(UserError, match="torchvision: timed out"):
        source("USPS", tmp_path).prepare_data()
    assert limits == [20, 20]
    assert socket.getdefaulttimeout() == before
    assert not list((tmp_path / "data").iterdir())


def test_splits_of_emnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish("EMNIST", tmp_path / "archives", monkeypatch)
    letters, digits = (source("EMNIST", tmp_path, emnist_split=split) for split in ("letters", "digits"))
    for data in (letters, digits):
        data.prepare_data()
    assert (letters.load().train_labels - digits.load().train_labels).tolist() == [1] * 40
    assert digits.source == "EMNIST digits (disk)"  # the first download brought them all


def test_mistakes_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"data\.dataset must be one of FashionMNIST, .*, got 'Fashion'"):
        source("Fashion", tmp_path)
    with pytest.raises(UserError, match=r"data\.emnist_split must be one of byclass, .*, got 'capitals'"):
        source("EMNIST", tmp_path, emnist_split="capitals")
    publish("USPS", tmp_path / "archives", monkeypatch)
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"^cannot write into .*data: "):
        source("USPS", tmp_path).prepare_data()


@pytest.mark.parametrize(
    ("complete", "fragment", "dataset"),
    [
        ("base.yaml", "fashion", "FashionMNIST"),
        ("best.yaml", "fashion", "FashionMNIST"),
        ("base.yaml", "cifar10", "CIFAR10"),
        ("debug.yaml", "cifar10", "CIFAR10"),
    ],
)
def test_fragments_stack(
    complete: str, fragment: str, dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch of everything, on the complete configs, in a folder that has no data yet."""
    publish(dataset, tmp_path / "archives", monkeypatch)
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--config", str(Path(DEBUG).with_name(complete)), "--trainer.accelerator", "cpu"]
    words += ["--config", str(REPOSITORY / "configs" / "data" / f"{fragment}.yaml")]
    words += ["--model.thresholds.alarm5.alpha", "0.5", "--data.val_fraction", "0.5"]
    if complete != "best.yaml":
        words += ["--model.scores.kmeans.n_clusters", "2"]
    assert main([*words, "--trainer.devices", "1", "--trainer.fast_dev_run", "true"]) == 0
    assert files(tmp_path)
