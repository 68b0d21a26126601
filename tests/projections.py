"""Reading back what was written for TensorBoard's Projector."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig

from aeanomaly.outputs import Evaluation


def entries(folder: Path) -> list[EmbeddingInfo]:
    config = text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig())
    return list(config.embeddings)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def tiles(path: Path, entry: EmbeddingInfo) -> np.ndarray:
    """A sprite as (rows * columns, h, w, 3), cut the way the Projector does."""
    picture = np.asarray(Image.open(path))
    width, height = entry.sprite.single_image_dim
    down, across = picture.shape[0] // height, picture.shape[1] // width
    assert picture.shape == (down * height, across * width, 3)
    assert down == across
    return picture.reshape(down, height, across, width, 3).swapaxes(1, 2).reshape(-1, height, width, 3)


def evaluation(count: int) -> Evaluation:
    return Evaluation(
        scores={"reconstruction": torch.arange(count).float()},
        thresholds={"reconstruction": {}},
        code=torch.randn(count, 2, generator=torch.Generator().manual_seed(0)),
        label=torch.arange(count) % 10,
        is_anomaly=torch.arange(count) % 10 == 0,
        index=torch.arange(count),
    )
