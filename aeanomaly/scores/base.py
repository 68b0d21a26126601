"""What every anomaly score offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from typing_extensions import Self

from aeanomaly.errors import UserError
from aeanomaly.outputs import Described, Output


class Fitted(nn.Module):
    """A module that keeps what it learned in buffers that start empty (``torch.empty(0)``).

    They ride in the checkpoint, move between devices, keep their type, and tell whether the module was fitted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_make_room)

    @property
    def fitted(self) -> bool:
        """Whether no buffer is still empty."""
        return all(buffer.numel() for buffer in self.buffers())

    def forget(self) -> None:
        """Empty the buffers, as before the first fit."""
        for module in self.modules():
            if isinstance(module, Fitted):
                for name, buffer in module.named_buffers(recurse=False):
                    setattr(module, name, buffer.new_empty(0))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # Private, but torch has no other hook: ``trainer.precision: bf16-true`` converts the whole module, and scores
        # and thresholds stay in float32 whatever the net runs in. So only a new device is followed.
        def moved(tensor: Tensor) -> Tensor:
            applied = fn(tensor)
            return applied if applied.dtype == tensor.dtype else tensor.to(applied.device)

        applied: Self = super()._apply(moved, recurse)
        return applied


def _make_room(module: nn.Module, state_dict: Mapping[str, Any], prefix: str, *_: Any) -> None:
    """Buffers of the sizes that are about to be loaded."""
    # Fitted state has the size of what it was fitted on, which a fresh module cannot know; and what was fitted in
    # inference mode cannot be written to.
    for name, buffer in module.named_buffers(recurse=False):
        saved = state_dict.get(prefix + name)
        if saved is not None and (saved.shape != buffer.shape or buffer.is_inference()):
            setattr(module, name, buffer.new_empty(saved.shape))


class Score(Described, Fitted, ABC):
    """Turns a net's output into one number per image, higher meaning more anomalous.

    A score that needs no fitting defines `reads` and `forward`. One that does also sets `fitted_on`, defines `fit`, and
    registers what it learns as buffers that start empty. One that can say where defines `map` too. The configuration
    gives each score its name.

    Attributes:
        reads: names of the output fields that `fit`, `forward` and `map` use, such as ``code``, ``features.layer1`` or
            ``again.features.layer1``, the activation for the reconstruction, or ``scores.kmeans``, another score in
            standard deviations. Every class must say so; an instance may have its own.
        fitted_on: which normal images `fit` gets the outputs of: ``train``, or ``validation`` for half of the held-out
            ones, of which the other half then calibrates the score; None if there is nothing to fit.
        chunk: images that are scored at a time, for scores that need much memory for each; None for all of a batch.
    """

    reads: tuple[str, ...]
    fitted_on: Literal["train", "validation"] | None = None
    chunk: ClassVar[int | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a score that does not say what it reads."""
        super().__init_subclass__(**kwargs)
        if not hasattr(cls, "reads") and "forward" in vars(cls):
            raise TypeError(f"{cls.__name__} must name the fields of the output that it uses: reads = ('code',)")

    @property
    def reads_scores(self) -> list[str]:
        """Names of the other scores that this one is made of, from fields such as ``scores.kmeans``."""
        return [field.removeprefix("scores.") for field in self.reads if field.startswith("scores.")]

    @abstractmethod
    def forward(self, output: Output) -> Tensor:
        """(B,) scores, higher = more anomalous."""

    def map(self, output: Output) -> Tensor | None:
        """(B, h, w) scores of places, spread evenly over each image, higher = more anomalous.

        None for a score without, and for an output without places, such as the error of a vector.
        """
        return None

    @property
    def gives_map(self) -> bool:
        """Whether the score defines a map."""
        return type(self).map is not Score.map

    def sample(self, output: Output, index: Tensor, images: int) -> Output | None:
        """A part of the outputs of a batch that is enough for `fit`, a row per image; None if it needs all it reads.

        For scores fitted on training images whose fields would fill the memory. What is drawn for an image must not
        depend on the batch it came in, or the number of devices would change the fit.

        Args:
            output: the fields in `reads`.
            index: (B,) numbers of the images.
            images: how many there are in all.
        """
        return None

    def fit(self, outputs: Output) -> None:
        """Learn from the outputs (the fields in `reads`, float32) of normal images, gathered over all devices."""
        raise NotImplementedError(f"{type(self).__name__} sets fitted_on but does not define fit()")

    def problems(self) -> list[str]:
        """What is suspicious about the fitted state, one sentence each; empty if nothing is."""
        return []

    def score(self, output: Output) -> Tensor:
        """(B,) float32 scores, computed in chunks and at full precision whatever the net runs in.

        Raises:
            UserError: if `forward` does not return one number per image.
        """
        count, device = _rows(output)
        with torch.autocast(device, enabled=False):
            values = _joined([self(piece) for piece in self._pieces(output, count)])
        if values.shape != (count,):
            kind = type(self).__name__
            raise UserError(f"score {kind} must return one number per image, got shape {tuple(values.shape)}")
        return values.float()

    def score_map(self, output: Output) -> Tensor | None:
        """(B, h, w) float32 maps, computed as `score` does; None where `map` is.

        Raises:
            UserError: if `map` does not return one map per image.
        """
        count, device = _rows(output)
        with torch.autocast(device, enabled=False):
            found = [places for piece in self._pieces(output, count) if (places := self.map(piece)) is not None]
        if not found:
            return None
        maps = _joined(found)
        if maps.ndim != 3 or maps.shape[0] != count:
            kind = type(self).__name__
            raise UserError(f"score {kind} must return one map (h, w) per image, got shape {tuple(maps.shape)}")
        return maps.float()

    def _pieces(self, output: Output, count: int) -> list[Output]:
        # In one piece also where a graph is made, for a number of images that is not known yet.
        if self.chunk is None or torch.compiler.is_compiling() or count <= self.chunk:
            return [output]
        return output.split(self.chunk)


def _rows(output: Output) -> tuple[int, str]:
    """How many images an output is of, and the kind of device it is on."""
    first = next(iter(output.tensors().values()))
    return first.shape[0], first.device.type  # where a graph is made, `len` would fix the number


def _joined(pieces: list[Tensor]) -> Tensor:
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)
