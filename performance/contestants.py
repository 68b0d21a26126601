"""The training loops that `fit` is compared with: same net, batch size 64, Adam, learning rate 0.005, one per process.

    python performance/contestants.py plain --images FILE --epochs 4

FILE holds (N, 1, 28, 28) uint8 images, written by `torch.save`. Prints one line of JSON: the seconds of each epoch, and
how many images an epoch trains on. train_speed.py starts them and makes the table.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from cuda_graph import cuda_graph
from pyod_loop import pyod
from study_net import BATCH, RATE, SEED, study_net, timed_epochs
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset


def float_dataset(images: Tensor) -> TensorDataset:
    """What a tutorial makes of MNIST: every pixel as float32, in [0, 1]."""
    return TensorDataset(images.flatten(1).float() / 255)


def plain(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """As the study does: default Adam, a shuffling DataLoader over float images, nothing else in the loop."""
    net = study_net().to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE)
    loader = DataLoader(float_dataset(images), batch_size=BATCH, shuffle=True)

    def epoch() -> None:
        for (batch,) in loader:
            batch = batch.to(device)
            optimizer.zero_grad()
            mse_loss(net(batch), batch).backward()
            optimizer.step()

    return timed_epochs(epoch, epochs, device), len(images)


def best_epoch(net: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, order: Tensor) -> None:
    """Train on (N, 784) uint8 images in the given order; tests show that `fit` ends with the same weights."""
    for index in order.split(BATCH):
        batch = images.index_select(0, index) / 255
        optimizer.zero_grad(set_to_none=True)
        mse_loss(net(batch), batch).backward()
        optimizer.step()


def best(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """The same arithmetic with everything that `fit` does to be quick, and no more than a loop around it.

    Fused Adam, batches gathered from uint8 images by index, no denormal numbers, no look-up of a missing GPU driver in
    each step (both set in `main`, before anything is computed), nothing for the garbage collector to walk through.
    """
    net, images = study_net().to(device), images.flatten(1).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True)
    gc.collect()
    gc.freeze()

    def epoch() -> None:
        best_epoch(net, optimizer, images, torch.randperm(len(images)).to(device))

    return timed_epochs(epoch, epochs, device), len(images)


def lightning(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """Lightning as it is commonly used: a logged loss in every step, and the Trainer as it comes."""
    import lightning as L
    from clocks import EpochClock

    class Usual(L.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = study_net()

        def training_step(self, batch: tuple[Tensor], batch_idx: int) -> Tensor:
            (image,) = batch
            loss = mse_loss(self.net(image), image)
            self.log("train_loss", loss, on_step=True, on_epoch=True, prog_bar=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=RATE)

    loader = DataLoader(float_dataset(images), batch_size=BATCH, shuffle=True)
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, "clock.json")
        trainer = L.Trainer(
            max_epochs=epochs,
            accelerator="gpu" if device == "cuda" else "cpu",
            devices=1,
            default_root_dir=root,
            callbacks=[EpochClock(str(path))],
        )
        trainer.fit(Usual(), loader)
        return json.loads(path.read_text())["training"], len(images)


LOOPS: dict[str, Callable[[Tensor, int, str], tuple[list[float], int]]] = {
    "plain": plain,
    "best": best,
    "lightning": lightning,
    "pyod": pyod,
    "cuda_graph": cuda_graph,
}


def main() -> None:
    """Run one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("loop", choices=LOOPS)
    parser.add_argument("--images", required=True, metavar="FILE")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    if options.loop in ("best", "cuda_graph"):
        torch.set_flush_denormal(True)  # threads started later inherit it, hence before the first operation
        if not torch.cuda.is_available():
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
    images = torch.load(options.images, weights_only=True)
    torch.manual_seed(SEED)
    seconds, count = LOOPS[options.loop](images, options.epochs, options.device)
    print(json.dumps({"seconds": seconds, "images": count}))


if __name__ == "__main__":
    main()
