"""A convolutional autoencoder for images of any size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder, known_shape


class ConvolutionalAutoencoder(Autoencoder):
    """Strided 3x3 convolutions down to the code, and back in reverse order (Masci et al., 2011, who pool instead).

    Each stage of the encoder halves height and width, rounded up; the decoder undoes it to the pixel, so that odd sizes
    come back as they were. A layer is convolution, batch normalisation, activation. The code follows without an
    activation, so that it is unbounded; the output ends in a sigmoid because pixels lie in [0, 1]. The activations
    after each stage are offered to scores as ``features.layer1``, ``features.layer2``, ..., each (B, channels, height,
    width).

    Args:
        image_shape: (C, H, W) of the images; the command line puts that of the data where it is null.
        channels: of the maps after each stage.
        code_size: D, the size of a code that a linear layer makes of the last maps; None for a spatial code
            (B, channels[-1], H', W') that a 1x1 convolution makes of them.
        residual_blocks: in each stage, after its strided convolution (He et al., Deep residual learning for image
            recognition, 2016).
        batch_norm: whether layers are normalised over the batch.
        upsampling: how the decoder enlarges: by transposed convolutions, or by repeating (``nearest``) or interpolating
            pixels (``bilinear``) before a convolution, which avoids chequered patterns and takes longer.
        activation: makes the activation after each layer.

    Raises:
        UserError: if there is no stage or no ``image_shape``, or a size is not positive.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int] | None = None,
        channels: Sequence[int] = (32, 64, 128),
        code_size: int | None = 32,
        residual_blocks: int = 0,
        batch_norm: bool = True,
        upsampling: Literal["transposed", "nearest", "bilinear"] = "transposed",
        activation: Callable[[], nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        image_shape = known_shape(image_shape)
        sizes = [*image_shape, *channels, 1 if code_size is None else code_size]
        if not channels or min(sizes) < 1 or residual_blocks < 0:
            raise UserError(
                "model.net: channels must name a stage and all sizes must be at least 1, got "
                f"{image_shape=}, {channels=}, {code_size=}, {residual_blocks=}"
            )
        self.image_shape = image_shape

        def finished(layer: nn.Module, width: int) -> list[nn.Module]:
            return [layer, *([nn.BatchNorm2d(width)] if batch_norm else []), activation()]

        def blocks(width: int) -> list[nn.Module]:
            return [_Residual(width, batch_norm, activation) for _ in range(residual_blocks)]

        down: list[nn.Module] = []
        up: list[nn.Module] = []  # from the image's side inwards, so turned round in the end
        width, size = image_shape[0], image_shape[1:]
        for following in channels:
            strided = nn.Conv2d(width, following, 3, stride=2, padding=1, bias=not batch_norm)
            down.append(nn.Sequential(*finished(strided, following), *blocks(following)))
            bias = not (batch_norm and up)  # the image's layer is not normalised
            enlarge = _enlarge(following, width, size, upsampling, bias)
            last = finished(enlarge, width) if up else [enlarge, nn.Sigmoid()]
            up.append(nn.Sequential(*blocks(following), *last))
            width, size = following, ((size[0] + 1) // 2, (size[1] + 1) // 2)
        maps = (width, *size)
        self.stages = nn.ModuleList(down)
        if code_size is None:
            # No bias where the tail's normalisation would take it away.
            self.head: nn.Module = nn.Conv2d(width, width, 1, bias=not batch_norm)
            tail: nn.Module = nn.Conv2d(width, width, 1, bias=not batch_norm)
        else:
            pixels = width * size[0] * size[1]
            self.head = nn.Sequential(nn.Flatten(), nn.Linear(pixels, code_size))
            tail = nn.Sequential(nn.Linear(code_size, pixels, bias=not batch_norm), nn.Unflatten(1, maps))
        self.decoder = nn.Sequential(*finished(tail, width), *up[::-1])

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to codes, (B, D) or (B, channels[-1], H', W')."""
        return self.encode_layers(x)[0]

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the activations after each stage as ``layer1``, ``layer2``, ..."""
        features = {}
        for number, stage in enumerate(self.stages, start=1):
            x = features[f"layer{number}"] = stage(x)
        return self.head(x), features

    def decode(self, code: Tensor) -> Tensor:
        """Codes to (B, C, H, W) reconstructions in [0, 1]."""
        reconstruction: Tensor = self.decoder(code)
        return reconstruction


class _Residual(nn.Module):
    """Two 3x3 convolutions whose result is added to what came in, (B, width, H, W) each."""

    def __init__(self, width: int, batch_norm: bool, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            layers.append(nn.Conv2d(width, width, 3, padding=1, bias=not batch_norm))
            layers += [nn.BatchNorm2d(width)] if batch_norm else []
            layers.append(activation())
        self.layers, self.activation = nn.Sequential(*layers[:-1]), layers[-1]

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.activation(x + self.layers(x))
        return result


def _enlarge(width: int, following: int, size: tuple[int, ...], how: str, bias: bool) -> nn.Module:
    """From maps of half the ``size`` (H, W), rounded up, to maps of exactly that size."""
    if how == "transposed":
        # Twice the side less one, plus a row or column where the side is even.
        extra = (1 - size[0] % 2, 1 - size[1] % 2)
        return nn.ConvTranspose2d(width, following, 3, stride=2, padding=1, output_padding=extra, bias=bias)
    return nn.Sequential(nn.Upsample(size, mode=how), nn.Conv2d(width, following, 3, padding=1, bias=bias))
