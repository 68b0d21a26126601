"""Which exceptions are a mistake of the user, to be told in one line."""

from __future__ import annotations

import inspect
import re
import shlex

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer

from aeanomaly.errors import UserError
from aeanomaly.runs.checkpoints import kept_checkpoint
from aeanomaly.runs.files import is_full_disk

# How gloo and NCCL tell that a process is gone with which they were about to exchange something.
_GONE = re.compile(r"connection (closed|reset) by peer|remote process exiting", re.IGNORECASE)


def users_mistake(error: BaseException | None, trainer: Trainer | None = None) -> str:
    """The mistake behind an exception, which jsonargparse may have wrapped in others; empty if it is a defect.

    Trouble of the machine counts, too: a full disk, too little memory, a process that is gone.
    ``trainer`` is that of the run that the exception ended, if it came that far.
    """
    while error is not None:
        text = " ".join(str(error).split())
        if is_full_disk(error):
            return f"cannot write into {_folder(trainer)}: {error.strerror}; {_way_on(trainer, 'make room, then ')}"
        if isinstance(error, UserError) and is_full_disk(error.__cause__):  # it names the file
            return f"{error}; {_way_on(trainer, 'make room, then ')}"
        if isinstance(error, (UserError, MisconfigurationException)):
            return str(error)
        if isinstance(error, OSError) and error.filename is not None:
            return f"{error.filename}: {error.strerror or error}"
        if text == "embedded null byte":
            return "a name of a file in the configuration has a NUL character"
        if text == "SyncBatchNorm layers only work with GPU modules":
            return "trainer.sync_batchnorm is true: torch has it for GPUs only; leave it out"
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or re.search(
            "allocate memory|size.* overflow|Overflow when unpacking", text
        ):
            wanted = re.search(r"tried to allocate ([\w.]+ \w+)", text, re.IGNORECASE)
            wants = f" for {wanted[1]}" if wanted else ""
            return f"not enough memory{wants}: lower {_what_to_lower(trainer)}"
        if trainer is not None and trainer.world_size > 1 and isinstance(error, RuntimeError) and _GONE.search(text):
            return f"another process of this run has ended, and may have said why; {_way_on(trainer)}"
        if text.startswith("Error(s) in loading state_dict"):
            detail = text.partition(": ")[2]
            return f"the checkpoint is of another net, or of another program: {detail[:160]}"
        if isinstance(error, ModuleNotFoundError) and error.name is None:  # what a library says of one that it wants
            return text
        error = error.__cause__
    return ""


def _what_to_lower(trainer: Trainer | None) -> str:
    """The options of the sizes that matter at this point of a run."""
    data = getattr(trainer, "datamodule", None)
    if trainer is None or data is None:  # the net is made before the trainer
        return "the sizes of model.net"
    batch = "batch_size" if trainer.training else "eval_batch_size"
    options = [f"data.{batch} ({size})"] if (size := getattr(data, batch, None)) else []
    options += ["data.size"] if "size" in inspect.signature(type(data)).parameters else []
    return " or ".join([*options, "the sizes of model.net"])


def _folder(trainer: Trainer | None) -> str:
    """Where a run writes, as far as is known."""
    return str(getattr(trainer.logger, "log_dir", None) or trainer.default_root_dir) if trainer else "the run"


def _way_on(trainer: Trainer | None, first: str = "") -> str:
    """How to go on, such as "make room, then " ``first``; whatever of ours lies on the disk is whole."""
    kept = kept_checkpoint(trainer) if trainer else None
    if kept is None:
        return f"nothing is left to resume: {first}run it again"
    return f"{kept} is whole: {first}resume with: python -m aeanomaly fit --ckpt_path {shlex.quote(str(kept))}"
