"""Distance to the clusters of normal codes."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score


class KMeans(Score):
    """Squared Euclidean distance of the code to the nearest of K cluster centres of normal validation codes.

    One cluster per normal digit class was the study's idea; it found the score weak, because normal codes are not
    round clusters and anomalies may fall among them.

    Args:
        n_clusters: K, capped by the number of codes.
        random_state: seed of scikit-learn's KMeans.
        n_init: number of starts, the best of which is kept.

    Raises:
        UserError: if ``n_clusters`` or ``n_init`` is not positive.
    """

    fitted_on = "validation"
    reads = ("code",)
    centres: Tensor
    counts: Tensor

    def __init__(self, n_clusters: int = 9, random_state: int = 9, n_init: int = 10) -> None:
        super().__init__()
        if n_clusters < 1 or n_init < 1:
            raise UserError(f"model.scores: KMeans needs {n_clusters=} and {n_init=} of at least 1")
        self.n_clusters, self.random_state, self.n_init = n_clusters, random_state, n_init
        self.register_buffer("centres", torch.empty(0))  # (K, D)
        self.register_buffer("counts", torch.empty(0))  # (K,) validation codes in each cluster

    def fit(self, outputs: Output) -> None:
        """Cluster the (N, D) codes.

        Raises:
            UserError: if there is no code, or one is not finite.
        """
        from sklearn.cluster import KMeans as SklearnKMeans
        from sklearn.exceptions import ConvergenceWarning

        code = outputs.code.flatten(1).cpu()
        if not len(code):
            raise UserError("kmeans cannot be fitted: there is no normal validation image")
        if not torch.isfinite(code).all():
            raise UserError(
                "kmeans cannot be fitted: codes are not finite (training diverged? lower the learning rate)"
            )
        k = min(self.n_clusters, len(code))
        estimator = SklearnKMeans(k, random_state=self.random_state, n_init=self.n_init)
        with warnings.catch_warnings():
            # Fewer distinct codes than clusters: `problems` reports it by name, once the counts are known.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(code.numpy())
        device = self.centres.device
        self.centres = torch.from_numpy(estimator.cluster_centers_).float().to(device)
        self.counts = torch.bincount(torch.from_numpy(estimator.labels_).long(), minlength=k).float().to(device)

    def forward(self, output: Output) -> Tensor:
        """(B,) squared distances."""
        # Differences rather than the expanded square: exact for codes far from the origin, and K and D are small.
        return (output.code.flatten(1).unsqueeze(1) - self.centres).square().sum(2).amin(1)

    def problems(self) -> list[str]:
        """Names empty clusters."""
        empty = (self.counts == 0).nonzero().flatten().tolist()
        return [f"{len(empty)} of {len(self.counts)} clusters are empty {empty}"] if empty else []
