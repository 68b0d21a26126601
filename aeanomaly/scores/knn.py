"""Distance to the nearest normal images, in whatever space a net offers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from aeanomaly.errors import UserError
from aeanomaly.outputs import Output
from aeanomaly.scores.vector import VectorScore, checked_seed

_BLOCK = 64  # columns of the bank whose best is looked for first


class KNN(VectorScore):
    """Mean distance to the k nearest of a bank of normal training images.

    The bank is the training images themselves (Angiulli and Pizzuti, 2002, who add the distances up), or a part of them
    that stands for all: a random part, the centres of KMeans, or a core set in which every image is near a chosen one
    (greedy k-centre, Sener and Savarese, 2018; used by PatchCore, Roth et al., 2022).

    Where some kinds of normal images lie closer together than others, an anomaly among the former may be nearer to its
    neighbours than a normal image among the latter. With ``local`` above 0, each distance is divided by a power of the
    neighbour's scale, which is its own mean distance to its k nearest in the bank. With 1 these are ratios of
    distances, as in the local outlier factor (Breunig et al., 2000); with 0.5 the division is that of local scaling
    (Zelnik-Manor and Perona, 2004), which takes the root of the scales of both images, by one of them.

    Args:
        field: which field of the output is compared, such as ``code``, ``target`` or ``features.layer2``.
        k: neighbours; capped by the size of the bank.
        metric: ``cosine`` (1 - cosine) or ``euclidean``.
        bank: ``all``, ``random``, ``kmeans`` or ``coreset``.
        size: images or centres in a bank that is a part; capped by the number of training images.
        random_state: seed of that choice.
        local: power of the neighbour's scale that divides its distance, from 0 (distances as they are) to 1. Above 0,
            fitting looks for the neighbours of each image of the bank.

    Raises:
        UserError: if ``k`` or ``size`` is below 1, ``local`` is not from 0 to 1, or ``field`` is no output field.
    """

    fitted_on = "train"
    chunk = 256  # rows of similarities to a bank of 54,000 take 55 MB
    bank: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(
        self,
        field: str = "code",
        k: int = 5,
        metric: Literal["cosine", "euclidean"] = "cosine",
        bank: Literal["all", "random", "kmeans", "coreset"] = "all",
        size: int = 1000,
        random_state: int = 0,
        local: float = 0.0,
    ) -> None:
        super().__init__(field)
        if k < 1 or size < 1:
            raise UserError(f"model.scores: KNN needs {k=} and {size=} of at least 1")
        if not 0 <= local <= 1:
            raise UserError(f"model.scores: KNN needs {local=} from 0 to 1")
        self.k, self.metric, self.kind, self.size, self.local = k, metric, bank, size, local
        self.random_state = checked_seed("KNN", random_state)
        self.register_buffer("bank", torch.empty(0))  # (M, D), of length 1 each if the metric is cosine
        self.register_buffer("centre", torch.empty(0))  # (D,) mean of the bank, for precision; zero for cosine
        if local:
            self.register_buffer("scale", torch.empty(0))  # (M,) what divides a distance to each of the bank

    def fit(self, outputs: Output) -> None:
        """Keep the (N, D) rows of the field, or what stands for them.

        Raises:
            UserError: if there is none, or one is not finite.
        """
        device = self.bank.device
        rows = self._scaled(self.normal_vectors(outputs))
        if self.kind != "all" and self.size < len(rows):
            rows = self._chosen(rows)
        centre = rows.mean(0) if self.metric == "euclidean" else torch.zeros_like(rows[0])
        self.centre, self.bank = centre.to(device), (rows - centre).to(device)
        if self.local:
            self.scale = self._scales().pow(self.local)

    def forward(self, output: Output) -> Tensor:
        """(B,) mean distances."""
        distances, nearest = self._neighbours(self._scaled(self.vectors(output)) - self.centre, self.k)
        return (distances / self.scale[nearest] if self.local else distances).mean(1)

    def _neighbours(self, rows: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """(B, k) distances of the (B, D) rows to the nearest of the bank, and their positions there."""
        nearest = _nearest(rows, self.bank, min(k, len(self.bank)), by_length=self.metric == "euclidean")
        # Anew from the neighbours themselves: the expanded square loses digits to cancellation.
        differences = (rows.unsqueeze(1) - self.bank[nearest]).square().sum(2)  # 2 (1 - cosine) at length 1
        return (differences / 2 if self.metric == "cosine" else differences.sqrt()), nearest

    def _scales(self) -> Tensor:
        """(M,) mean distances of the images in the bank to their k nearest others there.

        No scale is below a hundredth of the mean one: an image that is there many times would be at 0, and everything
        near it infinitely far. All are 1 where all images are the same.
        """
        # Each finds itself, too, which adds 0.
        sums = torch.cat([self._neighbours(rows, self.k + 1)[0].sum(1) for rows in self.bank.split(self.chunk)])
        scales = sums / max(1, min(self.k, len(self.bank) - 1))
        mean = scales.mean()
        return torch.where(mean > 0, scales.clamp_min(mean / 100), torch.ones_like(scales))

    def _scaled(self, rows: Tensor) -> Tensor:
        return functional.normalize(rows, dim=1) if self.metric == "cosine" else rows

    def _chosen(self, rows: Tensor) -> Tensor:
        """(size, D) rows that stand for the (N, D) given."""
        generator = torch.Generator().manual_seed(self.random_state)
        if self.kind == "random":
            chosen = torch.randperm(len(rows), generator=generator)[: self.size]
            return rows[chosen.sort().values]
        if self.kind == "coreset":
            return rows[_farthest_first(rows, self.size, int(torch.randint(len(rows), (1,), generator=generator)))]
        from sklearn.cluster import MiniBatchKMeans

        estimator = MiniBatchKMeans(self.size, random_state=self.random_state, batch_size=4096, n_init=1)
        centres = torch.from_numpy(estimator.fit(rows.numpy()).cluster_centers_)
        return functional.normalize(centres, dim=1) if self.metric == "cosine" else centres


def _nearest(rows: Tensor, bank: Tensor, k: int, by_length: bool) -> Tensor:
    """(B, k) positions in the (M, D) bank of what is nearest to the (B, D) rows.

    The k largest similarities lie in the k blocks of columns with the largest maxima. Looking there only takes a
    fraction of the time of a search among all columns, which takes longer than the matrix product itself.
    """
    similarity = rows @ bank.T
    if by_length:
        similarity -= bank.square().sum(1) / 2
    whole = len(bank) // _BLOCK * _BLOCK
    if whole // _BLOCK <= k:
        return similarity.topk(k, dim=1).indices
    best = similarity[:, :whole].unflatten(1, (-1, _BLOCK)).amax(2).topk(k, dim=1).indices
    columns = (best.unsqueeze(2) * _BLOCK + torch.arange(_BLOCK, device=rows.device)).flatten(1)
    rest = torch.arange(whole, len(bank), device=rows.device).expand(rows.shape[0], -1)
    columns = torch.cat([columns, rest], dim=1)
    return columns.gather(1, similarity.gather(1, columns).topk(k, dim=1).indices)


def _farthest_first(rows: Tensor, size: int, first: int) -> Tensor:
    """(size,) positions, each the one farthest from all before it."""
    chosen = torch.empty(size, dtype=torch.long, device=rows.device)
    distance = torch.full((len(rows),), torch.inf, device=rows.device)
    position = torch.tensor(first, device=rows.device)
    for number in range(size):
        chosen[number] = position
        distance = torch.minimum(distance, (rows - rows[position]).square().sum(1))
        position = distance.argmax()
    return chosen
