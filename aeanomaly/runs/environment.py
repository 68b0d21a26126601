"""Under which circumstances a run was made: what its record says besides results."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch

import aeanomaly
from aeanomaly.outputs import global_seed


def data_of(trainer: L.Trainer) -> Any:
    """The DataModule; None for library users who do without."""
    return getattr(trainer, "datamodule", None)


def environment(trainer: L.Trainer) -> dict[str, Any]:
    """Seed, precision, devices, versions, data: flat, by the names they have in metrics.json."""
    record: dict[str, Any] = {
        "seed": global_seed(),
        "precision": str(trainer.precision),  # the effective one: fp16 on a CPU silently becomes bf16
        "accelerator": trainer.strategy.root_device.type,
        "devices": trainer.world_size,
        "threads": torch.get_num_threads(),
        "version_torch": str(torch.__version__),
        "version_lightning": L.__version__,
        "version_aeanomaly": aeanomaly.__version__,
    }
    data = data_of(trainer)
    if data is not None:
        record["data"] = type(data).__name__
        record["data_source"] = getattr(data, "source", type(data).__name__)
        record["test_on"] = getattr(data, "test_on", "test")  # `development`: values to choose by, not to report
        if hasattr(data, "sizes"):
            record |= data.sizes()
        if getattr(data, "skipped", None) is not None:
            record["skipped_pictures"] = data.skipped
    return record


def summary(trainer: L.Trainer, module: L.LightningModule) -> str:
    """The first line of a run: which net, how many images, on which devices."""
    net = getattr(module, "net", module)
    count = sum(parameter.numel() for parameter in net.parameters())
    now = environment(trainer)
    images = f", {now['train_images']:,} training images" if "train_images" in now else ""
    threads = f" ({now['threads']} thread{'s' if now['threads'] > 1 else ''})" if now["accelerator"] == "cpu" else ""
    where = f"{now['devices']} x {now['accelerator']}{threads} at {now['precision']}"
    return f"{type(net).__name__} with {count:,} parameters{images}, on {where}"
