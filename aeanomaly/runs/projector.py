"""What TensorBoard's Projector draws points from: their columns, thumbnails, and the files of both.

torch's own `add_embedding` would do for a first call: called again by a resumed run, it forgets what was there or lists
it twice, and images higher than wide break its sprite.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo, ProjectorConfig
from torch import Tensor
from torch.nn.functional import interpolate, pad

from aeanomaly.outputs import Evaluation
from aeanomaly.runs.files import write_whole

LARGEST_SPRITE = 8192  # pixels a side, beyond which WebGL refuses a texture on many machines
_CONFIG = "projector_config.pbtxt"


def sprite_side(count: int) -> int:
    """How many thumbnails stand side by side in the square sprite of ``count``."""
    return math.isqrt(count - 1) + 1 if count else 0


def thumbnails(images: Tensor, longest: int) -> Tensor:
    """(B, C, H, W) images in [0, 1] as (B, C, h, w) uint8 with h and w at most ``longest``."""
    height, width = images.shape[-2:]
    if len(images) and max(height, width) > longest:
        scale = longest / max(height, width)
        size = (max(1, round(height * scale)), max(1, round(width * scale)))
        images = interpolate(images, size=size, mode="area")
    return images.nan_to_num().clamp(0, 1).mul(255).round().to(torch.uint8)


def columns(evaluation: Evaluation, rows: Tensor) -> Mapping[str, Sequence[object]]:
    """What points can be coloured and labelled by: class, kind, index (as in test_scores.csv), every score."""
    kinds = ["anomaly" if flag else "normal" for flag in evaluation.is_anomaly[rows].tolist()]
    table: dict[str, Sequence[object]] = {"class": evaluation.label[rows].tolist(), "kind": kinds}
    table["index"] = evaluation.index[rows].tolist()
    return table | {name: [f"{v:.4g}" for v in scores[rows].tolist()] for name, scores in evaluation.scores.items()}


def write_projection(
    folder: Path,
    name: str,
    code: Tensor,
    columns: Mapping[str, Sequence[object]],
    thumbnails: Tensor | None = None,
) -> None:
    """Write one set of points for the Projector, replacing an earlier one of the same name and keeping all others.

    Args:
        folder: of the run, where its event file lies; the set goes into ``projector/<name>`` of it.
        code: (N, D) finite float32, N at least 1. The Projector draws nothing below three dimensions, so a smaller
            code gets zeros beside it.
        columns: N values each by name, to colour and label the points by; two columns or more.
        thumbnails: (N, C, h, w) uint8 with C being 1 or 3; None for dots.

    Raises:
        UserError: if the place cannot be written to.
    """
    code = pad(code, (0, max(0, 3 - code.shape[1])))
    entry = EmbeddingInfo(tensor_name=name, tensor_shape=list(code.shape))

    def put(file: str, content: str | bytes) -> str:
        place = f"projector/{name}/{file}"
        write_whole(folder / place, content)
        return place

    entry.tensor_path = put("codes.tsv", _table(code.tolist(), "{:.6g}"))
    entry.metadata_path = put("metadata.tsv", _table([tuple(columns), *zip(*columns.values(), strict=True)], "{}"))
    if thumbnails is not None:
        entry.sprite.image_path = put("sprite.png", _sprite(thumbnails))
        entry.sprite.single_image_dim.extend([thumbnails.shape[3], thumbnails.shape[2]])
    config = ProjectorConfig()
    if (folder / _CONFIG).is_file():
        text_format.Parse((folder / _CONFIG).read_text(), config)
    others = [other for other in config.embeddings if other.tensor_name != name]
    # The Projector opens on the first: the newest. This file comes last, so that TensorBoard, which may be watching,
    # never reads of files that are not there yet.
    write_whole(folder / _CONFIG, text_format.MessageToString(ProjectorConfig(embeddings=[entry, *others])))


def _table(rows: Sequence[Sequence[object]], form: str) -> str:
    return "".join("\t".join(form.format(value) for value in row) + "\n" for row in rows)


def _sprite(thumbnails: Tensor) -> bytes:
    """(N, C, h, w) uint8 as a PNG of as many rows as columns, filled row by row."""
    side = sprite_side(len(thumbnails))
    filled = pad(thumbnails.expand(-1, 3, -1, -1), (0, 0, 0, 0, 0, 0, 0, side * side - len(thumbnails)))
    rows = filled.unflatten(0, (side, side)).permute(0, 3, 1, 4, 2)  # row, height, column, width, channel
    stream = io.BytesIO()
    Image.fromarray(rows.flatten(2, 3).flatten(0, 1).numpy()).save(stream, format="PNG", optimize=True)
    return stream.getvalue()
