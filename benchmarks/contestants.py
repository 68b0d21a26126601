"""The training loops that `fit` is compared with: same net, batch size 64, Adam, learning rate 0.005, one per process.

    python benchmarks/contestants.py plain --images FILE --epochs 4

FILE holds (N, 1, 28, 28) uint8 images, written by `torch.save`. Prints one line of JSON: the seconds of each epoch, and
how many images an epoch trains on. train_speed.py starts them and makes the table.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from limit import WIDTHS
from torch import Tensor, nn
from torch.nn.functional import mse_loss
from torch.utils.data import DataLoader, TensorDataset

BATCH, RATE, SEED = 64, 0.005, 9


def study_net() -> nn.Sequential:
    """The study's net, written out the usual way."""
    layers: list[nn.Module] = []
    for sizes in (WIDTHS, WIDTHS[::-1]):
        for width, following in pairwise(sizes):
            layers += [nn.Linear(width, following), nn.Tanh()]
        layers.pop()
    return nn.Sequential(*layers, nn.Sigmoid())


def now(device: str) -> float:
    """Seconds, with nothing left to do on the device."""
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed_epochs(epoch: Callable[[], None], epochs: int, device: str) -> list[float]:
    """Seconds of each call."""
    stamps = [now(device)]
    for _ in range(epochs):
        epoch()
        stamps.append(now(device))
    return [end - start for start, end in pairwise(stamps)]


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
        for index in torch.randperm(len(images)).to(device).split(BATCH):
            batch = images.index_select(0, index) / 255
            optimizer.zero_grad(set_to_none=True)
            mse_loss(net(batch), batch).backward()
            optimizer.step()

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


def pyod(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """PyOD's AutoEncoder with the study's widths.

    Its layers end in an activation on the code and none on the output, which is the nearest it can be set to. It leaves
    out an incomplete last batch. Its `fit` goes on to score all images, which is not counted here.
    """
    from pyod.models.auto_encoder import AutoEncoder

    stamps: list[float] = []

    class Timed(AutoEncoder):
        def training_prepare(self) -> None:
            super().training_prepare()
            stamps.append(now(device))

        def epoch_update(self) -> None:
            super().epoch_update()
            stamps.append(now(device))

    Timed(**pyod_options(device), epoch_num=epochs).fit((images.flatten(1).float() / 255).numpy())
    return [end - start for start, end in pairwise(stamps)], len(images) // BATCH * BATCH


def pyod_options(device: str) -> dict[str, object]:
    """Options of PyOD's AutoEncoder for the study's architecture and optimiser."""
    return {
        "hidden_neuron_list": list(WIDTHS[1:]),
        "hidden_activation_name": "tanh",
        "batch_norm": False,
        "dropout_rate": 0.0,
        "preprocessing": False,
        "batch_size": BATCH,
        "lr": RATE,
        "optimizer_params": {},
        "device": torch.device(device),
        "random_state": SEED,
        "verbose": 0,
    }


def cuda_graph(images: Tensor, epochs: int, device: str) -> tuple[list[float], int]:
    """A step of the best loop as one CUDA graph: gather, conversion, forward, backward and Adam in a single launch.

    Only the 64 positions are copied in before each launch. An incomplete last batch, whose shape the graph does not
    have, is left out. After https://docs.pytorch.org/docs/stable/notes/cuda.html#whole-network-capture.
    """
    net, images = study_net().to(device), images.flatten(1).to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=RATE, fused=True, capturable=True)
    index = torch.arange(BATCH, device=device)

    def step() -> None:
        batch = images.index_select(0, index) / 255
        mse_loss(net(batch), batch).backward()
        optimizer.step()

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):  # lazy initialisations, Adam's state among them, must be over before the capture
            optimizer.zero_grad(set_to_none=True)
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    optimizer.zero_grad(set_to_none=True)  # so that backward allocates gradients in the graph's own memory ...
    with torch.cuda.graph(graph):
        step()  # ... and each replay overwrites them instead of adding to them
    gc.collect()
    gc.freeze()
    batches = len(images) // BATCH

    def epoch() -> None:
        order = torch.randperm(len(images), device=device)[: batches * BATCH].view(batches, BATCH)
        for positions in order:
            index.copy_(positions)
            graph.replay()

    return timed_epochs(epoch, epochs, device), batches * BATCH


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
