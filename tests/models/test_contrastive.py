"""The contrastive net: its loss by the paper's formula, its parts, and that it learns."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from aeanomaly.errors import UserError
from aeanomaly.models.contrastive import ContrastiveAutoencoder, nt_xent
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.views import Gain
from aeanomaly.training.description import describe


def small(**options: object) -> ContrastiveAutoencoder:
    torch.manual_seed(0)
    front = OrientedGradients(scales=[1], grid=5)
    return ContrastiveAutoencoder(**{"front": front, "channels": (8, 8), "hidden": 32, "code_size": 6, **options})


def images(count: int = 16, *shape: int) -> Tensor:
    return torch.rand(count, *(shape or (1, 16, 16)), generator=torch.Generator().manual_seed(1))


def test_nt_xent_is_the_formula_of_the_paper() -> None:
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    cosine = [[float(a @ b / a.norm() / b.norm()) for b in rows] for a in rows]
    terms = []
    for i in range(10):
        j = (i + 5) % 10
        below = sum(math.exp(cosine[i][k] / 0.3) for k in range(10) if k != i)
        terms.append(-math.log(math.exp(cosine[i][j] / 0.3) / below))
    assert float(nt_xent(rows, 0.3)) == pytest.approx(sum(terms) / 10, rel=1e-5)


def test_mixed_precision_leaves_the_contrastive_term_as_it_is() -> None:
    rows = torch.randn(10, 4, generator=torch.Generator().manual_seed(2))
    expected = nt_xent(rows, 0.3)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nt_xent(rows, 0.3), expected)


class Flipped(nn.Module):
    """The second half of the batch, which has the second view of each image, mirrored."""

    def forward(self, x: Tensor) -> Tensor:
        first, second = x.chunk(2)
        return torch.cat([first, second.flip(3)])


def test_the_contrastive_term_compares_two_views_of_each_image_at_the_temperature() -> None:
    net, x = small(views=[Flipped()], temperature=0.5).eval(), images()
    terms, _ = net.training_loss(x)
    rows = net.head(net.encode(torch.cat([x, x.flip(3)])))
    assert float(terms["contrastive"].detach()) == pytest.approx(float(nt_xent(rows, 0.5).detach()), rel=1e-5)


def test_the_reconstruction_term_is_the_weighted_distance_of_directions() -> None:
    net = small(views=[], reconstruction=4.0).eval()
    terms, output = net.training_loss(images())
    cosine = torch.cosine_similarity(output.reconstruction.flatten(1), net.front(images()).flatten(1))
    assert float(terms["reconstruction"].detach()) == pytest.approx(4 * (1 - float(cosine.detach().mean())), rel=1e-4)


def test_what_scores_may_read_has_the_shapes_that_are_told() -> None:
    net = small().eval()
    output = net(images(7, 3, 20, 24))
    shapes = {name: tuple(tensor.shape) for name, tensor in output.tensors().items()}
    assert shapes == {
        "code": (7, 6),
        "reconstruction": (7, 10, 5, 5),
        "features.grid": (7, 10, 5, 5),
        "target": (7, 10, 5, 5),
        "features.pooled": (7, 10),
        "features.layer1": (7, 72),
        "features.layer2": (7, 32),
    }
    torch.testing.assert_close(output.code, net.encode(images(7, 3, 20, 24)))
    torch.testing.assert_close(output.reconstruction.flatten(1).norm(dim=1), torch.ones(7))


def test_views_are_for_the_loss_only_and_follow_the_seed() -> None:
    net = small().eval()
    assert torch.equal(net(images()).code, net(images()).code)
    torch.manual_seed(4)
    first, second = (net.training_loss(images())[0]["contrastive"].item() for _ in range(2))
    torch.manual_seed(4)
    assert net.training_loss(images())[0]["contrastive"].item() == first != second


def test_a_checkpoint_holds_no_front_end_and_gives_the_same_output(tmp_path: object) -> None:
    net = small()
    net.training_loss(images())  # moves the running statistics
    path = f"{tmp_path}/net.ckpt"
    torch.save(net.state_dict(), path)
    state = torch.load(path, weights_only=True)
    assert not any("front" in name for name in state)
    other = small()
    nn.init.zeros_(other.to_code.weight)
    other.load_state_dict(state)
    assert torch.equal(net.eval()(images()).code, other.eval()(images()).code)


class Trainable(OrientedGradients):
    """A front end with weights, such as a net that others have trained."""

    def __init__(self) -> None:
        super().__init__(scales=[1], grid=5)
        self.weight = nn.Parameter(torch.ones(()))


def test_a_front_end_with_weights_is_not_trained() -> None:
    net = small(front=Trainable())
    assert [name for name, p in net.named_parameters() if not p.requires_grad] == ["front.weight"]
    assert "front.weight" in net.state_dict()


def test_a_checkpoint_can_say_how_it_is_made() -> None:
    net = small(views=[Gain(0.1)])
    made = describe(net)["init_args"]
    assert made["front"]["init_args"] == {"scales": [1], "grid": 5}
    assert made["views"] == [{"class_path": "aeanomaly.models.views.Gain", "init_args": {"amount": 0.1}}]


def test_mistakes_are_named() -> None:
    for options, says in (({"temperature": 0}, "temperature=0"), ({"reconstruction": -1}, "reconstruction=-1")):
        with pytest.raises(UserError, match=says):
            small(**options)
