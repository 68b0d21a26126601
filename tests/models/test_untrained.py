"""The net of the baselines: images and fixed features as they are, and the baselines by the command."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM
from torch import Tensor, nn

from aeanomaly.data.sources.digits import Digits
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.untrained import Untrained
from aeanomaly.training.description import describe
from tests.conftest import REPOSITORY

# The baselines that scikit-learn has, too, and the name of the score of each.
SCORE_OF = {
    "pca": "pca",
    "isolation_forest": "isolation_forest",
    "one_class_svm": "ocsvm",
    "pixel_knn": "knn",
    "gradients_knn": "knn",
}


def images(count: int = 8) -> Tensor:
    return torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_scores_see_images_and_features_as_they_are() -> None:
    front = OrientedGradients(grid=3)
    output = Untrained([1, 8, 8], front)(images())
    assert torch.equal(output.target, images())
    assert torch.equal(output.tensors()["features.front"], front(images()))
    assert torch.allclose(output.code[:, 0], images()[:, 0, :2, :2].mean((1, 2)))
    assert output.code.shape == (8, 16)
    assert Untrained([1, 8, 8])(images()).features == {}


def test_the_mean_image_is_all_that_is_learned() -> None:
    net = Untrained([1, 8, 8], nn.Conv2d(1, 2, 3))
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 0.01)
    for _ in range(300):
        optimizer.zero_grad()
        net.training_loss(images())[0]["reconstruction"].backward()
        optimizer.step()
    assert [name for name, p in net.named_parameters() if p.requires_grad] == ["mean"]
    assert torch.allclose(net(images()).reconstruction[3], images().mean(0), atol=0.01)


def test_a_checkpoint_can_describe_it() -> None:
    described = describe(Untrained([1, 8, 8], OrientedGradients(grid=3)))
    assert described["init_args"]["front"]["init_args"] == {"grid": 3}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", list(SCORE_OF))
def test_a_baseline_of_the_command_is_that_of_scikit_learn(name: str, fit: Callable[..., Path]) -> None:
    run = fit("--config", str(REPOSITORY / "configs" / "baselines" / f"{name}.yaml"), "--trainer.max_epochs", "1")
    data = Digits(anomaly_classes=[0], batch_size=32, split_seed=9)
    data.setup("fit")
    data.setup("test")
    seen = np.concatenate([batch.image.flatten(1).numpy() for batch in data.train_in_order_dataloader()])
    tested = np.concatenate([batch.image.flatten(1).numpy() for batch in data.test_dataloader()])
    if name == "pca":
        estimator = PCA(0.9).fit(seen)
        expected = ((tested - estimator.inverse_transform(estimator.transform(tested))) ** 2).sum(1)
    elif name == "pixel_knn":
        expected = NearestNeighbors(n_neighbors=5).fit(seen).kneighbors(tested)[0].mean(1)
    elif name == "gradients_knn":
        front = OrientedGradients()
        rows = [front(torch.from_numpy(part).view(-1, 1, 8, 8)).flatten(1).numpy() for part in (seen, tested)]
        expected = NearestNeighbors(n_neighbors=5, metric="cosine").fit(rows[0]).kneighbors(rows[1])[0].mean(1)
    elif name == "one_class_svm":
        expected = -OneClassSVM(nu=0.1, gamma="scale").fit(seen).decision_function(tested)
    else:
        expected = -IsolationForest(random_state=9).fit(seen).decision_function(tested)
    with (run / "test_scores.csv").open() as stream:
        found = [float(row[SCORE_OF[name]]) for row in csv.DictReader(stream)]
    assert found == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-4)
    assert json.loads((run / "metrics.json").read_text())[f"test/auroc/{SCORE_OF[name]}"] > (
        0.6 if name == "one_class_svm" else 0.7
    )
