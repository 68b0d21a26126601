"""A training step recorded once as a CUDA graph and then replayed.

Launching the fifty-odd kernels of a small net's step takes a CPU longer than a GPU needs to run them. A graph launches
them all at once (PyTorch documentation, "CUDA Graphs", whole-network capture).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.training.stepping import PlainStep

# Steps taken in the ordinary way first: libraries choose and allocate their workspaces in them, which a capture cannot.
_WARM_UP = 3

Record = Callable[[Callable[[], Tensor]], tuple[Callable[[], None], Tensor]]


class CapturedStep(PlainStep):
    """Takes the first few steps as `PlainStep` does, then records one and replays it.

    Every step, the first ones too, is a step of training on the batch given, in the same order. A batch of another size
    than the first is taken in the ordinary way.

    Args:
        *args: as for `PlainStep`; the optimiser must have the option ``capturable``.
        record: turns a function without arguments into a function that replays it and the tensor that it will fill.

    Raises:
        UserError: if the optimiser cannot be captured, or the net does something that cannot.
    """

    def __init__(self, *args: Any, record: Record | None = None) -> None:
        super().__init__(*args)
        if "capturable" not in self.optimizer.defaults:
            raise UserError(
                f"model.cuda_graph: {type(self.optimizer).__name__} cannot be part of a CUDA graph; choose an "
                "optimiser with the option capturable, such as aeanomaly.training.optim.Adam, or set model.cuda_graph "
                "to false"
            )
        if any(getattr(schedule, "cycle_momentum", False) for schedule in self.schedulers):
            raise UserError(
                "model.cuda_graph: the schedule changes the momentum, which a recorded step keeps as it was; set "
                "cycle_momentum of the schedule or model.cuda_graph to false"
            )
        self._record = record or _record_on_gpu
        self._steps = 0
        self._image: Tensor | None = None
        self._loss: Tensor | None = None
        self._replay: Callable[[], None] | None = None

    def take(self, image: Tensor) -> Tensor:
        """Train on a batch and return its loss, detached; the next call overwrites it."""
        if self._image is None:
            self._image = torch.empty_like(image)
            make_capturable(self.optimizer, image.device)
        if image.shape != self._image.shape:
            return super().take(image)
        if self._steps < _WARM_UP:
            self._steps += 1
            return self._beside_the_main_stream(image)
        self._image.copy_(image)
        if self._replay is None or self._loss is None:
            self.optimizer.zero_grad()  # so that the backward pass of the graph writes gradients instead of adding
            try:
                self._replay, self._loss = self._record(self._forward_backward_update)
            except (RuntimeError, AssertionError) as error:
                cause = error.__context__ or error  # ending a capture that failed raises an error of its own
                reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
                raise UserError(
                    f"model.cuda_graph: this net's step cannot be captured ({reason}); set it to false"
                ) from error
        self._replay()
        self.move_schedules()
        return self._loss

    def _beside_the_main_stream(self, image: Tensor) -> Tensor:
        # Autograd remembers on which stream it ran; a capture must not wait for the main one.
        if not image.is_cuda:
            return super().take(image)
        main, side = torch.cuda.current_stream(), torch.cuda.Stream()
        side.wait_stream(main)
        with torch.cuda.stream(side):
            loss = super().take(image)
        main.wait_stream(side)
        loss.record_stream(main)
        return loss

    def _forward_backward_update(self) -> Tensor:
        assert self._image is not None
        loss = self.forward(self._image)
        self.update(loss)
        return loss.detach()


def _record_on_gpu(step: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):  # records without running
        loss = step()
    return graph.replay, loss


def make_capturable(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Keep learning rate and step count on the device, where they change in place and a graph reads them anew."""
    for state in optimizer.state.values():
        if isinstance(state.get("step"), Tensor):
            state["step"] = state["step"].to(device)
    for group in optimizer.param_groups:
        group["capturable"] = device.type == "cuda"
        if not isinstance(group["lr"], Tensor):
            group["lr"] = torch.tensor(float(group["lr"]), dtype=torch.float32, device=device)


def as_plain(optimizer_state: dict[str, Any]) -> None:
    """Undo `make_capturable` in the state of an optimiser that is about to be saved, so that any device can resume."""
    for group in optimizer_state["param_groups"]:
        if isinstance(group.get("lr"), Tensor):
            group["lr"] = float(group["lr"])
            group["capturable"] = False
