"""The variational autoencoder, over any net."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.wrapping import shape_of_codes
from aeanomaly.outputs import Output


class VariationalAutoencoder(Autoencoder):
    """Makes a normal distribution of codes of each image, close to the standard one (Kingma and Welling, 2014).

    The code of ``net`` becomes a hidden layer: an activation and a linear layer lead from it to the mean and the log
    variance of the posterior distribution, and a linear layer and an activation lead back to what ``net`` decodes. So
    it may be dense or convolutional, with flat or spatial codes, and its ``code_size`` is a width, not the latent size.

    Training minimises the negative evidence lower bound: the terms ``reconstruction``, minus the log likelihood of the
    image summed over pixels, for one random code, and ``kl``, beta times the divergence between posterior and standard
    normal distribution in closed form; both are means over images. In evaluation the code is the mean, nothing is
    random, and the bound is estimated with ``samples`` codes that are always drawn with the same noise.

    The features of the output, for scores: those of ``net``; ``mean`` and ``log_variance``, (B, D); ``kl``, (B,)
    without beta; in evaluation ``log_likelihood``, (B,), the mean over the samples.

    Args:
        net: encodes and decodes images; its own loss is not used.
        latent_size: D, the size of the code.
        beta: weight of the divergence; above 1 for codes of independent parts (Higgins et al., 2017).
        likelihood: of a pixel: ``bernoulli`` takes its value for a probability (cross entropy), ``gaussian`` for the
            mean of a normal distribution (squared error).
        deviation: standard deviation of the Gaussian pixel.
        samples: codes for each image in evaluation; each costs a pass through the decoder. 0 leaves ``log_likelihood``
            out, for scores that do not read it; the validation loss is then that of the mean.
        activation: makes the activations around the new layers.

    Raises:
        UserError: if a number is out of range, or ``net`` takes images of any size or reconstructs something else.
    """

    noise: Tensor

    def __init__(
        self,
        net: Autoencoder,
        latent_size: int = 5,
        beta: float = 1.0,
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        deviation: float = 1.0,
        samples: int = 10,
        activation: Callable[[], nn.Module] = nn.Tanh,
    ) -> None:
        super().__init__()
        if latent_size < 1 or beta < 0 or deviation <= 0 or samples < 0:
            raise UserError(
                "model.net: a variational autoencoder needs latent_size of at least 1, beta and samples of at least 0 "
                f"and deviation above 0, got {latent_size=}, {beta=}, {samples=}, {deviation=}"
            )
        shape = shape_of_codes(net)
        self.net, self.image_shape = net, net.image_shape
        self.beta, self.likelihood, self.deviation = beta, likelihood, deviation
        width = math.prod(shape)
        self.posterior = nn.Sequential(nn.Flatten(), activation(), nn.Linear(width, 2 * latent_size))
        self.widen = nn.Sequential(nn.Linear(latent_size, width), activation(), nn.Unflatten(1, shape))
        fixed = torch.randn(samples, latent_size, generator=torch.Generator().manual_seed(0))
        self.register_buffer("noise", fixed, persistent=False)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) images to the means of their codes, (B, D)."""
        return self.encode_layers(x)[0]

    def encode_layers(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """As `encode`, with the features of the net, ``mean``, ``log_variance`` and ``kl``."""
        hidden, features = self.net.encode_layers(x)
        # In float32, because the exponential of a log variance is coarse at reduced precision.
        mean, log_variance = self.posterior(hidden).float().chunk(2, dim=1)
        kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
        return mean, {**features, "mean": mean, "log_variance": log_variance, "kl": kl}

    def decode(self, code: Tensor) -> Tensor:
        """(B, D) codes to (B, C, H, W) reconstructions in [0, 1]."""
        # Bernoulli's logarithms need more digits near 0 and 1 than a sigmoid in bf16 has, where 0.999 is 1.
        with torch.autocast(code.device.type, enabled=False) if self.likelihood == "bernoulli" else nullcontext():
            return self.net.decode(self.widen(code.to(self._precision)))

    def forward(self, x: Tensor) -> Output:
        """Encode and decode (B, C, H, W) images: a random code of each in training, its mean in evaluation."""
        code, features = self.encode_layers(x)
        if self.training:
            code = self._drawn(features, torch.randn_like(code))
        elif len(self.noise):
            total = torch.zeros(x.shape[0], device=x.device)
            for noise in self.noise:  # one after the other, as all together need as many times the memory
                total += self._log_likelihood(self.decode(self._drawn(features, noise)), x)
            features["log_likelihood"] = total / len(self.noise)
        return Output(code=code, reconstruction=self.decode(code), target=x, features=features)

    def loss_terms(self, output: Output) -> dict[str, Tensor]:
        """The two parts of the negative evidence lower bound, ``reconstruction`` and ``kl``."""
        features = output.features
        estimated = features.get("log_likelihood")
        if estimated is None:
            estimated = self._log_likelihood(output.reconstruction, output.target)
        return {"reconstruction": -estimated.mean(), "kl": self.beta * features["kl"].mean()}

    @property
    def _precision(self) -> torch.dtype:
        """That of the weights: codes are float32 whatever it is."""
        return next(self.widen.parameters()).dtype

    @staticmethod
    def _drawn(features: dict[str, Tensor], noise: Tensor) -> Tensor:
        return features["mean"] + (features["log_variance"] / 2).exp() * noise

    def _log_likelihood(self, reconstruction: Tensor, image: Tensor) -> Tensor:
        """(B,) sums over pixels."""
        # The constants of the normal distribution stay in, so that values of different deviations can be compared.
        if self.likelihood == "gaussian":
            squares = ((image - reconstruction.float()) / self.deviation).square()
            pixels = -0.5 * (squares + math.log(2 * math.pi * self.deviation**2))
        else:
            logits = torch.logit(reconstruction.float(), eps=1e-6)  # a pixel that is sure and wrong costs 14 at most
            pixels = -functional.binary_cross_entropy_with_logits(logits, image, reduction="none")
        return pixels.flatten(1).sum(1)
