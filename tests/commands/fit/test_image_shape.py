"""A net takes the shape of its images from the data, unless it is given."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import Namespace

from aeanomaly.commands.fit.image_shape import fill_image_shape
from aeanomaly.commands.main import main
from aeanomaly.data.base import Arrays
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.models.base import known_shape
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.untrained import Untrained
from tests.conftest import DEBUG, PLAIN

DIGITS = Namespace(class_path="aeanomaly.data.sources.digits.Digits", init_args=Namespace(anomaly_classes=[0]))


def net(**arguments: Any) -> Namespace:
    return Namespace(class_path="some.Net", init_args=Namespace(**arguments))


def config(described: Namespace, data: Namespace = DIGITS) -> Namespace:
    return Namespace(model=Namespace(net=described), data=data)


def arrays(folder: Path, shape: tuple[int, ...]) -> list[str]:
    """The options for random images of a shape, which are written there."""
    draw = np.random.default_rng(0)
    words = ["--data", "aeanomaly.data.sources.arrays.ArrayFiles", "--data.anomaly_classes", "[1]"]
    for part in ("train", "test"):
        np.save(folder / f"{part}_images.npy", draw.integers(0, 256, (400, *shape), dtype=np.uint8))
        np.save(folder / f"{part}_labels.npy", np.arange(400) % 2)
        words += [f"--data.{part}_images", str(folder / f"{part}_images.npy")]
        words += [f"--data.{part}_labels", str(folder / f"{part}_labels.npy")]
    return words


def test_nets_within_nets_are_given_the_shape_too() -> None:
    described = config(net(net=net(image_shape=None, hidden=[3]), image_shape=None, slots=4))
    fill_image_shape(described)
    outer = described.model.net.init_args
    assert (outer.image_shape, outer.net.init_args.image_shape) == ((1, 8, 8), (1, 8, 8))
    assert (outer.slots, outer.net.init_args.hidden) == (4, [3])


@pytest.mark.parametrize("described", [net(image_shape=[1, 2, 2]), net(hidden=[3]), None])
def test_data_that_nobody_asks_for_are_not_touched(
    described: Namespace | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Digits, "__init__", lambda *_, **__: pytest.fail("the data were asked for"))
    before = str(described)
    fill_image_shape(Namespace(model=Namespace(net=described), data=DIGITS))
    assert str(described) == before


def test_it_stands_in_the_config_and_in_the_checkpoint_of_the_run(run_dir: Path) -> None:
    assert "image_shape" not in Path(DEBUG).read_text()
    kept = yaml.safe_load((run_dir / "config.yaml").read_text())["model"]["net"]["init_args"]
    assert kept["image_shape"] == [1, 8, 8]
    saved = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]["net"]["init_args"]
    assert list(saved["image_shape"]) == [1, 8, 8]


class Talkative(Digits):
    """Says something whenever it is prepared and loaded."""

    def prepare_data(self) -> None:
        logging.getLogger("aeanomaly.data.talkative").info("prepared for you")

    def load(self) -> Arrays:
        logging.getLogger("aeanomaly.data.talkative").warning("loaded for you")
        return super().load()


def test_what_a_source_says_is_shown_once(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Although it is asked for its images before the trainer asks; and in each command anew."""
    words = ["fit", *PLAIN, "--data", f"{__name__}.Talkative", "--data.anomaly_classes", "[0]"]
    for _ in range(2):
        assert main([*words, "--trainer.max_epochs", "1", "--trainer.default_root_dir", str(tmp_path)]) == 0
        said = capfd.readouterr().out
        assert (said.count("prepared for you"), said.count("loaded for you")) == (1, 1)


def test_colour_pictures_of_another_size_need_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["fit", *PLAIN, *arrays(Path(), (3, 6, 10)), "--trainer.max_epochs", "1"]
    assert main([*words, "--data.val_fraction", "0.3"]) == 0
    kept = yaml.safe_load(Path("lightning_logs/version_0/config.yaml").read_text())
    assert kept["model"]["net"]["init_args"]["image_shape"] == [3, 6, 10]


def test_a_checkpoint_for_other_images_is_refused(run_dir: Path, tmp_path: Path, capsys: Any) -> None:
    words = ["test", *PLAIN, *arrays(tmp_path, (9, 9))]
    capsys.readouterr()
    assert main([*words, "--ckpt_path", str(run_dir / "checkpoints" / "last.ckpt")]) == 2
    assert "image_shape is [1, 9, 9] here but [1, 8, 8] in" in capsys.readouterr().err


@pytest.mark.parametrize("kind", [DenseAutoencoder, ConvolutionalAutoencoder, Untrained])
def test_in_python_it_must_be_given(kind: type) -> None:
    with pytest.raises(UserError, match="image_shape: give channels, height and width"):
        kind()
    assert kind((3, 16, 8)).image_shape == (3, 16, 8) == known_shape((3, 16, 8))


class Missing(Digits):
    """Data that are not there."""

    def load(self) -> Arrays:
        raise UserError("there are no images")


def test_one_process_of_several_leaves_missing_data_to_the_trainer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which tells the other processes."""
    source = Namespace(class_path=f"{__name__}.Missing", init_args=Namespace(anomaly_classes=[0]))
    with pytest.raises(UserError, match="there are no images"):
        fill_image_shape(config(net(image_shape=None), source))
    monkeypatch.setenv("WORLD_SIZE", "2")
    described = config(net(image_shape=None), source)
    fill_image_shape(described)
    assert described.model.net.init_args.image_shape is None


def test_a_user_whom_the_machine_does_not_know_can_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container with a number for a user; and no lock file is left behind by a process that is alone."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    fill_image_shape(config(net(image_shape=None)))
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    fill_image_shape(config(net(image_shape=None)))
    assert len(list(tmp_path.iterdir())) == 1
