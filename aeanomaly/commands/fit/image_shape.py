"""A net for images of one shape is made for the images that there are."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock
from jsonargparse import Namespace

from aeanomaly.commands.configured_data import configured_data
from aeanomaly.data.checks import checked

ANY_SHAPE = (1, 32, 32)  # for a net that is built although nobody knows its images


def fill_image_shape(config: Namespace, shape: tuple[int, int, int] | None = None) -> None:
    """Put the shape of the images where ``model.net``, or a net within it, has a null for its ``image_shape``.

    From then on it stands in the configuration as if it had been given: in the run's config.yaml and its checkpoints.
    The data are prepared and loaded for it, which the trainer does again; without such a null they are not touched. One
    process of several leaves the null where the data cannot be had: the others, which would wait for it for ever, hear
    of it when the trainer meets the same mistake.

    Args:
        config: of a command of the trainer, parsed and not yet instantiated. It is changed in place.
        shape: (C, H, W) of the images; None for that of the configured data.

    Raises:
        UserError: if the data cannot be had.
    """
    nets = list(_undecided(config.model.net))
    if not nets:
        return
    try:
        known = shape or _shape_of(config.data)
    except Exception:
        if not _among_others():
            raise
        return
    for arguments in nets:
        arguments.image_shape = known


def _undecided(value: Any) -> Iterator[Namespace]:
    """The arguments of every net that has an ``image_shape`` of null, however deep."""
    if isinstance(value, Namespace):
        arguments = value.get("init_args")
        if isinstance(arguments, Namespace):
            if "image_shape" in vars(arguments) and arguments.image_shape is None:
                yield arguments
            for inner in vars(arguments).values():
                yield from _undecided(inner)


def _shape_of(described: Namespace) -> tuple[int, ...]:
    """(C, H, W) of the images of a data source."""
    data = configured_data(described.as_dict())
    name = f"{getattr(os, 'getuid', int)()} {described}"
    key = hashlib.sha256(name.encode(errors="surrogateescape")).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir(), f"aeanomaly_{key}.lock"))
    with lock if _among_others() else nullcontext():  # they may be about to fetch the same data
        data.prepare_data()
    return tuple(checked(data.load(), data.source).train_images.shape[1:])


def _among_others() -> bool:
    """Whether torchrun, Slurm or Lightning has started this process as one of several."""
    return any(os.environ.get(name, "1") != "1" for name in ("WORLD_SIZE", "SLURM_NTASKS"))
