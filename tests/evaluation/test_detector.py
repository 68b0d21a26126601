"""From images to scores, p-values and decisions, and what a checkpoint restores of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import FalseAlarmRate, Fixed
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.reconstruction import ReconstructionError


def images(count: int = 50, seed: int = 0) -> Tensor:
    return torch.randint(256, (count, 1, 4, 4), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)


def make() -> Detector:
    torch.manual_seed(0)
    net = DenseAutoencoder((1, 4, 4), hidden=(8,), code_size=3)
    scores = {"reconstruction": ReconstructionError(), "kmeans": KMeans(n_clusters=4)}
    return Detector(net, scores, {"alarm10": FalseAlarmRate(0.1), "fixed": Fixed(2.0)}).eval()


@pytest.fixture
def fitted() -> Detector:
    detector = make()
    with torch.no_grad():
        outputs = detector.net(images(99) / 255)
        detector.score_modules["kmeans"].fit(outputs.only(["code"]))
        for name, score in detector.score_modules.items():
            detector.calibration(name).fit(score.score(outputs))
    return detector


@torch.no_grad()
def test_every_score_judges_every_image(fitted: Detector) -> None:
    judged = fitted(images(seed=1))
    assert judged.keys() == {"reconstruction", "kmeans"}
    assert judged["reconstruction"].decision.keys() == {"alarm10", "fixed"}
    assert judged["kmeans"].decision.keys() == {"alarm10"}  # the fixed value is meant for the other score
    score, p_value, decision = judged["reconstruction"]
    assert torch.equal(decision["fixed"], score > 2.0)
    assert score.dtype == p_value.dtype == torch.float32
    normal = fitted.calibration("reconstruction").normal_scores
    expected = [(1 + int((normal >= value).sum())) / (1 + len(normal)) for value in score]
    assert p_value.tolist() == pytest.approx(expected)
    # The same order statistic seen from two sides.
    assert torch.equal(decision["alarm10"], p_value <= 0.1 - 1e-6) or torch.equal(decision["alarm10"], p_value <= 0.1)


def test_a_rate_that_takes_more_images_is_told_with_its_option(fitted: Detector) -> None:
    few = fitted.calibration("kmeans")
    few.fit(few.normal_scores[:8])
    with pytest.raises(UserError, match=r"or raise --model\.thresholds\.alarm10\.alpha to 0\.1112 or more"):
        fitted.threshold_values("kmeans")


@torch.no_grad()
def test_bytes_and_numbers_are_the_same_image(fitted: Detector) -> None:
    whole, scaled = fitted(images(seed=1)), fitted(images(seed=1) / 255)
    assert torch.equal(whole["kmeans"].score, scaled["kmeans"].score)


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_numbers_of_another_precision_are_the_same_image(fitted: Detector, dtype: torch.dtype) -> None:
    given = torch.linspace(0, 1, 2 * 16, dtype=dtype).view(2, 1, 4, 4)
    assert torch.equal(fitted(given)["kmeans"].score, fitted(given.float())["kmeans"].score)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_net_of_another_precision_takes_any_image(fitted: Detector, dtype: torch.dtype) -> None:
    expected, given = fitted(images(seed=1))["kmeans"].score, images(seed=1)
    fitted.to(dtype)
    for kind in (given, given / 255, (given / 255).to(dtype)):
        torch.testing.assert_close(fitted(kind)["kmeans"].score, expected, rtol=0.2, atol=0.05)


def test_what_is_fitted_moves_as_other_modules_do() -> None:
    with torch.device("meta"):
        detector = make()
    assert {buffer.device.type for buffer in detector.to_empty(device="cpu").buffers()} == {"cpu"}
    assert all(buffer.is_shared() for buffer in detector.share_memory().buffers())


@torch.no_grad()
def test_a_checkpoint_restores_scores_p_values_and_decisions(fitted: Detector) -> None:
    fresh = make()
    fresh.load_state_dict(fitted.state_dict())
    for name, judgement in fitted(images(seed=1)).items():
        again = fresh(images(seed=1))[name]
        assert torch.equal(again.score, judgement.score)
        assert torch.equal(again.p_value, judgement.p_value)
        assert all(torch.equal(again.decision[key], judgement.decision[key]) for key in judgement.decision)


@torch.no_grad()
def test_a_nan_is_flagged_as_its_p_value_says(fitted: Detector) -> None:
    broken = images(2, seed=1) / 255
    broken[0, 0, 0, 0] = torch.nan
    judged = fitted(broken)
    for name in judged:
        assert judged[name].p_value[0] == 1 / 100
        assert all(flags[0] for flags in judged[name].decision.values())


def test_an_unfitted_score_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="'kmeans' was never fitted"):
        make()(images())


@torch.no_grad()
def test_without_calibration_there_is_no_p_value_and_no_alarm_rate() -> None:
    detector = Detector(make().net, {"reconstruction": ReconstructionError()}, {"alarm5": FalseAlarmRate()})
    judged = detector(images())["reconstruction"]
    assert judged.p_value.isnan().all()
    assert judged.decision == {}


class CodeOfReconstruction(Score):
    """How far the code of the reconstruction is from that of the image."""

    reads = ("code", "again.code")

    def forward(self, output: Output) -> Tensor:
        assert output.again is not None
        return (output.code - output.again.code).square().sum(1)


@torch.no_grad()
def test_a_score_may_ask_what_the_net_makes_of_its_reconstruction() -> None:
    net = make().net
    found = Detector(net, {"again": CodeOfReconstruction()}, {})(images())["again"].score
    first = net(images() / 255)
    assert torch.allclose(found, (first.code - net(first.reconstruction).code).square().sum(1))


class Chunked(CodeOfReconstruction):
    """Counts the calls."""

    reads = ("code",)
    chunk = 20
    calls = 0

    def forward(self, output: Output) -> Tensor:
        type(self).calls += 1
        return output.code[:, 0]


@torch.no_grad()
def test_a_score_with_a_chunk_size_is_scored_in_chunks() -> None:
    net = make().net
    found = Detector(net, {"chunked": Chunked()}, {})(images(50))["chunked"].score
    assert Chunked.calls == 3
    assert torch.equal(found, net(images(50) / 255).code[:, 0])


def test_a_score_must_say_what_it_reads() -> None:
    with pytest.raises(TypeError, match="Silent must name the fields"):

        class Silent(Score):
            def forward(self, output: Output) -> Tensor:
                return output.code[:, 0]


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a@b", "a.b"])
def test_names_that_would_break_tags_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="must be without"):
        Detector(make().net, {name: ReconstructionError()}, {})


def test_a_field_that_the_net_does_not_offer_is_a_users_mistake() -> None:
    class Deep(Score):
        """Reads a layer."""

        reads = ("features.layer7",)

        def forward(self, output: Output) -> Tensor:
            """Not reached."""
            raise AssertionError

    detector = Detector(DenseAutoencoder((1, 4, 4), [6], 2), {"deep": Deep()}, {})
    with pytest.raises(UserError, match=r"no 'features.layer7'.*the net offers \['features.layer1'"):
        detector(torch.rand(2, 1, 4, 4))
