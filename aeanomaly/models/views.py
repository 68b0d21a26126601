"""Random views of images, made on the device: what a net shall take for the same."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.outputs import Described


class Geometry(Described, nn.Module):
    """Rotates, stretches, shears, shifts and bends each image by amounts of its own, with one interpolation.

    Args:
        rotation: largest angle in degrees, either way.
        scale: largest logarithm of the factor, for each axis by itself.
        shear: largest shear.
        shift: largest shift, as a share of the image's side.
        bend: standard deviation of a smooth displacement, as a share of the side (elastic distortion, Simard et al.,
            2003).

    Raises:
        UserError: if an amount is negative.
    """

    def __init__(
        self,
        rotation: float = 15.0,
        scale: float = 0.2,
        shear: float = 0.3,
        shift: float = 0.1,
        bend: float = 0.02,
    ) -> None:
        super().__init__()
        if min(rotation, scale, shear, shift, bend) < 0:
            raise UserError(
                f"Geometry: no amount may be negative, got {rotation=}, {scale=}, {shear=}, {shift=}, {bend=}"
            )
        self.rotation, self.scale, self.shear, self.shift, self.bend = rotation, scale, shear, shift, bend

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to views of the same shape; beyond the edge stands its nearest pixel."""
        count, _, height, width = x.shape
        angle, shear, log_x, log_y = (_signed(count, x) for _ in range(4))
        angle, shear = angle * math.radians(self.rotation), shear * self.shear
        wide, tall = (log_x * self.scale).exp(), (log_y * self.scale).exp()
        cosine, sine = angle.cos(), angle.sin()
        # Rotation x shear x scale of pixels, for sampling positions that are in [-1, 1] along both sides.
        first = torch.stack([cosine * wide, (cosine * shear - sine) * tall * (height / width)], dim=1)
        second = torch.stack([sine * wide * (width / height), (sine * shear + cosine) * tall], dim=1)
        shift = 2 * self.shift * torch.stack([_signed(count, x), _signed(count, x)], dim=1)
        matrix = torch.cat([torch.stack([first, second], dim=1), shift.unsqueeze(2)], dim=2)
        grid = functional.affine_grid(matrix, [count, 1, height, width], align_corners=False)
        if self.bend:
            coarse = 2 * self.bend * torch.randn(count, 2, 4, 4, dtype=torch.float32, device=x.device)
            grid = grid + (_smooth(height, x) @ coarse @ _smooth(width, x).T).permute(0, 2, 3, 1)
        # In float32 whatever the precision of the images: in bf16 places would be tenths of a pixel apart.
        return functional.grid_sample(x.float(), grid, padding_mode="border", align_corners=False).to(x.dtype)


class Strokes(Described, nn.Module):
    """Thickens, thins or blurs some of the images: lines drawn with another pen.

    Args:
        share: of the images that are changed, in [0, 1].
        side: of the square whose maximum, minimum or mean a pixel becomes, in pixels; odd.

    Raises:
        UserError: if a number is out of range.
    """

    def __init__(self, share: float = 0.5, side: int = 3) -> None:
        super().__init__()
        if not 0 <= share <= 1 or side < 1 or side % 2 == 0:
            raise UserError(f"Strokes needs a share between 0 and 1 and an odd side, got {share=}, {side=}")
        self.share, self.side = share, side

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to views of the same shape."""
        side, margin = self.side, self.side // 2
        thick, thin = _largest(x, side), -_largest(-x, side)
        blurred = functional.avg_pool2d(x, side, 1, margin, count_include_pad=False)
        kind = torch.rand(len(x), 1, 1, 1, device=x.device) * 3 / max(self.share, 1e-9)
        return torch.where(kind < 1, thick, torch.where(kind < 2, thin, torch.where(kind < 3, blurred, x)))


class Gain(Described, nn.Module):
    """Makes each image brighter or darker as a whole.

    Args:
        amount: largest logarithm of the factor.

    Raises:
        UserError: if it is negative.
    """

    def __init__(self, amount: float = 0.2) -> None:
        super().__init__()
        if amount < 0:
            raise UserError(f"Gain: the amount must not be negative, got {amount}")
        self.amount = amount

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to views of the same shape, in [0, 1]."""
        factors = (_signed(len(x), x) * self.amount).exp().to(x.dtype)
        return (x * factors[:, None, None, None]).clamp(0, 1)


def _smooth(size: int, like: Tensor) -> Tensor:
    """(size, 4) weights of four numbers, evenly spread over a side, in the bicubic curve through them."""
    corners = torch.eye(4, dtype=torch.float32, device=like.device).reshape(1, 4, 4, 1)
    weights: Tensor = functional.interpolate(corners, (size, 1), mode="bicubic", align_corners=True)[0, :, :, 0]
    return weights.T


def _largest(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W): the maximum of the square around each pixel; a sixth of the time of max_pool2d on a CPU."""
    margin = side // 2
    padded = functional.pad(x, (margin, margin, margin, margin), value=-torch.inf)
    return padded.unfold(2, side, 1).amax(-1).unfold(3, side, 1).amax(-1)


def _signed(count: int, like: Tensor) -> Tensor:
    """(count,) uniform numbers in [-1, 1]."""
    return 2 * torch.rand(count, dtype=torch.float32, device=like.device) - 1
