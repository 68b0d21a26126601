"""Scores put together, against the formulas, in a detector and in a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import Calibration
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.fusion import Fusion
from tests.conftest import DEBUG

VALUES = {"scores.a": torch.tensor([1.0, -2.0, 3.0, -1.0]), "scores.b": torch.tensor([0.0, 5.0, 4.0, -2.0])}
FUSED = "aeanomaly.scores.fusion.Fusion"


@pytest.mark.parametrize(
    ("combine", "expected"), [("max", [1, 5, 4, -1]), ("squares", [1, 5, 5, -1]), ("mean", [0.5, 1.5, 3.5, -1.5])]
)
def test_each_rule_is_its_formula(combine: Any, expected: list[float]) -> None:
    assert Fusion(["a", "b"], combine)(Output.from_tensors(VALUES)).tolist() == expected


@pytest.mark.parametrize("combine", ["max", "squares", "mean"])
def test_a_score_that_is_no_number_stays_one_that_is_none(combine: Any) -> None:
    values = {"scores.a": torch.tensor([torch.nan, 1.0]), "scores.b": torch.tensor([1.0, 1.0])}
    assert Fusion(["a", "b"], combine)(Output.from_tensors(values)).isnan().tolist() == [True, False]


def test_positive_scores_are_standardised_by_their_logarithms() -> None:
    normal = torch.rand(200, generator=torch.Generator().manual_seed(0)) + 0.1
    calibration = Calibration()
    calibration.fit(normal)
    expected = stats.zmap(np.log([0.2, 0.7, 9.0]), np.log(normal.numpy()), ddof=1)
    np.testing.assert_allclose(calibration.standardised(torch.tensor([0.2, 0.7, 9.0])), expected, rtol=1e-4)


@pytest.mark.parametrize("duplicates", [[0.0], [1e-15], [0.0, 1e-7, 1e-7, 1e-7]])
def test_duplicates_of_training_images_leave_the_scale_to_the_others(duplicates: list[float]) -> None:
    """Among 200 held-out images some have a distance of 0, or next to 0, to a training image."""
    normal = torch.from_numpy(np.random.default_rng(0).lognormal(np.log(0.1), 0.24, 200)).float()
    clean, mixed, new = Calibration(), Calibration(), torch.tensor([0.1, 0.2, 0.4])
    clean.fit(normal)
    mixed.fit(torch.cat([normal[len(duplicates) :], torch.tensor(duplicates)]))
    ratio = mixed.standardised(new)[1:] / clean.standardised(new)[1:]
    assert (ratio > 1 / 3).all() and (ratio < 1.1).all()
    by_others = mixed.standardised_by_others(mixed.normal_scores)
    assert by_others.isfinite().all()


def test_scores_of_either_sign_are_standardised_as_they_are() -> None:
    normal = torch.randn(200, generator=torch.Generator().manual_seed(0))
    calibration = Calibration()
    assert calibration.standardised(normal).isnan().all()
    calibration.fit(normal)
    expected = stats.zmap([-3.0, 0.0, 9.0], normal.numpy(), ddof=1)
    np.testing.assert_allclose(calibration.standardised(torch.tensor([-3.0, 0.0, 9.0])), expected, rtol=1e-4)


class Pixel(Score):
    """One pixel of the image."""

    reads = ("target",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def forward(self, output: Output) -> Tensor:
        """(B,) values."""
        return output.target.flatten(1)[:, self.number]


class Same(nn.Module):
    """A net without any."""

    def forward(self, x: Tensor) -> Output:
        """The image for everything."""
        return Output(code=x.flatten(1), reconstruction=x, target=x)


def test_a_detector_puts_standardised_scores_together() -> None:
    detector = Detector(Same(), {"first": Pixel(0), "second": Pixel(1), "both": Fusion(["first", "second"], "max")}, {})
    normal = torch.rand(2, 50, generator=torch.Generator().manual_seed(1))
    detector.calibration("first").fit(normal[0])
    detector.calibration("second").fit(normal[1])
    judged = detector(torch.tensor([[[[0.5, 0.9]]], [[[0.8, 0.1]]]]))["both"].score
    each = [detector.calibration(name).standardised(judged_by) for name, judged_by in
            (("first", torch.tensor([0.5, 0.8])), ("second", torch.tensor([0.9, 0.1])))]  # fmt: skip
    torch.testing.assert_close(judged, torch.maximum(*each))


def test_a_score_that_comes_later_is_named() -> None:
    with pytest.raises(UserError, match=r"model.scores.both is made of 'second', which must be listed before it"):
        Detector(Same(), {"first": Pixel(0), "both": Fusion(["first", "second"]), "second": Pixel(1)}, {})
    with pytest.raises(UserError, match="needs the names"):
        Fusion([])


def test_a_run_reports_the_fusion_and_a_test_of_its_checkpoint_repeats_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also a score that is called `code`, like a column of the collector."""
    words = ["--config", DEBUG, "--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs", "2"]
    words += ["--model.scores.code", "aeanomaly.scores.knn.KNN", "--model.scores.code.k", "3"]
    words += ["--model.scores.both", FUSED, "--model.scores.both.of", "[reconstruction,code]"]
    assert main(["fit", *words]) == 0
    run = tmp_path / "lightning_logs" / "version_0"
    before = (run / "test_scores.csv").read_text()
    columns = before.splitlines()[0].split(",")
    assert columns[3:] == ["reconstruction", "kmeans", "code", "both"]
    best = next((run / "checkpoints").glob("best*"))
    assert main(["test", *words, "--ckpt_path", str(best)]) == 0
    assert (tmp_path / "lightning_logs" / "version_1" / "test_scores.csv").read_text() == before
    table = np.genfromtxt(before.splitlines(), delimiter=",", names=True)
    state = torch.load(best, weights_only=True)["state_dict"]
    parts = []
    for name in ("reconstruction", "code"):
        normal = np.log(state[f"detector.calibrations.{name}.normal_scores"].numpy())
        parts.append((np.log(table[name]) - normal.mean()) / normal.std(ddof=1))
    above = np.sqrt(np.square(np.maximum(parts, 0)).sum(0))
    np.testing.assert_allclose(table["both"], np.where(above > 0, above, np.max(parts, 0)), rtol=1e-3, atol=1e-4)
    assert (table["both"] < 0).any()  # below the mean by both
    capsys.readouterr()
