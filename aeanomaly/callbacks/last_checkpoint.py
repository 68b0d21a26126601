"""Keeps the end of the latest epoch."""

from __future__ import annotations

from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Writes ``last.ckpt`` after every validated epoch; ``fit --ckpt_path`` of it resumes.

    `ModelCheckpoint` with ``save_last=True`` writes one only after an epoch that is the best so far.
    """

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False)
