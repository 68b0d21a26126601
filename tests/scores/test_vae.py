"""The variational scores against the exact density of a linear model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.variational import VariationalAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.vae import NegativeElbo, ReconstructionProbability


class Linear(Autoencoder):
    """Linear each way, so that with Gaussian pixels the image is normally distributed."""

    image_shape = (1, 2, 2)

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(4, 2), nn.Linear(2, 4)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(x.flatten(1))

    def decode(self, code: Tensor) -> Tensor:
        return self.decoder(code).view(-1, 1, 2, 2)


def output(**features: list[float]) -> Output:
    tensors = {f"features.{name}": torch.tensor(value) for name, value in features.items()}
    return Output.from_tensors(tensors)


def test_the_scores_are_what_the_net_offers() -> None:
    offered = output(log_likelihood=[-3.0, 5.0], kl=[0.5, 2.0])
    assert ReconstructionProbability().score(offered).tolist() == [3.0, -5.0]
    assert NegativeElbo().score(offered).tolist() == [3.5, -3.0]


def test_with_the_exact_posterior_the_bound_is_the_density_and_with_another_it_lies_above() -> None:
    """A Bayesian linear model: x = W z + b + noise, whose density and posterior are known."""
    torch.manual_seed(0)
    deviation, images = 0.5, torch.rand(6, 1, 2, 2)
    net = VariationalAutoencoder(Linear(), 1, 4.0, "gaussian", deviation, samples=4000, activation=nn.Identity).eval()
    widen, decoder, encoder, posterior = net.widen[0], net.net.decoder, net.net.encoder, net.posterior[-1]
    with torch.no_grad():
        weight = decoder.weight @ widen.weight  # (4, 1)
        bias = decoder.weight @ widen.bias + decoder.bias
        variance = 1 / (1 + weight.square().sum() / deviation**2)
        encoder.weight[0], encoder.bias[0] = weight[:, 0], -weight[:, 0] @ bias
        posterior.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0]]) * variance / deviation**2)
        posterior.bias.copy_(torch.stack([torch.zeros(()), variance.log()]))
    covariance = (weight @ weight.T).detach().numpy() + deviation**2 * np.eye(4)
    density = multivariate_normal(bias.detach().numpy(), covariance).logpdf(images.flatten(1).numpy())
    with torch.no_grad():
        exact = NegativeElbo().score(net(images))
        np.testing.assert_allclose(exact, -density, atol=0.05)
        posterior.bias[1] += 1.0  # twice too wide
        assert (NegativeElbo().score(net(images)) > exact + 0.2).all()


def test_an_image_has_one_score_whatever_it_is_scored_with() -> None:
    net = VariationalAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 3).eval()
    images = torch.rand(5, 1, 4, 4)
    for score in (ReconstructionProbability(), NegativeElbo()):
        whole = score.score(net(images))
        assert whole.shape == (5,)
        assert whole.dtype == torch.float32
        assert torch.allclose(torch.cat([score.score(net(image[None])) for image in images]), whole, rtol=1e-5)


def test_a_net_that_draws_no_samples_is_named_as_the_reason() -> None:
    net = VariationalAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 3, samples=0).eval()
    with pytest.raises(AttributeError, match=r"no 'features.log_likelihood'.*features.kl"):
        net(torch.rand(5, 1, 4, 4)).only(NegativeElbo.reads)
