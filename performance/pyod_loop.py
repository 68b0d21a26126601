"""PyOD's AutoEncoder (https://pyod.readthedocs.io), which the extra `performance` installs."""

from __future__ import annotations

from itertools import pairwise

import torch
from limit import WIDTHS
from study_net import BATCH, RATE, SEED, now
from torch import Tensor


def pyod_options(device: str) -> dict[str, object]:
    """Options of PyOD's AutoEncoder for the study's architecture and optimiser."""
    return {
        "hidden_neuron_list": list(WIDTHS[1:]),
        "hidden_activation_name": "tanh",
        "batch_norm": False,
        "dropout_rate": 0.0,
        "preprocessing": False,
        "batch_size": BATCH,
        "lr": RATE,
        "optimizer_params": {},
        "device": torch.device(device),
        "random_state": SEED,
        "verbose": 0,
    }


def pyod(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """PyOD's AutoEncoder with the study's widths.

    Its layers end in an activation on the code and none on the output, which is the nearest it can be set to. It leaves
    out an incomplete last batch. Its `fit` goes on to score all images, which is not counted here.
    """
    from pyod.models.auto_encoder import AutoEncoder

    stamps: list[float] = []

    class Timed(AutoEncoder):
        def training_prepare(self) -> None:
            super().training_prepare()
            stamps.append(now(device))

        def epoch_update(self) -> None:
            super().epoch_update()
            stamps.append(now(device))

    Timed(**pyod_options(device), epoch_num=epochs).fit((images.flatten(1).float() / 255).numpy())
    return [end - start for start, end in pairwise(stamps)], len(images) // BATCH * BATCH
