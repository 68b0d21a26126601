"""Numbers of a configuration that Lightning or torch would refuse late, in words of theirs, or divide by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from aeanomaly.errors import UserError

_LEAST = {
    "max_epochs": -1,  # for any number
    "max_steps": -1,
    "fast_dev_run": 0,
    "reload_dataloaders_every_n_epochs": 0,
    "num_nodes": 1,
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
}
_BATCHES = (*(f"limit_{part}_batches" for part in ("train", "val", "test", "predict")), "overfit_batches")


def refuse_out_of_range(options: Mapping[str, Any]) -> None:
    """Check what is among these options, by their dotted keys; what is no number is left to others.

    Raises:
        UserError: naming the first that is out of its range.
    """
    numbers = {key: value for key, value in options.items() if type(value) in (int, float)}
    for key, value in numbers.items():
        if key.startswith("trainer.") and isinstance(value, int) and abs(value) >= 2**63:
            raise UserError(f"{key} must lie between -2**63 and 2**63 - 1, got {value}")
    for name, least in _LEAST.items():
        value = numbers.get(f"trainer.{name}", least)
        if value < least:
            raise UserError(f"trainer.{name} must be at least {least}, got {value}")
    for name in (*_BATCHES, "val_check_interval"):
        value = numbers.get(f"trainer.{name}", 1)
        if not value >= 0 or (isinstance(value, float) and value > 1) or (value == 0 and name == "val_check_interval"):
            above = "above 0, up to 1," if name == "val_check_interval" else "from 0 to 1"
            raise UserError(f"trainer.{name} must be a share {above} or a whole number of batches, got {value}")
    clip = numbers.get("trainer.gradient_clip_val", 0)
    if math.isnan(clip):
        raise UserError(f"trainer.gradient_clip_val must be a number, got {clip}")
    scheduled = any(value is not None for key, value in options.items() if key.startswith("model.lr_scheduler"))
    if numbers.get("model.optimizer.init_args.lr") == 0 and not scheduled:  # some schedules set the rate themselves
        raise UserError("model.optimizer.lr is 0: nothing would be learned; give a number above 0")
    seed = numbers.get("seed_everything", 0)
    if isinstance(seed, int) and not 0 <= seed < 2**32:
        raise UserError(f"seed_everything must lie between 0 and 2**32 - 1, or be true or false, got {seed}")
