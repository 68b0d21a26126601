"""Images, what a net makes of them, and maps of what a score sees, as data URIs of a few hundred bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.heat import heat
from aeanomaly.outputs import Output

_LONGEST = 112  # pixels of the longest side; larger images are shrunk to it
_LOSSLESS = 40  # pixels of the longest side up to which a PNG is smaller than a WebP
_PALETTE = (colormaps["magma"](np.linspace(0, 1, 256))[:, :3] * 255).round().astype(np.uint8).tobytes()

# The pictures of an image, by what they show: ``input``, ``reconstruction``, ``squared error``, and the name of a score
# behind ``map:``.
Pictures = dict[str, str]


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """In evaluation mode and without gradients; every part is then as it was."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, training in modes:
            part.training = training


def pictures_of(detector: Detector, images: Tensor) -> list[Pictures]:
    """The pictures of (B, C, H, W) images in [0, 1]; none if C is neither 1 nor 3.

    A map of a calibrated score is drawn on the `heat_scale` of the score, from black, where a place is as in normal
    images, to nearly white. Errors have one scale for all images, up to the highest value. Where the net does not
    reconstruct images, there is neither a reconstruction nor an error.
    """
    if images.shape[1] not in (1, 3):
        return [{} for _ in images]
    output = detector.output(images)
    pictures: list[Pictures] = [{"input": _photograph(image)} for image in images]
    levels = {f"map:{name}": places for name, places in _heat(detector, output, images.shape[-2:]).items()}
    if output.target.shape == images.shape and output.reconstruction.shape == images.shape:
        for entry, image in zip(pictures, output.reconstruction, strict=True):
            entry["reconstruction"] = _photograph(image)
        levels["squared error"] = _up_to_the_highest((output.reconstruction - output.target).square().sum(1))
    for name, places in levels.items():
        for entry, one in zip(pictures, _small(places.unsqueeze(1)).squeeze(1), strict=True):
            entry[name] = _palette_picture(one)
    return pictures


def _heat(detector: Detector, output: Output, size: Sequence[int]) -> dict[str, Tensor]:
    """(B, *size) levels in [0, 1], by name of each score that has a map."""
    maps = detector.maps(output, size)
    judged = detector.judge(output) if maps else {}
    levels = {}
    for name, places in maps.items():
        calibration = detector.calibration(name)
        if calibration.fitted:
            levels[name] = heat(places, judged[name].score, calibration.normal_scores.to(places.device))
        else:
            levels[name] = _up_to_the_highest(places)
    return levels


def _up_to_the_highest(places: Tensor) -> Tensor:
    known = places.nan_to_num()
    low, high = float(known.min()), float(known.max())
    low = 0.0 if 0 <= low < high / 2 else low  # far from 0, only differences tell
    return ((known - low) / max(high - low, 1e-12)).clamp(0, 1)


def _small(images: Tensor) -> Tensor:
    """(B, C, h, w), at most `_LONGEST` pixels a side."""
    longest = max(images.shape[-2:])
    if longest <= _LONGEST:
        return images
    size = [max(1, round(side * _LONGEST / longest)) for side in images.shape[-2:]]
    return functional.interpolate(images, size=size, mode="bilinear", antialias=True)


def _photograph(image: Tensor) -> str:
    pixels = _bytes(_small(image.unsqueeze(0))[0].clamp(0, 1))
    picture = Image.fromarray(pixels[0]) if len(pixels) == 1 else Image.fromarray(np.moveaxis(pixels, 0, -1).copy())
    return _uri(picture)


def _palette_picture(levels: Tensor) -> str:
    pixels = _bytes(levels)
    picture = Image.frombytes("P", pixels.shape[::-1], pixels.tobytes())
    picture.putpalette(_PALETTE)
    return _uri(picture if max(picture.size) <= _LOSSLESS else picture.convert("RGB"))


def _bytes(values: Tensor) -> NDArray[np.uint8]:
    levels: NDArray[np.uint8] = (values.nan_to_num() * 255).round().to(torch.uint8).cpu().numpy()
    return levels


def _uri(picture: Image.Image) -> str:
    stream, kind = io.BytesIO(), "png" if max(picture.size) <= _LOSSLESS else "webp"
    picture.save(stream, kind, **({"optimize": True} if kind == "png" else {"quality": 75}))
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
