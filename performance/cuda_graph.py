"""The training step as one CUDA graph."""

from __future__ import annotations

import gc

import torch
from study_net import BATCH, RATE, study_net, timed_epochs
from torch import Tensor
from torch.nn.functional import mse_loss


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
