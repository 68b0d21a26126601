"""Images are taken in every form that people have them in, and what is no image is refused."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

import aeanomaly
from aeanomaly import AnomalyDetector, UserError
from aeanomaly.data.pictures import Geometry
from aeanomaly.inference.images import batches, prepared

GREY = Geometry(8, 8, "resize", 1)


def test_every_form_is_the_same_image(detector: AnomalyDetector, images: np.ndarray, tmp_path: Path) -> None:
    few = images[:5]
    expected = detector.score(few)
    for number, image in enumerate(few):
        Image.fromarray(image[0]).save(tmp_path / f"{number}.png")
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    forms: list[Any] = [
        few[:, 0],
        few.transpose(0, 2, 3, 1),
        few / 255,
        torch.from_numpy(few),
        torch.from_numpy(few)[:, 0] / 255,
        list(few),
        list(few[:, 0]),
        (image for image in few / np.float32(255)),
        [few[0], few[1] / 255, Image.fromarray(few[2, 0]), paths[3], str(paths[4])],
        [Image.fromarray(image[0]).convert("RGB") for image in few],
        paths,
    ]
    for form in forms:
        assert detector.score(form) == pytest.approx(expected, rel=1e-5)
    for one in (few[0, 0], few[0, 0, :, :, None], Image.fromarray(few[0, 0]), paths[0], str(paths[0])):
        assert detector.score(one) == pytest.approx(expected[:1], rel=1e-5)


def test_a_generator_may_fill_one_buffer_again_and_again(run_dir: Path, images: np.ndarray) -> None:
    """Threads get to an image when the generator is long at another one."""
    detector = aeanomaly.load(run_dir, device="cpu", batch_size=10)
    few = images[:25]
    expected = detector.score(few)
    buffer, tensor = np.empty_like(few[0]), torch.empty(few[0].shape, dtype=torch.uint8)
    file = io.BytesIO()
    first, *others = [Image.fromarray(image[0]) for image in few]
    first.save(file, "TIFF", save_all=True, append_images=others)
    frames = Image.open(file)
    drawn = Image.new("L", (8, 8))

    def filled(one: Any, fill: Callable[[np.ndarray], object]) -> Iterator[Any]:
        for image in few:
            fill(image)
            yield one

    forms: list[Any] = [
        filled(buffer, lambda image: np.copyto(buffer, image)),
        filled(tensor, lambda image: tensor.copy_(torch.from_numpy(image))),
        filled(drawn, lambda image: drawn.paste(Image.fromarray(image[0]))),
        ImageSequence.Iterator(frames),
    ]
    for form in forms:
        assert detector.score(form) == pytest.approx(expected, rel=1e-5)
    assert detector.score([frames] * 25) == pytest.approx(expected[[24]].repeat(25), rel=1e-5)
    assert detector.score([first, *others]) == pytest.approx(expected, rel=1e-5)


def test_sizes_may_differ(detector: AnomalyDetector, images: np.ndarray) -> None:
    large = images[:3].repeat(4, 2).repeat(4, 3)  # each pixel 4 x 4
    expected = detector.score([Image.fromarray(image[0]) for image in large])
    assert detector.score(large) == pytest.approx(expected, rel=1e-5)
    assert detector.score(large / 255) == pytest.approx(expected, rel=1e-5)
    assert detector.score([images[0], large[1], images[2]])[1] == pytest.approx(expected[1], rel=1e-5)
    by_pillow = [Image.fromarray(image[0]).resize((8, 8), Image.Resampling.BILINEAR) for image in large]
    assert expected == pytest.approx(detector.score(by_pillow), rel=0.05)  # levels differ by 1 at most


@pytest.mark.parametrize(
    ("images", "says"),
    [
        ([], "there are no images"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"shape \[2, 3, 8, 8\] holds no images of 1 channel, which"),
        (np.zeros((8, 8, 3), np.uint8), "holds no images of 1 channel"),
        (np.zeros(8, np.uint8), "holds no images"),
        (np.zeros((8, 8), np.int64), "must be uint8 from 0 to 255 or floating-point from 0 to 1, not int64"),
        (np.full((8, 8), 200.0), "must lie between 0 and 1, here are 200 to 200"),
        (np.full((8, 8), np.nan), "here are NaN"),
        ([np.zeros((2, 1, 8, 8), np.uint8)], "holds several images"),
        ([3], "an image is an array, a tensor, a PIL image or a path, not int"),
        ("nowhere.png", "cannot read nowhere.png: No such file"),
        (str(Path(__file__).parent), r"inference is a folder: give .* sorted\(pathlib.Path\(.*\).rglob\('\*.png'\)\)"),
        ([Path(__file__).parent], "inference is a folder"),
        (Path(__file__), "test_given_images.py is no picture"),
        (5, "an image is an array, a tensor, a PIL image or a path, or several of these, not int"),
        (None, "or several of these, not NoneType"),
        ("a\0b", r"'a\\x00b' is no path: embedded null"),
    ],
)
def test_what_is_no_image(detector: AnomalyDetector, images: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        detector.score(images)


@pytest.mark.parametrize("several", [False, True])
def test_what_may_not_be_written_to_is_copied(images: np.ndarray, several: bool) -> None:
    """PyTorch knows no tensors that are read only, and warns."""
    kept = images[:3].copy()
    for writeable in (True, False):
        kept.setflags(write=writeable)
        (batch,) = batches(kept, GREY, 3) if several else [prepared(kept[0], GREY)]
        assert (batch.data_ptr() == kept.ctypes.data) == writeable
        assert np.array_equal(batch.numpy().reshape(-1, 1, 8, 8), kept if several else kept[:1])


def test_a_generator_is_read_two_batches_ahead_at_most(run_dir: Path, images: np.ndarray) -> None:
    detector = aeanomaly.load(run_dir, device="cpu", batch_size=10)
    judged, most, given = 0, 0, 0
    judge = detector.judge_batch

    def counted(batch: torch.Tensor) -> Any:
        nonlocal judged
        judged += len(batch)
        return judge(batch)

    def endless() -> Iterator[np.ndarray]:
        nonlocal given, most
        for number in range(300):
            given += 1
            most = max(most, given - judged)
            yield images[number % 360]

    detector.judge_batch = counted  # type: ignore[method-assign]
    assert len(detector.score(endless())) == judged == 300
    assert most <= 3 * 10 + 1


class Pictures:
    """A sequence as Python had them first, and torch's data sets are: without an iterator of its own."""

    def __init__(self, images: np.ndarray) -> None:
        self.images = images

    def __getitem__(self, number: int) -> np.ndarray:
        if number >= 3:
            raise IndexError
        return self.images[number]


def test_a_data_set_is_a_sequence_of_images(detector: AnomalyDetector, images: np.ndarray) -> None:
    np.testing.assert_array_equal(detector.score(Pictures(images)), detector.score(images[:3]))  # type: ignore[arg-type]
