"""A fixed front end: the feature maps of an image classifier of torchvision."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names
from typing_extensions import Self

from aeanomaly.errors import UserError, suggestion
from aeanomaly.models.front_end import FrontEnd

# Of the images that torchvision's weights were trained on.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Backbone(FrontEnd):
    """Feature maps of some layers of a classifier, resized to one grid and joined (PaDiM: Defard et al., 2021).

    Grey images are repeated to three channels. Colours are standardised by ImageNet's mean and deviation. Maps are
    resized bilinearly, averaging where the grid is coarser than the map. The classifier is not trained and always in
    evaluation mode, so that its batch statistics stay.

    Checkpoints keep the weights (11 MB for resnet18 up to layer3), so that a run can be loaded where their file is
    gone. A missing file is therefore a mistake only once features are asked for, with no checkpoint loaded before.

    Lightning warns at the start of a fit of modules in evaluation mode: these are meant to be.

    Args:
        name: of a classifier in ``torchvision.models``.
        layers: whose outputs are taken, by their names in the model.
        weights: file with a state dict of the whole classifier, as torchvision's downloads are; None for random
            weights, drawn by the seed.
        grid: places along each side.
        size: to which height and width images are resized first, in pixels; None for images as they are, which some
            classifiers find too small.

    Raises:
        UserError: for an unknown name or layer, a layer whose output is no map, weights that do not fit, or sizes below
            1; for images of other than 1 or 3 channels; for a missing file of weights.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        name: str = "resnet18",
        layers: Sequence[str] = ("layer1", "layer2", "layer3"),
        weights: str | None = None,
        grid: int = 9,
        size: int | None = None,
    ) -> None:
        super().__init__()
        if grid < 1 or (size is not None and size < 1) or not layers:
            raise UserError(f"Backbone needs a layer, and {grid=} and {size=} of at least 1")
        known = torchvision.models.list_models(module=torchvision.models)
        if name not in known:
            raise UserError(f"Backbone: torchvision has no classifier {name!r}: {suggestion(name, known)}")
        self.grid, self.size, self.layers = grid, size, tuple(layers)
        classifier = torchvision.models.get_model(name, weights=None).eval()
        self.missing_weights = None if weights is None or _load(classifier, Path(weights)) else weights
        self.net = _extractor(classifier, self.layers)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1), persistent=False)
        self.register_load_state_dict_post_hook(_weights_are_there)
        with torch.no_grad():
            maps = self._maps(torch.zeros(1, 3, *[size or 224] * 2))
        wrong = [layer for layer in self.layers if not _is_map(maps[layer])]
        if wrong:
            raise UserError(f"Backbone: the outputs of {wrong} of {name} are no maps of (C, H, W)")
        self._channels: int = sum(maps[layer].shape[1] for layer in self.layers)

    @property
    def channels(self) -> int:
        """F, the channels of all layers."""
        return self._channels

    def train(self, mode: bool = True) -> Self:
        """As `torch.nn.Module.train`, apart from the classifier."""
        super().train(mode)
        self.net.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images in [0, 1] to (B, F, G, G) features, the layers in their order."""
        if self.missing_weights is not None:
            raise UserError(f"Backbone: there is no file of weights {self.missing_weights!r}")
        if x.shape[1] not in (1, 3):
            raise UserError(f"Backbone takes images of 1 or 3 channels, got {x.shape[1]}")
        x = x.expand(-1, 3, -1, -1)
        if self.size is not None:
            x = _resized(x, self.size)
        maps = self._maps((x - self.mean) / self.deviation)
        return torch.cat([_resized(maps[layer].float(), self.grid) for layer in self.layers], dim=1)

    def _maps(self, x: Tensor) -> dict[str, Any]:
        try:
            maps: dict[str, Any] = self.net(x)
        except (RuntimeError, AssertionError) as error:
            if min(x.shape[-2:]) >= 224:
                raise
            raise UserError(f"Backbone: images of {list(x.shape[-2:])} pixels are too small; set `size`") from error
        return maps


def _is_map(found: Any) -> bool:
    """Whether it is (B, C, H, W) of a square image; the last two sides of (B, H, W, C) differ."""
    return isinstance(found, Tensor) and found.ndim == 4 and found.shape[2] == found.shape[3]


def _resized(x: Tensor, side: int) -> Tensor:
    """(B, C, H, W) to (B, C, side, side)."""
    return functional.interpolate(x, (side, side), mode="bilinear", antialias=True)


def _load(classifier: nn.Module, path: Path) -> bool:
    """Load weights into a classifier; False if there is no such file.

    Raises:
        UserError: if they do not fit, or the file is none of weights.
    """
    if not path.is_file():
        return False
    try:
        classifier.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    except (OSError, EOFError, RuntimeError, TypeError, AttributeError, UnpicklingError):
        raise UserError(
            f"Backbone: {str(path)!r} is no state dict of a whole {type(classifier).__name__} of this name"
        ) from None
    return True


def _extractor(classifier: nn.Module, layers: tuple[str, ...]) -> nn.Module:
    """The part of a classifier that ends with some layers, fixed, with their outputs by name."""
    for part in classifier.modules():  # else an activation changes the output of the layer before it
        if hasattr(part, "inplace"):
            setattr(part, "inplace", False)  # noqa: B010 - mypy takes every attribute of a module for a tensor
    try:
        extractor: nn.Module = create_feature_extractor(classifier, list(layers))
    except ValueError:
        nodes = get_graph_node_names(classifier)[1]
        parts = {node.rsplit(".", count)[0] for node in nodes for count in range(node.count(".") + 1)}
        unknown = [layer for layer in layers if layer not in parts]
        known = [name for name, _ in classifier.named_children()]
        raise UserError(f"Backbone: there is no layer {unknown[0]!r}: {suggestion(unknown[0], known, parts)}") from None
    return extractor.requires_grad_(False).eval()


def _weights_are_there(module: Backbone, _keys: Any) -> None:
    module.missing_weights = None
