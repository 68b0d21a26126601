"""Images to check a graph with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from aeanomaly.commands.configured_data import configured_data
from aeanomaly.errors import UserError
from aeanomaly.inference.restoring import TRUSTED, imports_from
from aeanomaly.runs.files import read_config


def images_of_run(run: Path | None, count: int, allow_import: Sequence[str] = ()) -> Tensor:
    """``count`` test images of a run, (count, C, H, W) uint8, evenly drawn from its first batch; nothing is downloaded.

    Args:
        run: its directory, whose config may be of others as well as the checkpoint.
        count: how many.
        allow_import: packages besides `TRUSTED` from which its data source may come.

    Raises:
        UserError: if they cannot be had, for any reason.
    """
    if run is None or not (run / "config.yaml").is_file():
        raise UserError("there is no config.yaml of its run")
    try:
        with imports_from([*TRUSTED, *allow_import]):
            data = configured_data(read_config(run / "config.yaml", "run").get("data"))
        data.setup()
        images = next(iter(data.test_dataloader())).image
    except Exception as error:  # whatever a data source of the user's complains of
        raise UserError(" ".join(str(error).split()) or type(error).__name__) from error
    drawn = torch.linspace(0, len(images) - 1, min(count, len(images))).long()
    return _bytes(images[drawn])


def random_images(shape: tuple[int, int, int], count: int) -> Tensor:
    """(count, C, H, W) uint8, of every brightness and contrast, the same each time."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, *shape, generator=generator)
    low, high = torch.rand(2, count, 1, 1, 1, generator=generator).sort(0).values
    return _bytes(low + noise * (high - low))


def _bytes(images: Tensor) -> Tensor:
    levels: Tensor = (images * 255).round().to(torch.uint8)
    return levels
