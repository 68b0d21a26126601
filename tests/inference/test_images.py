"""Images in memory are what they would be as files, and stay as they were."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aeanomaly.data.pictures import Geometry
from aeanomaly.errors import UserError
from aeanomaly.inference.images import prepared
from tests.data.picture_files import content, noise

COLOUR, GREY = Geometry(16, 16, "resize", 3), Geometry(16, 16, "crop", 1)


def lying() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


LARGE = noise(0, 90, 120).resize((960, 720), Image.Resampling.BICUBIC)
GREYS = LARGE.convert("L").resize((40, 30))
FILES: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: content(LARGE, "JPEG"),
    "grey jpeg": lambda: content(LARGE.convert("L"), "JPEG"),
    "cmyk jpeg": lambda: content(LARGE.convert("CMYK"), "JPEG"),
    "lying jpeg": lambda: content(LARGE, "JPEG", exif=lying()),
    "lying png": lambda: content(LARGE.resize((40, 30)), exif=lying()),
    "lying tiff": lambda: content(LARGE.resize((40, 30)), "TIFF", exif=lying()),
    "telephone": lambda: content(LARGE, "MPO", save_all=True, append_images=[GREYS]),
    "palette": lambda: content(LARGE.quantize(7), transparency=2),
    "palette of levels": lambda: content(LARGE.quantize(4), transparency=bytes([0, 80, 255, 160])),
    "grey with a transparent level": lambda: content(GREYS.point(lambda level: level // 64 * 64), transparency=64),
    "alpha": lambda: content(Image.merge("RGBA", (*LARGE.split(), LARGE.convert("L")))),
    "16 bits": lambda: content(Image.fromarray(np.asarray(GREYS).astype(np.uint16) * 251)),
    "32 bits": lambda: content(Image.fromarray(np.asarray(GREYS).astype(np.int32) * 251), "TIFF"),
    "jpeg in tiff": lambda: content(LARGE, "TIFF", compression="jpeg"),
    "fax": lambda: content(GREYS.convert("1"), "TIFF", compression="group4"),
    "gif": lambda: content(LARGE.quantize(9), "GIF", transparency=3),
    "webp": lambda: content(LARGE, "WEBP", lossless=True),
}


@pytest.mark.parametrize("geometry", [COLOUR, GREY], ids=["colour", "grey"])
@pytest.mark.parametrize("kind", FILES)
def test_a_picture_that_pillow_opened_is_that_of_its_file(kind: str, geometry: Geometry, tmp_path: Path) -> None:
    path = tmp_path / "picture"
    path.write_bytes(FILES[kind]())
    expected = prepared(path, geometry)
    with Image.open(path) as image:
        size, mode = image.size, image.mode
        for _ in range(2):  # the second time it may have been decoded
            assert torch.equal(prepared(image, geometry), expected)
            assert image.mode == mode
            assert image.size == size or kind == "lying tiff"  # Pillow turns it when it decodes it


def test_a_jpeg_that_is_decoded_counts_with_all_its_pixels() -> None:
    image = Image.open(io.BytesIO(FILES["jpeg"]()))
    undecoded = prepared(image, COLOUR)
    image.load()
    plain = prepared(np.asarray(image), COLOUR)
    assert torch.equal(prepared(image, COLOUR), plain)
    assert 0 < (undecoded.float() - plain.float()).abs().max() < 40
    drafted = Image.open(io.BytesIO(FILES["jpeg"]()))
    drafted.draft("L", (480, 360))
    assert torch.equal(prepared(drafted, GREY), prepared(np.asarray(drafted)[..., None].repeat(3, 2)[..., 0], GREY))


@pytest.mark.parametrize("make", [lambda image: image.convert("HSV"), lambda image: image.convert("YCbCr")])
def test_modes_that_no_file_has(make: Callable[[Image.Image], Image.Image]) -> None:
    image = make(noise(0, 16, 16))
    assert np.array_equal(prepared(image, COLOUR).permute(1, 2, 0).numpy(), np.asarray(image.convert("RGB")))


def test_what_was_made_of_a_tiff() -> None:
    fax = Image.open(io.BytesIO(FILES["fax"]())).convert("L")
    assert torch.equal(prepared(fax, GREY), prepared(np.asarray(fax), GREY))
    small = Image.open(io.BytesIO(FILES["jpeg in tiff"]()))
    small.thumbnail((32, 32))
    assert torch.equal(prepared(small, COLOUR), prepared(np.asarray(small), COLOUR))


def closed() -> Image.Image:
    image = Image.open(io.BytesIO(FILES["palette"]()))
    image.close()
    return image


def odd_exif() -> Image.Image:
    image = noise(0)
    image.info["exif"] = b"Exif\0\0nonsense"
    return image


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Image.new("RGB", (0, 9)), "of mode RGB has no pixels"),
        (closed, r"of mode P was closed before it was decoded: call its load\(\) first"),
        (odd_exif, "of mode RGB is damaged"),
        (lambda: noise(0).convert("F"), "of mode F has floating point values"),
        (lambda: Image.open(io.BytesIO(FILES["jpeg"]()[:5000])), "of mode RGB is damaged .*truncated"),
    ],
)
def test_a_picture_that_cannot_be_used_is_told_of_in_a_line(make: Callable[[], Image.Image], says: str) -> None:
    with pytest.raises(UserError, match=f"a PIL image {says}") as raised:
        prepared(make(), COLOUR)
    assert "\n" not in str(raised.value)
