"""The convolutional net's sizes, and its layers against scipy's convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch import nn

from aeanomaly.errors import UserError
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.corruptions import GaussianNoise
from aeanomaly.models.denoising import DenoisingAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.models.variational import VariationalAutoencoder


@pytest.mark.parametrize("upsampling", ["transposed", "nearest", "bilinear"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 32, 48), (3, 128, 128), (1, 37, 41), (4, 5, 1), (2, 1, 1)])
def test_any_size_comes_back_as_it_was(shape: tuple[int, int, int], upsampling: Any) -> None:
    images = torch.rand(2, *shape)
    for code_size in (7, None):
        net = ConvolutionalAutoencoder(shape, (4, 6, 8), code_size, upsampling=upsampling).eval()
        output = net(images)
        assert output.reconstruction.shape == images.shape
        sides = [-(-side // 8) for side in shape[1:]]
        assert output.code.shape == ((2, 7) if code_size else (2, 8, *sides))
        assert output.features["layer1"].shape == (2, 4, -(-shape[1] // 2), -(-shape[2] // 2))
        assert list(output.features) == ["layer1", "layer2", "layer3"]


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_maps_are_enlarged_as_torch_interpolates(upsampling: Any) -> None:
    net = ConvolutionalAutoencoder((2, 9, 8), (3,), None, batch_norm=False, upsampling=upsampling)
    code = torch.rand(1, 3, 5, 4)
    maps = net.decoder[0](code).relu()
    enlarged = nn.functional.interpolate(maps, (9, 8), mode=upsampling)
    layer = net.decoder[-1][0][-1]
    expected = nn.functional.conv2d(enlarged, layer.weight, layer.bias, padding=1).sigmoid()
    torch.testing.assert_close(net.decode(code), expected)


def test_the_activation_that_is_given_stands_after_every_layer() -> None:
    net = ConvolutionalAutoencoder((1, 8, 8), (3, 4), 5, residual_blocks=1, activation=nn.ELU)
    kinds = [type(module) for module in net.modules()]
    assert nn.ReLU not in kinds
    assert kinds.count(nn.ELU) == 2 * (1 + 2) + 2 * 2 + 2  # stages and their blocks, blocks back, tail and inner stage


@pytest.mark.parametrize("sides", [(7, 6), (8, 9)])
def test_a_stage_is_a_strided_convolution_and_the_decoder_its_mirror(sides: tuple[int, int]) -> None:
    net = ConvolutionalAutoencoder((2, *sides), (3,), None, batch_norm=False)
    image = torch.rand(1, 2, *sides)
    output = net(image)

    down = net.stages[0][0]
    kernels, bias = down.weight.detach().numpy(), down.bias.detach().numpy()
    for channel in range(3):
        whole = sum(correlate2d(image[0, c].numpy(), kernels[channel, c], mode="same") for c in range(2))
        expected = np.maximum(whole[::2, ::2] + bias[channel], 0)
        np.testing.assert_allclose(output.features["layer1"][0, channel].detach(), expected, atol=1e-5)

    maps = (net.decoder[0](output.code)).clamp(min=0).detach().numpy()[0]
    up = net.decoder[-1][0]
    kernels, bias = up.weight.detach().numpy(), up.bias.detach().numpy()
    for channel in range(2):
        whole = np.zeros((2 * maps.shape[1] + 1, 2 * maps.shape[2] + 1))
        for c in range(3):
            spread = np.zeros((2 * maps.shape[1] - 1, 2 * maps.shape[2] - 1))
            spread[::2, ::2] = maps[c]
            whole += convolve2d(spread, kernels[c, channel])
        expected = 1 / (1 + np.exp(-whole[1 : 1 + sides[0], 1 : 1 + sides[1]] - bias[channel]))
        np.testing.assert_allclose(output.reconstruction[0, channel].detach(), expected, atol=1e-5)


def test_a_residual_block_with_weights_of_zero_passes_on_what_comes() -> None:
    net = ConvolutionalAutoencoder((1, 8, 8), (4,), 3, residual_blocks=2)
    strided, images = net.stages[0][:3], torch.rand(5, 1, 8, 8)
    for block in net.stages[0][3:]:
        for layer in block.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.zeros_(layer.weight)
    assert len(net.stages[0]) == 5
    assert torch.equal(net(images).features["layer1"], strided(images))


def test_batch_normalisation_can_be_left_out() -> None:
    def normalised(batch_norm: bool) -> int:
        net = ConvolutionalAutoencoder((1, 28, 28), residual_blocks=1, batch_norm=batch_norm)
        return sum(isinstance(module, nn.BatchNorm2d) for module in net.modules())

    # Three stages, two enlargements and the linear layer between, and two in each of six blocks.
    assert (normalised(True), normalised(False)) == (18, 0)


@pytest.mark.parametrize("options", [{"channels": ()}, {"channels": (4, 0)}, {"code_size": 0}, {"residual_blocks": -1}])
def test_impossible_sizes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        ConvolutionalAutoencoder((1, 8, 8), **options)


@pytest.mark.parametrize(
    "around",
    [
        lambda net: net,
        lambda net: DenoisingAutoencoder(net, GaussianNoise()),
        lambda net: MemoryAutoencoder(net),
        lambda net: VariationalAutoencoder(net),
    ],
)
def test_a_last_batch_of_one_image_trains_where_the_last_maps_have_one_place(around: Any) -> None:
    """Batch normalisation has nothing to compare it with; the image given twice is a batch that it takes."""
    image, losses = torch.rand(1, 1, 8, 8), []
    for images in (image, torch.cat([image, image])):
        torch.manual_seed(0)
        net = around(ConvolutionalAutoencoder((1, 8, 8), (4, 6, 8), 3))
        terms, _ = net.training_loss(images)
        losses.append(torch.stack(list(terms.values())).sum())
        losses[-1].backward()
    torch.testing.assert_close(*losses)
    assert len(net.eval().training_loss(image)[1].code) == 1


def test_without_batch_normalisation_one_image_stays_one() -> None:
    net = ConvolutionalAutoencoder((1, 8, 8), (4, 6, 8), 3, batch_norm=False)
    assert len(net.training_loss(torch.rand(1, 1, 8, 8))[1].code) == 1
