"""Checkpoints that are either absent or whole, also on a disk that is full."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins import TorchCheckpointIO
from typing_extensions import override

from aeanomaly.runs.files import written_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it when it is on the disk: the old one stays until then.

    The stock plugin writes into the folder for temporary files. Where that is another file system it then copies the
    file to its place, and a full disk cuts short the checkpoint that was there.
    """

    @override
    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Save; a URL (``s3://...``) is left to the stock plugin.

        Raises:
            UserError: if the place cannot be written to.
        """
        if storage_options is not None or "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        # torch.save hides the reason of a failed write; it writes to memory, as in the stock plugin.
        stream = io.BytesIO()
        torch.save(checkpoint, stream)
        with written_whole(Path(path)) as partial:
            partial.write_bytes(stream.getbuffer())

    @override
    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a file; a URL is left to the stock plugin, which would remove folders, too."""
        if "://" in str(path):
            super().remove_checkpoint(path)
        else:
            Path(path).unlink(missing_ok=True)
