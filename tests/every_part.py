"""Every net and every score of the package, made small. What is added to the package is found by itself."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

import aeanomaly.models
import aeanomaly.scores
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.contrastive import ContrastiveAutoencoder
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.corruptions import GaussianNoise
from aeanomaly.models.denoising import DenoisingAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.memory import MemoryAutoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.models.variational import VariationalAutoencoder
from aeanomaly.models.views import Gain, Geometry, Strokes
from aeanomaly.scores.base import Score
from aeanomaly.scores.estimator import Estimator
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.gmm import GaussianMixture
from aeanomaly.scores.kmeans import KMeans
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.patch_knn import PatchKNN

SHAPE = (2, 9, 10)


def dense(code_size: int = 8) -> DenseAutoencoder:
    return DenseAutoencoder(SHAPE, (40, 20), code_size)


def convolutional(code_size: int | None = 8, residual_blocks: int = 0, batch_norm: bool = True) -> Autoencoder:
    return ConvolutionalAutoencoder(SHAPE, (8, 16), code_size, residual_blocks, batch_norm)


def variational() -> Autoencoder:
    return VariationalAutoencoder(dense(20), 8, likelihood="gaussian", deviation=0.1)


def features(*views: nn.Module) -> Autoencoder:
    return FeatureAutoencoder(OrientedGradients(scales=[1], grid=6), views, (8, 8), 32, 8)


def contrastive(*views: nn.Module) -> Autoencoder:
    front = OrientedGradients(scales=[1], grid=6)
    return ContrastiveAutoencoder(front, views, (8, 8), 32, 8, reconstruction=1.0)


def classes_of(package: ModuleType, base: type) -> list[Any]:
    """The classes of a package, at any depth, of which there can be instances."""
    found = []
    for file in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for name, kind in vars(importlib.import_module(file.name)).items():
            own = isinstance(kind, type) and issubclass(kind, base) and kind.__module__ == file.name
            if own and not inspect.isabstract(kind) and not name.startswith("_"):
                found.append(kind)
    return found


def _made(kind: type, table: str) -> Any:
    """An instance of a class that no table lists, from its defaults."""
    given = {"image_shape": SHAPE, "net": dense()}
    parameters = dict(list(inspect.signature(kind.__init__).parameters.items())[1:])
    needed = [name for name, p in parameters.items() if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    missing = sorted({*needed} - {*given})
    assert not missing, f"{kind.__name__} cannot be made without {missing}: add one to {table} in tests/every_part.py"
    return kind(**{name: value for name, value in given.items() if name in parameters})


NETS: dict[str, Callable[[], Autoencoder]] = {
    "dense": dense,
    "convolutional": convolutional,
    "residual": lambda: convolutional(None, 1),
    "without batch norm": lambda: convolutional(8, 1, False),
    "variational": variational,
    "variational convolutional": lambda: VariationalAutoencoder(convolutional(None), 8, activation=nn.ReLU),
    "denoising": lambda: DenoisingAutoencoder(dense(), GaussianNoise(0.1)),
    "denoising variational": lambda: DenoisingAutoencoder(variational(), GaussianNoise(0.1)),
    "memory": lambda: MemoryAutoencoder(dense(), 50),
    "memory convolutional": lambda: MemoryAutoencoder(convolutional(None), 50),
    "features": features,
    "features of views": lambda: features(Gain(0.1)),
    "contrastive": lambda: contrastive(Gain(0.1)),
    "contrastive of best.yaml's views": lambda: contrastive(Geometry(), Strokes()),
}
_listed = {type(make()) for make in NETS.values()}
NETS |= {
    kind.__name__: partial(_made, kind, "NETS")
    for kind in classes_of(aeanomaly.models, Autoencoder)
    if kind not in _listed
}
_RANDOM_KINDS = ("variational", "denoising", "contrastive", "views")
RANDOM = {name for name in NETS if any(kind in name for kind in _RANDOM_KINDS)}  # in training

# By the name of the class with its defaults, which read the code; then others. Those made of others come last.
SCORES: dict[str, Callable[[], Score]] = {
    kind.__name__: partial(_made, kind, "SCORES")
    for kind in classes_of(aeanomaly.scores, Score)
    if kind not in (Estimator, Fusion)
}
SCORES |= {
    "Estimator": lambda: Estimator("sklearn.ensemble.IsolationForest", {"n_estimators": 20, "random_state": 1}),
    # Fewer components of a breadth that the few images of a test can tell.
    "GaussianMixture": lambda: GaussianMixture(3, reg_covar=1e-3),
    "PatchKNN": lambda: PatchKNN("target", size=200),
    "cosine": lambda: KMeans(metric="cosine"),
    "coreset": lambda: KNN("target", bank="coreset", metric="euclidean", size=20),
    "centres": lambda: KNN("features.layer2", bank="kmeans", size=20),
    "scaled": lambda: KNN(local=0.5),
    "fused": lambda: Fusion(["ReconstructionError", "KMeans", "KNN"]),
}


def scores_of(net: Autoencoder) -> dict[str, Score]:
    """Fresh instances of all scores that read nothing but what the net offers."""
    training = net.training
    with torch.no_grad():
        offered = net.eval()(smooth_images(2, shape=net.image_shape or SHAPE)).tensors()
    net.train(training)
    scores = {name: make() for name, make in SCORES.items()}

    def known(field: str) -> bool:
        return field.removeprefix("again.") in offered or field.removeprefix("scores.") in scores

    return {name: score for name, score in scores.items() if all(map(known, score.reads))}


def smooth_images(count: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    """(count, *shape) in [0, 1]."""
    coarse = torch.rand(count, shape[0], 3, 3, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, shape[1:], mode="bilinear")
