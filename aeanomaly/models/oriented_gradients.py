"""A fixed front end: how strongly, and in which direction, brightness changes in each part of an image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.front_end import FrontEnd

_SMALL = 1e-8  # keeps square roots and quotients of a flat image finite


class OrientedGradients(FrontEnd):
    """Energies of oriented gradients at several scales, local mean and local contrast, each pooled to a grid.

    An idea of old: histograms of oriented gradients (Dalal and Triggs, 2005), here with soft orientations and Gaussian
    pooling. With g the gradient of Sobel, the energy in direction k is relu(g . u_k)^4 / |g|^3, which is large only
    where g points within some 30 degrees of u_k, and has the unit of g. There is nothing to train. Energies of several
    colours are added up, so that the number of features does not depend on the number of channels.

    Args:
        orientations: directions, evenly spread over the circle.
        scales: sides, in pixels, of the squares that are averaged before gradients are taken.
        grid: places along each side.
        intensity: weight of the local mean and contrast beside the energies; 0 leaves them out.

    Raises:
        UserError: if a number is not positive, or the intensity is negative; for images smaller than twice the largest
            scale.
    """

    sobel: Tensor
    directions: Tensor

    def __init__(
        self, orientations: int = 8, scales: Sequence[int] = (1, 2, 4), grid: int = 9, intensity: float = 0.7
    ) -> None:
        super().__init__()
        if min(orientations, grid, *scales) < 1 or not scales or intensity < 0:
            raise UserError(
                f"OrientedGradients needs {orientations=}, {grid=}, {scales=} of at least 1 and {intensity=} of at "
                "least 0"
            )
        self.orientations, self.scales, self.grid, self.intensity = orientations, tuple(scales), grid, intensity
        sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
        self.register_buffer("sobel", torch.stack([sobel, sobel.T]).unsqueeze(1), persistent=False)  # (2, 1, 3, 3)
        angles = torch.arange(orientations) * 2 * math.pi / orientations
        directions = torch.stack([angles.cos(), angles.sin()], dim=1)
        self.register_buffer("directions", directions, persistent=False)  # (K, 2)

    @property
    def channels(self) -> int:
        """F, the number of features in each place, whatever the size of the image."""
        return self.orientations * len(self.scales) + (2 if self.intensity else 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to (B, F, G, G) features: square roots of pooled energies, local mean and contrast."""
        with torch.autocast(x.device.type, enabled=False):  # in float32, whatever the precision of the net
            x = x.float()
            if min(x.shape[-2:]) < 2 * max(self.scales):
                size, scales = list(x.shape[-2:]), list(self.scales)
                raise UserError(f"images of {size} pixels are too small for gradients at scales {scales}")
            parts = [self._energies(x, scale) for scale in self.scales]
            if self.intensity:
                parts.append(self.intensity * self._intensities(x))
            return torch.cat(parts, dim=1)

    def _energies(self, x: Tensor, scale: int) -> Tensor:
        """(B, K, G, G) square roots of the pooled energies of one scale, summed over colours."""
        if scale > 1:
            x = functional.avg_pool2d(x, scale)
        batch, colours, height, width = x.shape
        padded = functional.pad(x.reshape(-1, 1, height, width), (1, 1, 1, 1), mode="replicate")
        gradient = functional.conv2d(padded, self.sobel.float())  # (B C, 2, H, W)
        length = gradient.square().sum(1, keepdim=True) + _SMALL
        along = self.directions.float() @ gradient.flatten(2)
        along = along.view(-1, self.orientations, height, width)  # (B C, K, H, W)
        energy = along.relu_().square_().square_().div_(length * length.sqrt())
        pooled = self.pool(energy).unflatten(0, (batch, colours)).sum(1)
        roots: Tensor = (pooled + _SMALL).sqrt()
        return roots

    def _intensities(self, x: Tensor) -> Tensor:
        """(B, 2, G, G) local mean and standard deviation of the brightness."""
        grey = x.mean(1, keepdim=True)
        mean, square = self.pool(grey), self.pool(grey.square())
        return torch.cat([mean, (square - mean.square()).clamp_min(_SMALL).sqrt()], dim=1)

    def pool(self, x: Tensor) -> Tensor:
        """(B, F, H, W) averaged to (B, F, G, G) by Gaussian windows, of which those at the edge reach beyond it."""
        rows = _windows(x.shape[-2], self.grid, x.device)
        columns = _windows(x.shape[-1], self.grid, x.device)
        return rows @ x @ columns.T


def _windows(size: int, grid: int, device: torch.device) -> Tensor:
    """(G, size) weights of a pixel in each window: Gaussians a fourteenth of the size wide, each row summing to 1."""
    centres = (torch.arange(grid, device=device, dtype=torch.float32) + 0.5) * size / grid
    pixels = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    weights = (-0.5 * ((pixels - centres.unsqueeze(1)) / (size / 14)).square()).exp()
    return weights / weights.sum(1, keepdim=True)
