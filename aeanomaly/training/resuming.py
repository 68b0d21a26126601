"""What a resumed run must know: where randomness was, and how far training came, in the counts of its own calls."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch.strategies import Strategy
from torch import Tensor

from aeanomaly.distributed.gather import gather_rows
from aeanomaly.outputs import chunks_before


def save_random_state(checkpoint: dict[str, Any], strategy: Strategy, device: torch.device) -> None:
    """Put in the number of threads, and a row with the random state of every process, for a run that stops in an epoch.

    Every process must call it, as it gathers.
    """
    checkpoint["threads"] = torch.get_num_threads()
    checkpoint["random_state"] = gather_rows(torch.get_rng_state()[None], strategy).cpu()
    if device.type == "cuda":
        checkpoint["random_state_on_gpu"] = gather_rows(torch.cuda.get_rng_state(device)[None], strategy).cpu()


def restore_random_state(state: dict[str, Any], rank: int, device: torch.device) -> None:
    """Set what `save_random_state` put in for the process of this rank, as far as it is there."""
    if (own := _row(state, "random_state", rank)) is not None:
        torch.set_rng_state(own)
    if device.type == "cuda" and (own := _row(state, "random_state_on_gpu", rank)) is not None:
        torch.cuda.set_rng_state(own, device)


def _row(state: dict[str, Any], key: str, rank: int) -> Tensor | None:
    # Older checkpoints hold the state of the first process alone: others that took it would draw the same noise.
    rows = torch.atleast_2d(state[key].cpu()) if key in state else ()
    return rows[rank].clone() if rank < len(rows) else None  # torch crashes with a part of a tensor


def recount(checkpoint: dict[str, Any], chunk_size: int) -> None:
    """Have a checkpoint that was read count in calls of so many batches, whatever those of the run that wrote it.

    Lightning counts steps in one place for automatic, in another for manual optimisation and in a third for the axis of
    loggers, and batches of an epoch in calls of the training loop. It reads them from the checkpoint, after the hook in
    which this is called. The checkpoint is changed in place.
    """
    fit = checkpoint.get("loops", {}).get("fit_loop")
    if fit is None:
        return
    steps = checkpoint["global_step"]
    automatic = fit["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    for counter in (automatic, fit["epoch_loop.manual_optimization.optim_step_progress"]):
        counter["total"]["ready"] = counter["total"]["completed"] = steps
    epochs = fit["epoch_progress"]["current"]
    within = epochs["processed"] < epochs["ready"]  # the latest step is counted for the axis of loggers only after it
    fit["epoch_loop.state_dict"]["_batches_that_stepped"] = steps - within
    loaders = fit["state_dict"].get("combined_loader") or [{}]
    progress = fit["epoch_loop.batch_progress"]
    current, batches = progress["current"], loaders[0].get("batches")
    if batches is None or not current["ready"]:  # the loader is not ours, or it is the start of an epoch
        return
    being_ended = current["processed"] - current["completed"]  # 1 if the checkpoint was written within a call
    served = loaders[0]["served"] or batches
    current["ready"] = current["started"] = current["processed"] = chunks_before(served, batches, chunk_size)
    current["completed"] = current["processed"] - being_ended
    progress["is_last_batch"] = progress["is_last_batch"] or served == batches  # a limit ends an epoch earlier
