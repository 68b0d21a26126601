"""A net for images of one shape is made for the images that there are."""

from __future__ import annotations

import getpass
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock
from jsonargparse import Namespace

from aeanomaly.commands.configured_data import configured_data
from aeanomaly.data.checks import checked

# What launchers tell a process of several: torchrun and Lightning, Slurm, LSF.
_AMONG_OTHERS = ("LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")
_ANY = (1, 32, 32)


def fill_image_shape(config: Namespace, shape: tuple[int, int, int] | None = None) -> None:
    """Put the shape of the images where ``model.net``, or a net within it, has a null for its ``image_shape``.

    From then on it stands in the configuration as if it had been given: in the run's config.yaml and its checkpoints.
    The data are prepared and loaded for it, which the trainer does again; without such a null they are not touched.

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
        if not any(name in os.environ for name in _AMONG_OTHERS):
            raise
        # Others would wait for this process for ever. They hear of it when the trainer meets the same mistake.
        known = _ANY
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
    key = hashlib.sha256(f"{getpass.getuser()} {described}".encode()).hexdigest()[:16]
    with FileLock(Path(tempfile.gettempdir(), f"aeanomaly_{key}.lock")):  # torchrun starts several processes at once
        data.prepare_data()
    silenced = logging.root.manager.disable
    logging.disable(logging.WARNING)  # the trainer has it all said
    try:
        return tuple(checked(data.load(), data.source).train_images.shape[1:])
    finally:
        logging.disable(silenced)
