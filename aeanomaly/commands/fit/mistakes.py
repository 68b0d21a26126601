"""Which exceptions are a mistake of the user, to be told in one line."""

from __future__ import annotations

import re

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from aeanomaly.errors import UserError


def users_mistake(error: BaseException | None) -> str:
    """The mistake behind an exception, which jsonargparse may have wrapped in others; empty if it is a defect."""
    while error is not None:
        text = " ".join(str(error).split())
        if isinstance(error, (UserError, MisconfigurationException)):
            return str(error)
        if isinstance(error, (MemoryError, torch.OutOfMemoryError)) or re.search(
            "allocate memory|size.* overflow", text
        ):
            wanted = re.search(r"tried to allocate ([\w.]+ \w+)", text, re.IGNORECASE)
            return "not enough memory" + (f" for {wanted[1]}" if wanted else "") + ": make the net or the batch smaller"
        if text.startswith("Error(s) in loading state_dict"):
            detail = text.partition(": ")[2]
            return f"the checkpoint is of another net, or of another program: {detail[:160]}"
        error = error.__cause__
    return ""
