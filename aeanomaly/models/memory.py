"""The memory-augmented autoencoder, over any net."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.wrapping import shape_of_codes
from aeanomaly.outputs import Output


class MemoryAutoencoder(Autoencoder):
    """Decodes a mixture of few remembered normal codes instead of the image's own code (Gong et al., MemAE, 2019).

    A code is compared with each slot of a trained memory by the cosine; a softmax makes weights of that, small weights
    are set to 0, and the decoder is given the slots weighted by the rest. An anomaly is then reconstructed as something
    normal. Of a spatial code each place is looked up by itself. The loss has the terms ``reconstruction``, the net's
    mean squared error, and ``entropy``, the weighted entropy of the weights, which makes them sparse.

    The code of the output is the image's own. The features of the output, for scores: those of ``net``; ``recalled``,
    what the decoder is given, of the shape of the code; ``entropy``, (B,), in nats, the mean over places.

    Args:
        net: encodes and decodes images; its own loss is not used.
        slots: N, the number of remembered codes.
        shrinkage: weights at or below ``shrinkage`` / N are set to 0; the paper advises 1 to 3. At 0 none is. Above 1 a
            code that is as close to every slot recalls nothing and teaches nothing; a low temperature helps.
        temperature: by which cosines are divided before the softmax; 1 in the paper. The lower, the further apart are
            the weights.
        entropy_weight: weight of the entropy in the loss.

    Raises:
        UserError: if a number is out of range, or ``net`` takes images of any size or reconstructs something else.
    """

    def __init__(
        self,
        net: Autoencoder,
        slots: int = 100,
        shrinkage: float = 1.0,
        temperature: float = 1.0,
        entropy_weight: float = 2e-4,
    ) -> None:
        super().__init__()
        if slots < 1 or not 0 <= shrinkage < slots or temperature <= 0 or entropy_weight < 0:
            raise UserError(
                "model.net: a memory needs slots of at least 1, shrinkage of at least 0 and below slots, temperature "
                "above 0 and entropy_weight of at least 0, got "
                f"{slots=}, {shrinkage=}, {temperature=}, {entropy_weight=}"
            )
        self.net, self.image_shape = net, net.image_shape
        self.threshold, self.temperature, self.entropy_weight = shrinkage / slots, temperature, entropy_weight
        self.memory = nn.Parameter(torch.randn(slots, shape_of_codes(net)[0]))  # (N, D)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to the codes of the net."""
        return self.net.encode(x)

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the features of the net."""
        return self.net.encode_layers(x)

    def decode(self, code: Tensor) -> Tensor:
        """Codes, through the memory, to (B, C, H, W) reconstructions."""
        return self.net.decode(self.recall(code)[0])

    def recall(self, code: Tensor) -> tuple[Tensor, Tensor]:
        """Codes to what the memory makes of them, of the same shape, and the weights of the slots.

        Args:
            code: (B, D), or (B, D, H', W') if codes are spatial.

        Returns:
            Codes like ``code``, and weights (B, N) or (B, H', W', N), which add up to 1, or to 0 where all are small.
        """
        # In float32, because weights of many slots lie close to each other and to the threshold.
        with torch.autocast(code.device.type, enabled=False):
            memory, queries = self.memory.float(), functional.normalize(code.float().movedim(1, -1), dim=-1)
            cosines = queries @ functional.normalize(memory, dim=1).T
            weights = functional.hardshrink((cosines / self.temperature).softmax(-1), self.threshold)
            weights = functional.normalize(weights, p=1, dim=-1)
            return (weights @ memory).movedim(-1, 1).to(self.memory.dtype), weights

    def forward(self, x: Tensor) -> Output:
        """Encode (B, C, H, W) images and decode what the memory recalls."""
        code, features = self.encode_layers(x)
        recalled, weights = self.recall(code)
        # The small number keeps the gradient finite where a weight is 0.
        entropy = -(weights * (weights + 1e-12).log()).sum(-1)  # (B,) or (B, H', W')
        features = {**features, "recalled": recalled, "entropy": entropy.unsqueeze(-1).flatten(1).mean(1)}
        return Output(code=code, reconstruction=self.net.decode(recalled), target=x, features=features)

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """The mean squared error, and the weighted entropy of the addressing."""
        return {**super().loss_terms(output), "entropy": self.entropy_weight * output.features["entropy"].mean()}
