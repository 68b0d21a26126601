"""What a resumed run must know: where randomness was, and how far training came, in the counts of its own calls."""

from __future__ import annotations

from typing import Any

import torch

from aeanomaly.outputs import chunks_before


def save_random_state(checkpoint: dict[str, Any], device: torch.device) -> None:
    """Put the random state in, for a run that is interrupted in the middle of an epoch, and the number of threads."""
    checkpoint["threads"] = torch.get_num_threads()
    checkpoint["random_state"] = torch.get_rng_state()
    if device.type == "cuda":
        checkpoint["random_state_on_gpu"] = torch.cuda.get_rng_state(device)


def restore_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Set what `save_random_state` put in, as far as it is there."""
    if "random_state" in state:
        torch.set_rng_state(state["random_state"].cpu())
    if "random_state_on_gpu" in state and device.type == "cuda":
        torch.cuda.set_rng_state(state["random_state_on_gpu"].cpu(), device)


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
