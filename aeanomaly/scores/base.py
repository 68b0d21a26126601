"""What every anomaly score offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

from torch import Tensor, nn

from aeanomaly.outputs import Output


class Score(nn.Module, ABC):
    """Turns a net's output into one number per image, higher meaning more anomalous.

    A score that needs no fitting defines `forward` only. One that does also sets `fitted_on` and `reads`, defines
    `fit`, and keeps what it learned in tensors registered as buffers that start empty (``torch.empty(0)``): they then
    ride in the checkpoint, move between devices and tell whether the score was fitted.

    Attributes:
        name: short name used in tags, tables and files.
        fitted_on: which normal images `fit` gets the outputs of; None if there is nothing to fit.
        reads: names of the output fields that `fit` and `forward` use, such as ``code`` or ``features.layer1``.
    """

    name: str = ""
    fitted_on: Literal["train", "validation"] | None = None
    reads: tuple[str, ...] = ("code", "reconstruction", "target")

    @abstractmethod
    def forward(self, output: Output) -> Tensor:
        """(B,) float32 scores, higher = more anomalous."""

    def fit(self, outputs: Output) -> None:
        """Learn from the outputs (fields named in `reads`, float32) of normal images, gathered over all devices."""
        raise NotImplementedError(f"{type(self).__name__} sets fitted_on but does not define fit()")

    def problems(self) -> list[str]:
        """What is suspicious about the fitted state, one sentence each; empty if nothing is."""
        return []

    @property
    def fitted(self) -> bool:
        """Whether the score can be used: no buffer is still empty."""
        return all(buffer.numel() for buffer in self.buffers())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        # Fitted state has the size of what it was fitted on, which a fresh score cannot know.
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if saved is not None and saved.shape != buffer.shape:
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args)
