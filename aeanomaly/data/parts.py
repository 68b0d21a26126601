"""Which images of a data set are trained on, validated on and tested on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from aeanomaly.data.splits import Split, development_images, split_training_set
from aeanomaly.data.table import Arrays


class Part(NamedTuple):
    """The images of ``train``, ``val`` or ``test``."""

    array: str  # ``train`` or ``test``, the array of the data that they are of
    images: Tensor  # (M, C, H, W) uint8, that array
    labels: Tensor  # (N,) int64
    rows: Tensor | None  # (N,) int64, where in ``images`` they are; None for all, in order


def divide(
    arrays: Arrays, is_anomaly: Tensor, val_fraction: float, contamination: float, seed: int, development: bool
) -> tuple[Split, dict[str, Part]]:
    """Divide a data set.

    Args:
        arrays: the whole of it.
        is_anomaly: (N,) bool, of its training split.
        val_fraction: share of the normal training images that is held out for validation.
        contamination: share of anomalies in the training images.
        seed: of the split.
        development: whether `development_images` take the place of the test split, and no other part.

    Returns:
        Positions into the training split, and the parts ``train``, ``val`` and ``test``. In ``val`` the normal images
        come first, so that their order does not depend on the anomalies beside them.

    Raises:
        UserError: as `split_training_set` and `Split.without`.
    """
    images, labels, left_out = arrays.train_images, arrays.train_labels, arrays.left_out
    used, test = torch.arange(len(labels)), Part("test", arrays.test_images, arrays.test_labels, None)
    if development:
        held_out = development_images(labels)
        rows = (held_out if left_out is None else held_out & ~left_out).nonzero().squeeze(1)
        used, test = (~held_out).nonzero().squeeze(1), Part("train", images, labels[rows], rows)
    split = split_training_set(is_anomaly[used], val_fraction, contamination, seed)
    split = Split(used[split.train], used[split.val_normal], used[split.val_anomaly])
    if left_out is not None:
        split = split.without(left_out)
    val = torch.cat([split.val_normal, split.val_anomaly])
    parts = {
        "train": Part("train", images, labels[split.train], split.train),
        "val": Part("train", images, labels[val], val),
        "test": test,
    }
    return split, parts
