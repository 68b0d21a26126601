"""The picture of maps over images."""

from __future__ import annotations

import io
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from aeanomaly.plots.anomaly_maps import Mapped, anomaly_maps


def column(seed: int, is_anomaly: bool = False, channels: int = 1, **options: Any) -> Mapped:
    generator = torch.Generator().manual_seed(seed)
    image, places = torch.rand(channels, 20, 16, generator=generator), torch.rand(20, 16, generator=generator)
    fields: dict[str, Any] = {"maps": {"knn": 5 + places, "other": places}, "mask": None, "index": seed, **options}
    return Mapped(image=image, is_anomaly=is_anomaly, **fields)


def tiles_of(figure: Figure, rows: int, columns: int) -> np.ndarray:
    """(rows, columns, 20, 16, 3), without the white margins."""
    picture = np.asarray(figure.axes[0].images[0].get_array())
    height, width = picture.shape[0] // rows, picture.shape[1] // columns
    return picture.reshape(rows, height, columns, width, 3).swapaxes(1, 2)[:, :, 1:-1, 1:-1]


def mask(*corner: int) -> Tensor:
    values = torch.zeros(20, 16, dtype=torch.uint8)
    values[corner[0] :, corner[1] :] = 255
    return values


@pytest.mark.parametrize("channels", [1, 3])
def test_image_mask_and_map_of_every_image(channels: int) -> None:
    columns = [column(1, channels=channels, mask=mask(20, 0)), column(2, True, channels, mask=mask(12, 9))]
    figure = anomaly_maps(columns, "knn", {"class": ["3", "0"]})
    figure.savefig(io.BytesIO())
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["index", "class", "input", "anomalous places", "knn map"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["normal", "anomaly"]
    tiles = tiles_of(figure, 3, 2)
    for number, shown in enumerate(columns):
        np.testing.assert_allclose(tiles[0, number], shown.image.expand(3, -1, -1).permute(1, 2, 0), rtol=1e-6)
        assert shown.mask is not None
        np.testing.assert_array_equal(tiles[1, number].mean(-1), (shown.mask > 0).numpy())
    # Whatever the image below, a place that is higher on the common scale is brighter by the map's part.
    places = torch.stack([shown.maps["knn"] for shown in columns])
    grey = torch.stack([shown.image.mean(0) for shown in columns])
    share = tiles[2].sum(-1) - 3 * 0.4 * grey.numpy()
    order = places.numpy().ravel().argsort()
    assert (np.diff(share.ravel()[order]) >= -0.02).all()
    (scale,) = axes.child_axes
    assert scale.get_ylim() == pytest.approx((float(places.min()), float(places.max())))


def test_without_masks_there_is_no_row_of_them() -> None:
    figure = anomaly_maps([column(1), column(2)], "other", {})
    figure.savefig(io.BytesIO())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["index", "input", "other map"]


@pytest.mark.parametrize("value", [3.0, math.nan, math.inf])
def test_a_map_that_says_nothing_is_drawn_all_the_same(value: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        anomaly_maps([column(1, maps={"knn": torch.full((20, 16), value)})], "knn", {}).savefig(io.BytesIO())
