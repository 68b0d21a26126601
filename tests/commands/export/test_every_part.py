"""Every net and every score of the package becomes a graph, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from aeanomaly.commands.export.check import check
from aeanomaly.commands.export.formats import open_onnx, save_onnx
from aeanomaly.commands.export.graph import Graph, memory_per_image, trace
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import FalseAlarmRate
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.outputs import Output
from aeanomaly.scores.base import Score
from aeanomaly.scores.estimator import Estimator
from aeanomaly.scores.knn import KNN
from aeanomaly.scores.patch_knn import PatchKNN
from tests.every_part import NETS, SHAPE, scores_of
from tests.scores.test_every_score import fitted, images

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="pip install 'aeanomaly[export]'")


def of_bytes(count: int, seed: int) -> Tensor:
    return (images(count, seed) * 255).round().to(torch.uint8)


@torch.no_grad()
def calibrated(name: str) -> Detector:
    detector = fitted(name)
    scores = {key: score for key, score in detector.score_modules.items() if not isinstance(score, Estimator)}
    judge = Detector(detector.net, scores, {"alarm10": FalseAlarmRate(0.1)}).eval()
    for key in scores:
        judge.calibrations[key] = detector.calibration(key)
    for key, judgement in judge(of_bytes(200, 0)).items():
        judge.calibration(key).fit(judgement.score)
    return judge


def one_of_each_field(detector: Detector) -> list[str]:
    """The scores that read something which none before them reads."""
    chosen, fields = [], set[str]()
    for name, score in detector.score_modules.items():
        if not fields.issuperset(score.reads):
            chosen.append(name)
            fields.update(score.reads)
    return chosen


# One of each kind: making a graph takes seconds.
KINDS = ["dense", "variational convolutional", "memory", "contrastive", "Untrained"]


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_nets_are_exported_with_every_score(name: str, tmp_path: Path) -> None:
    """All scores of one net, and of the others those that read each field: a score sees nothing else of a net."""
    detector = calibrated(name)
    chosen = None if name == "dense" else one_of_each_field(detector)
    assert chosen is None or len(chosen) >= 3
    graph, path = Graph(detector, chosen), tmp_path / "model.onnx"
    save_onnx(trace(graph, of_bytes(1, 1)), graph.output_names(), {}, path)
    assert max(check(open_onnx(path), detector, graph.names, of_bytes(15, 2))) < 1


def test_an_estimator_says_why_it_is_not() -> None:
    net = NETS["dense"]()
    scores = {name: scores_of(net)[name] for name in ("ReconstructionError", "Estimator")}
    with pytest.raises(UserError, match=r"sklearn.ensemble.IsolationForest is no graph.*: --scores Reconstruction"):
        Graph(Detector(net, scores, {}))


class Choosing(Score):
    """Does something else for a batch whose first code is high."""

    reads = ("code",)

    def forward(self, output: Output) -> Tensor:
        return output.code.sum(1) if output.code[0, 0] > 0 else output.code[:, 0]


def test_a_score_that_cannot_be_traced_is_named() -> None:
    detector = Detector(DenseAutoencoder(SHAPE, [6], 2), {"choosing": Choosing()}, {}).eval()
    with pytest.raises(UserError, match="score 'choosing' cannot be exported"):
        trace(Graph(detector), of_bytes(1, 1))


def test_the_memory_counts_the_places_of_each_image() -> None:
    score = PatchKNN("target", size=200)
    seen = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    score.fit(Output(seen, seen, seen))
    detector = Detector(DenseAutoencoder(SHAPE, [6], 2), {"patches": score}, {}).eval()
    detector.calibration("patches").fit(torch.rand(30))
    assert memory_per_image(trace(Graph(detector), of_bytes(1, 1))) == 9 * 10 * 200 * 4


def test_the_memory_counts_the_similarities_to_a_bank() -> None:
    score = KNN("target", metric="euclidean")
    score.bank, score.centre = torch.randn(5000, 180), torch.zeros(180)
    detector = Detector(DenseAutoencoder(SHAPE, [6], 2), {"knn": score}, {}).eval()
    detector.calibration("knn").fit(torch.rand(30))
    assert memory_per_image(trace(Graph(detector), of_bytes(1, 1))) == 5000 * 4


def test_more_than_a_file_of_onnx_can_hold_is_refused(tmp_path: Path) -> None:
    """Of a bank that takes no memory, because all its rows are the same one."""
    score = KNN("target", metric="euclidean")
    score.bank, score.centre = torch.zeros(1, 180).expand(3_100_000, -1), torch.zeros(180)
    detector = Detector(DenseAutoencoder(SHAPE, [6], 2), {"knn": score}, {}).eval()
    graph = Graph(detector)
    with pytest.raises(UserError, match=r"holds 2.1 GiB, and a file of ONNX at most 2: export with --format torch"):
        save_onnx(trace(graph, of_bytes(1, 1)), graph.output_names(), {}, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
