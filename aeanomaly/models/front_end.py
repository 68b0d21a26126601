"""What every front end offers: fixed features of images, which a net sees instead of pixels."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from aeanomaly.outputs import Described


class FrontEnd(Described, nn.Module, ABC):
    """Turns images of any size into features on a square grid of places; it is not trained.

    Attributes:
        grid: G, places along each side.
    """

    grid: int

    @property
    @abstractmethod
    def channels(self) -> int:
        """F, the number of features in each place, whatever the size of the image."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to (B, F, G, G) float32 features."""
