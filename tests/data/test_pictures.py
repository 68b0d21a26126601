"""Every kind of picture file becomes what a viewer shows, or is refused with a reason."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from aeanomaly.data.pictures import Geometry, PictureError, read_mask, read_picture
from tests.data.picture_files import content, noise

COLOUR, GREY = Geometry(8, 8, "resize", 3), Geometry(8, 8, "resize", 1)
RGB = noise(0)
LEVELS = np.asarray(RGB.convert("L"))
HALF_SEEN = Image.merge("RGBA", (*RGB.split(), Image.fromarray(np.full((8, 8), 51, np.uint8))))  # a fifth


def pixels(data: bytes, geometry: Geometry = COLOUR) -> Any:
    """(H, W, C) as signed integers."""
    picture, _ = read_picture(data, geometry)
    assert picture.shape == geometry.shape
    return picture.permute(1, 2, 0).numpy().astype(int)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (content(RGB), np.asarray(RGB)),
        (content(RGB, "BMP"), np.asarray(RGB)),
        (content(RGB, "WEBP", lossless=True), np.asarray(RGB)),
        (content(Image.fromarray(LEVELS)), LEVELS[..., None].repeat(3, 2)),
        (content(Image.fromarray(LEVELS.astype(np.uint16) * 257)), LEVELS[..., None].repeat(3, 2)),
        (content(Image.fromarray(LEVELS.astype(np.int32) * 257), "TIFF"), LEVELS[..., None].repeat(3, 2)),
        (content(Image.fromarray(LEVELS > 127)), (LEVELS[..., None].repeat(3, 2) > 127) * 255),
        (content(RGB.quantize(4)), np.asarray(RGB.quantize(4).convert("RGB"))),
        (content(RGB.quantize(4), "GIF"), np.asarray(RGB.quantize(4).convert("RGB"))),
        (content(HALF_SEEN), np.asarray(RGB) * 0.2 + 255 * 0.8),
        (content(Image.new("RGB", (8, 8), (9, 8, 7)), transparency=(9, 8, 7)), np.full((8, 8, 3), 255)),
        (content(Image.new("RGB", (1, 1), (9, 8, 7))), np.full((8, 8, 3), (9, 8, 7))),
    ],
    ids=["rgb", "bmp", "webp", "grey", "16bit", "32bit", "1bit", "palette", "gif", "alpha", "transparent", "1x1"],
)
def test_what_is_read_is_what_is_shown(data: bytes, shown: Any) -> None:
    assert np.abs(pixels(data) - shown).max() <= 1
    if (shown == shown[..., :1]).all():
        assert np.abs(pixels(data, GREY)[..., 0] - shown[..., 0]).max() <= 1


def test_cmyk_becomes_rgb() -> None:
    plain = Image.new("RGB", (8, 8), (200, 100, 50))
    assert np.abs(pixels(content(plain.convert("CMYK"), "JPEG")) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_picture_is_turned_as_its_camera_says(kind: str) -> None:
    wide = Image.fromarray(np.arange(0, 240, 10, dtype=np.uint8)[None].repeat(16, 0))  # darker on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # the left is up
    picture, size = read_picture(content(wide, kind, exif=exif, quality=100), Geometry(24, 16, "resize", 1))
    assert size == (16, 24)
    assert np.abs(picture[0].numpy() - np.arange(0, 240, 10)[:, None]).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("fit", ["resize", "crop"])
def test_large_pictures_shrink_as_pillow_shrinks_them(kind: str, fit: Any) -> None:
    """A JPEG is decoded at a half of its size, so it comes out a little different."""
    blurred = noise(0, 9, 12).resize((240, 180), Image.Resampling.BICUBIC)
    box = (0, 0, 240, 180) if fit == "resize" else (30, 0, 210, 180)  # 180 x 180 in the middle
    expected = np.asarray(blurred.crop(box).resize((40, 40), Image.Resampling.BILINEAR)).astype(int)
    difference = np.abs(pixels(content(blurred, kind, quality=98), Geometry(40, 40, fit, 3)) - expected)
    assert difference.max() <= (1 if kind == "PNG" else 16)
    assert difference.mean() <= 3


def test_of_a_telephones_two_pictures_the_first_is_meant() -> None:
    both = content(Image.new("L", (8, 8), 90), "MPO", save_all=True, append_images=[Image.new("L", (8, 8))])
    assert pixels(both, GREY).mean() == 90


def bomb() -> bytes:
    """A PNG that says to have 50,000 x 50,000 pixels."""
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0), b"IDAT" + zlib.compress(bytes(100)))
    framed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"a letter", "no picture that Pillow reads"),
        (content(noise(0, 99, 99), "JPEG")[:2000], "is damaged .*truncated"),
        (content(noise(0, 99, 99))[:2000], "is damaged .*truncated"),
        (content(RGB, "JPEG")[:30], "is damaged|no picture"),
        (content(RGB, "GIF", save_all=True, append_images=[noise(1)]), "has 2 frames: save the one"),
        (content(RGB, "TIFF", save_all=True, append_images=[noise(1)]), "has 2 frames"),
        (content(RGB.convert("F"), "TIFF"), "floating point .*8 or 16 bits"),
        (content(Image.fromarray(LEVELS.astype(np.int32) * 70_000), "TIFF"), "values from .* 8 or 16 bits"),
        (bomb(), "more pixels .* make it smaller"),
    ],
    ids=["empty", "text", "jpeg", "png", "head", "gif", "pages", "float", "deep", "bomb"],
)
def test_what_cannot_be_used_is_refused_with_a_reason(data: bytes, reason: str) -> None:
    with warnings.catch_warnings(), pytest.raises(PictureError, match=reason) as raised:
        warnings.simplefilter("error")
        read_picture(data, COLOUR)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("mode", ["1", "L", "RGB", "RGBA", "I;16", "P"])
def test_a_mask_is_whatever_is_not_black(mode: str) -> None:
    drawn = Image.new("L", (12, 8))
    drawn.paste(255, (8, 0, 12, 8))  # the right third
    deep = Image.fromarray((np.asarray(drawn) > 0).astype(np.uint16))  # 1 of 65535
    data = content(deep if mode == "I;16" else drawn.convert(mode))
    expected = np.repeat([[0, 0, 0, 0, 1, 1]], 4, axis=0)
    assert read_mask(data, Geometry(4, 6, "resize", 3), (12, 8)).tolist() == expected.tolist()
    middle = np.repeat([[0, 0, 0, 1]], 4, axis=0)  # 8x8, without the outer two on each side
    assert read_mask(data, Geometry(4, 4, "crop", 3), (12, 8)).tolist() == middle.tolist()


def test_a_mask_of_jpeg_ends_where_it_was_drawn() -> None:
    drawn = Image.new("L", (40, 30))
    drawn.paste(255, (5, 3, 22, 19))
    geometry = Geometry(30, 40, "resize", 3)
    assert np.count_nonzero(Image.open(io.BytesIO(content(drawn, "JPEG")))) > 17 * 16
    found = (read_mask(content(drawn, kind), geometry, (40, 30)).tolist() for kind in ("JPEG", "PNG"))
    assert next(found) == next(found)
    assert not read_mask(content(Image.new("L", (40, 30)), "JPEG"), geometry, (40, 30)).any()


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(PictureError, match="is 8x8 pixels, but its picture 16x8"):
        read_mask(content(RGB), COLOUR, (16, 8))
