"""The false alarms of scores that put others together, where few held-out images calibrate them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy
from scipy import stats
from torch import Tensor

from aeanomaly.evaluation.collector import Collector
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import Calibration, FalseAlarmRate
from aeanomaly.outputs import Batch
from aeanomaly.scores.fusion import Fusion
from tests.scores.test_fusion import Pixel, Same

PARTS = {f"part{number}": Pixel(number) for number in range(4)}


def fitted(held_out: Tensor) -> Detector:
    """A detector of four scores and their fusion, calibrated by (N, 1, 2, 2) images."""
    detector = Detector(Same(), {**PARTS, "fusion": Fusion(list(PARTS))}, {"alarm5": FalseAlarmRate(0.05)})
    collector, number = Collector(detector, fits=True), torch.arange(len(held_out))
    collector.add(
        Batch(held_out, number, torch.zeros_like(number, dtype=torch.bool), number), detector.output(held_out)
    )
    collector.evaluation(SingleDeviceStrategy("cpu"))
    return detector


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_mean_rate_is_at_most_what_is_promised(correlation: float) -> None:
    """Images measured by their own mean and deviation would give 8.2 and 5.3 % of 19 independent and alike scores."""
    draws, held_out, new = 500, 19, 400
    generator = np.random.default_rng(0)
    covariance = np.full((4, 4), correlation) + np.eye(4) * (1 - correlation)
    rates = []
    for _ in range(draws):
        images = generator.multivariate_normal(np.zeros(4), covariance, held_out + new).astype(np.float32)
        images = torch.from_numpy(images).view(-1, 1, 2, 2)
        detector = fitted(images[:held_out])
        rates.append(detector(images[held_out:])["fusion"].decision["alarm5"].float().mean().item())
    error = np.std(rates) / np.sqrt(draws)
    assert 0.02 < np.mean(rates) < 0.05 + 2 * error


def test_each_is_measured_by_all_others() -> None:
    normal = torch.rand(12, generator=torch.Generator().manual_seed(0)) + 0.1
    calibration = Calibration()
    calibration.fit(normal)
    values = np.log(normal.numpy())
    expected = [_measured(values, row) for row in range(12)]
    np.testing.assert_allclose(calibration.standardised_by_others(normal), expected, rtol=1e-4)


@pytest.mark.parametrize("normal", [[2.0, 3.0], [5.0, 5.0, 5.0], [0.0, 1e-30, 2e-30, 3e-30]])
def test_few_or_equal_scores_give_finite_values(normal: list[float]) -> None:
    calibration = Calibration()
    calibration.fit(torch.tensor(normal))
    assert calibration.standardised_by_others(torch.tensor(normal)).isfinite().all()


def test_a_fusion_is_calibrated_by_what_the_others_make_of_each_image() -> None:
    held_out = torch.rand(40, 1, 2, 2, generator=torch.Generator().manual_seed(0)) + 0.1
    columns = held_out.flatten(1).log().numpy().T
    alone = np.array([[_measured(values, row) for values in columns] for row in range(40)])
    above = np.sqrt((np.maximum(alone, 0) ** 2).sum(1))
    expected = np.sort(np.where(above > 0, above, alone.max(1)))
    assert expected[0] < 0  # below the mean by all four
    np.testing.assert_allclose(fitted(held_out).calibration("fusion").normal_scores, expected, rtol=1e-4, atol=1e-5)


def _measured(values: np.ndarray, row: int) -> float:
    return float(stats.zmap(values[row : row + 1], np.delete(values, row), ddof=1)[0])
