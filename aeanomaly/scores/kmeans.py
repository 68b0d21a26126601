"""Distance to the clusters of normal codes."""

from __future__ import annotations

import warnings
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import NUMBERS_AT_ONCE, VectorScore, checked_seed, in_pieces


class KMeans(VectorScore):
    """Squared Euclidean distance of the code to the nearest of K cluster centres of normal validation codes.

    One cluster per normal digit class was the study's idea; it found the score weak, because normal codes are not
    round clusters and anomalies may fall among them.

    Args:
        n_clusters: K, capped by the number of codes.
        random_state: seed of scikit-learn's KMeans.
        n_init: number of starts, the best of which is kept.
        metric: ``euclidean``, or ``cosine`` for codes scaled to length 1, whose score is 1 - cosine to the nearest
            centre.
        field: output field that is clustered, such as ``code`` or ``features.layer2``.

    Raises:
        UserError: if ``n_clusters`` or ``n_init`` is not positive, ``random_state`` is no seed, or ``field`` no output
            field.
    """

    fitted_on = "validation"
    centres: Tensor
    counts: Tensor

    def __init__(
        self,
        n_clusters: int = 9,
        random_state: int = 9,
        n_init: int = 10,
        metric: Literal["euclidean", "cosine"] = "euclidean",
        field: str = "code",
    ) -> None:
        super().__init__(field)
        if n_clusters < 1 or n_init < 1:
            raise UserError(f"model.scores: KMeans needs {n_clusters=} and {n_init=} of at least 1")
        self.n_clusters, self.n_init, self.metric = n_clusters, n_init, metric
        self.random_state = checked_seed("KMeans", random_state)
        self.register_buffer("centres", torch.empty(0))  # (K, D)
        self.register_buffer("counts", torch.empty(0))  # (K,) validation codes in each cluster

    def fit(self, outputs: Output) -> None:
        """Cluster the (N, D) codes.

        Raises:
            UserError: if there is no code, or one is not finite.
        """
        from sklearn.cluster import KMeans as SklearnKMeans
        from sklearn.exceptions import ConvergenceWarning

        code = self.normal_vectors(outputs)
        if self.metric == "cosine":
            code = functional.normalize(code)
        k = min(self.n_clusters, len(code))
        estimator = SklearnKMeans(k, random_state=self.random_state, n_init=self.n_init)
        with warnings.catch_warnings():
            # Fewer distinct codes than clusters: `problems` reports it by name, once the counts are known.
            warnings.simplefilter("ignore", ConvergenceWarning)
            estimator.fit(code.numpy())
        device = self.centres.device
        self.centres = torch.from_numpy(estimator.cluster_centers_).float().to(device)
        if self.metric == "cosine":
            self.centres = functional.normalize(self.centres)
        self.counts = torch.bincount(torch.from_numpy(estimator.labels_).long(), minlength=k).float().to(device)

    def forward(self, output: Output) -> Tensor:
        """(B,) squared Euclidean or cosine distances."""
        code = self.vectors(output)
        if self.metric == "cosine":
            return (1 - (functional.normalize(code) @ self.centres.T).amax(1)).clamp_(min=0)
        # Differences rather than the expanded square: exact for codes far from the origin, and K and D are small. Where
        # they are not, such as for a layer with places, in pieces.
        pieces = in_pieces(code, NUMBERS_AT_ONCE // self.centres.numel())
        return torch.cat([(piece.unsqueeze(1) - self.centres).square().sum(2).amin(1) for piece in pieces])

    def problems(self) -> list[str]:
        """Names empty clusters."""
        empty = (self.counts == 0).nonzero().flatten().tolist()
        return [f"{len(empty)} of {len(self.counts)} clusters are empty {empty}"] if empty else []
