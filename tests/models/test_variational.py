"""The variational net's loss against torch's distributions and scipy's densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.distributions import Normal, kl_divergence

from aeanomaly.errors import UserError
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.variational import VariationalAutoencoder


def variational(**options: Any) -> VariationalAutoencoder:
    torch.manual_seed(0)
    return VariationalAutoencoder(DenseAutoencoder((1, 4, 4), (8,), 6), 3, **options)


def test_the_divergence_is_that_of_torchs_distributions_and_beta_weighs_it() -> None:
    net, images = variational(beta=3.0), torch.rand(5, 1, 4, 4)
    terms, output = net.training_loss(images)
    posterior = Normal(output.features["mean"], (output.features["log_variance"] / 2).exp())
    expected = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(output.features["kl"], expected, atol=1e-6)
    assert list(terms) == ["reconstruction", "kl"]
    assert torch.allclose(terms["kl"], 3 * expected.mean())


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_reconstruction_term_is_the_negative_log_likelihood(likelihood: Any) -> None:
    net, images = variational(likelihood=likelihood, deviation=0.3), torch.rand(5, 1, 4, 4)
    terms, output = net.training_loss(images)
    x, p = images.double().numpy(), output.reconstruction.detach().double().numpy()
    pixels = norm(p, 0.3).logpdf(x) if likelihood == "gaussian" else x * np.log(p) + (1 - x) * np.log(1 - p)
    assert terms["reconstruction"].item() == pytest.approx(-pixels.sum((1, 2, 3)).mean(), rel=1e-4)


def test_mixed_precision_keeps_the_digits_of_pixels_that_are_nearly_sure() -> None:
    """A sigmoid in bf16 makes 1 of 0.999, whose logarithm has no gradient."""
    net, images = variational(), torch.full((5, 1, 4, 4), 0.99)
    with torch.no_grad():
        net.net.decoder[-3].weight.zero_()
        net.net.decoder[-3].bias.fill_(7.0)
    with torch.autocast("cpu", torch.bfloat16):
        term = net.training_loss(images)[0]["reconstruction"]
    p = torch.tensor(7.0, dtype=torch.float64).sigmoid()
    assert term.item() == pytest.approx(-16 * (0.99 * p.log() + 0.01 * (1 - p).log()).item(), rel=1e-3)
    term.backward()
    assert net.net.decoder[-3].bias.grad.abs().min() > 1e-4


def test_training_draws_codes_from_the_posterior_and_evaluation_takes_the_mean() -> None:
    net, image = variational(), torch.rand(1, 1, 4, 4)
    mean, features = net.encode_layers(image)
    codes = net(image.expand(20_000, -1, -1, -1)).code.detach()
    deviation = (features["log_variance"][0] / 2).exp()
    assert torch.allclose(codes.mean(0), mean[0], atol=0.05)
    assert torch.allclose(codes.std(0), deviation, rtol=0.03)
    assert torch.equal(net.eval()(image).code, mean)
    assert torch.equal(net(image).reconstruction, net.decode(mean))


def test_the_likelihood_in_evaluation_is_the_mean_over_fixed_draws_and_the_validation_loss() -> None:
    net, images = variational(samples=4, beta=2.0).eval(), torch.rand(5, 1, 4, 4)
    mean, features = net.encode_layers(images)
    likelihoods = []
    for noise in net.noise:
        p = net.decode(mean + (features["log_variance"] / 2).exp() * noise).detach().double()
        likelihoods.append((images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3)))
    assert len(likelihoods) == 4
    terms, output = net.training_loss(images)
    expected = torch.stack(likelihoods).mean(0)
    assert torch.allclose(output.features["log_likelihood"].double(), expected, rtol=1e-4)
    assert terms["reconstruction"].item() == pytest.approx(-expected.mean().item(), rel=1e-4)
    assert terms["kl"].item() == pytest.approx(2 * features["kl"].mean().item())


def test_without_samples_the_validation_loss_is_that_of_the_mean() -> None:
    net, images = variational(samples=0).eval(), torch.rand(5, 1, 4, 4)
    terms, output = net.training_loss(images)
    assert "log_likelihood" not in output.features
    p = output.reconstruction.detach().double()
    expected = -(images * p.log() + (1 - images) * (1 - p).log()).sum((1, 2, 3)).mean()
    assert terms["reconstruction"].item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_pixel_that_is_sure_and_wrong_costs_a_finite_amount() -> None:
    net = variational()
    likelihood = net._log_likelihood(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    assert likelihood.item() == pytest.approx(2 * np.log(1e-6), rel=0.02)


def test_a_spatial_code_of_the_net_becomes_a_flat_one() -> None:
    net = VariationalAutoencoder(ConvolutionalAutoencoder((3, 9, 7), (4, 6), None), 3)
    output = net(torch.rand(2, 3, 9, 7))
    assert output.code.shape == (2, 3)
    assert output.reconstruction.shape == (2, 3, 9, 7)
    assert list(output.features) == ["layer1", "layer2", "mean", "log_variance", "kl"]


@pytest.mark.parametrize("options", [{"beta": -1.0}, {"deviation": 0.0}, {"samples": -1}])
def test_impossible_numbers_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="a variational autoencoder needs"):
        variational(**options)
