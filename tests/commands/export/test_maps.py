"""The maps of an exported graph against `Detector.explain`, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

import aeanomaly
from aeanomaly.commands.export.check import check
from aeanomaly.commands.export.formats import open_onnx, open_torch, save_onnx, save_torch
from aeanomaly.commands.export.graph import Graph, trace
from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.evaluation.thresholds import FalseAlarmRate
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.convolutional import ConvolutionalAutoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.feature_reconstruction import FeatureAutoencoder
from aeanomaly.models.oriented_gradients import OrientedGradients
from aeanomaly.outputs import Output
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.scores.base import Score
from aeanomaly.scores.fusion import Fusion
from aeanomaly.scores.patch_knn import PatchKNN
from aeanomaly.scores.reconstruction import ReconstructionError
from tests.commands.export.conftest import Scored
from tests.conftest import REPOSITORY
from tests.every_part import smooth_images
from tests.pages import blocks

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason="pip install 'aeanomaly[export]'")

SHAPE = (1, 12, 16)  # height and width must not be taken for each other


def images(count: int, seed: int) -> Tensor:
    return (smooth_images(count, seed, SHAPE) * 255).round().to(torch.uint8)


def of_where() -> PatchKNN:
    """The score that configs/scores/where.yaml adds, with fewer places."""
    config = yaml.safe_load((REPOSITORY / "configs" / "scores" / "where.yaml").read_text())
    return PatchKNN(**{**config["model"]["scores"]["patches"]["init_args"], "size": 100})


def front() -> OrientedGradients:
    return OrientedGradients(scales=[1], grid=6)


MADE: dict[str, Callable[[], tuple[Autoencoder, Score]]] = {
    "dense": lambda: (DenseAutoencoder(SHAPE, [6], 2), ReconstructionError()),
    "convolutional": lambda: (ConvolutionalAutoencoder(SHAPE, (4, 8), 3), ReconstructionError()),
    "patches": lambda: (FeatureAutoencoder(front(), None, (4, 4), 8, 3), of_where()),
}


@torch.no_grad()
def calibrated(net: Autoencoder, **scores: Score) -> Detector:
    detector = Detector(net, scores, {"alarm10": FalseAlarmRate(0.1)}).eval()
    output = detector.output(images(60, 0))
    for name, score in scores.items():
        if score.fitted_on:
            score.fit(output.only(score.reads))
        detector.calibration(name).fit(detector.score(name, output) if not score.reads_scores else torch.rand(60))
    return detector


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", MADE)
def test_maps_of_a_file_are_those_of_the_detector(name: str, tmp_path: Path) -> None:
    """In both formats, for batches of any size."""
    torch.manual_seed(0)
    net, score = MADE[name]()
    detector = calibrated(net, error=score)
    graph, new = Graph(detector, maps=["error"]), images(15, 1)
    program, names = trace(graph, images(1, 2)), graph.output_names()
    assert names == ["error", "error.p_value", "error@alarm10", "error.map"]
    save_onnx(program, names, {}, tmp_path / "model.onnx")
    save_torch(program, names, {}, tmp_path / "model.pt2")
    with torch.no_grad():
        expected = detector.explain(new)["error"]
    assert expected.std() > 0.001
    for judge in (open_onnx(tmp_path / "model.onnx"), open_torch(tmp_path / "model.pt2")):
        for rows in (slice(1), slice(2, 4), slice(15)):
            found = judge(new[rows])
            assert list(found) == names
            assert found["error.map"].dtype == torch.float32
            torch.testing.assert_close(found["error.map"], expected[rows], rtol=1e-4, atol=1e-5)
        assert max(check(judge, detector, graph.names, new, graph.maps)) < 1


def test_parts_of_a_fused_score_give_maps_only_if_they_are_exported() -> None:
    scores = {"one": ReconstructionError(), "other": ReconstructionError(), "fusion": Fusion(["one", "other"])}
    detector = calibrated(DenseAutoencoder(SHAPE, [6], 2), **scores)
    graph = Graph(detector, ["fusion", "other"], maps=["one", "other"]).eval()
    assert [name for name in graph.output_names() if name.endswith(".map")] == ["other.map"]
    assert list(graph(images(2, 0))) == graph.output_names()
    with pytest.raises(UserError, match=r"gives a map \(fusion\); .*: --scores fusion,one,other$"):
        Graph(detector, ["fusion"], maps=["one", "other"])


WRONG: dict[str, Callable[[Tensor], Tensor]] = {
    "one place": lambda maps: maps.index_put((torch.tensor(-1), torch.tensor(3), torch.tensor(4)), maps.max() * 1.2),
    "all a bit larger": lambda maps: maps * 1.1,
    "shifted": lambda maps: maps.roll(1, 2),
    "upside down": lambda maps: maps.flip(1),
    "of other images": lambda maps: maps.roll(1, 0),
    "no numbers": lambda maps: maps * torch.nan,
}


@pytest.fixture(scope="module")
def dense() -> Detector:
    torch.manual_seed(0)
    return calibrated(DenseAutoencoder(SHAPE, [6], 2), error=ReconstructionError())


def with_maps(detector: Detector, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], dict[str, Tensor]]:
    """What a file would give whose scores are right and whose maps are changed."""
    graph = Graph(detector, maps=["error"]).eval()
    return lambda batch: (found := graph(batch)) | {"error.map": change(found["error.map"])}


@pytest.mark.parametrize("change", WRONG)
def test_the_check_refuses_a_wrong_map(dense: Detector, change: str) -> None:
    new = images(15, 1)
    assert check(with_maps(dense, lambda maps: maps + 1e-6), dense, ["error"], new, ["error"]).maps > 0
    with pytest.raises(UserError, match=r"nothing was written: a place of error\.map of an image is \S+ by the file"):
        check(with_maps(dense, WRONG[change]), dense, ["error"], new, ["error"])


def test_the_check_refuses_a_map_of_another_shape_and_none(dense: Detector) -> None:
    with pytest.raises(UserError, match=r"it has no output 'error\.map' of 1 x 12 x 16 numbers"):
        check(with_maps(dense, lambda maps: maps.mT), dense, ["error"], images(3, 1), ["error"])
    with pytest.raises(UserError, match=r"it has no output 'error\.map'"):
        check(Graph(dense).eval(), dense, ["error"], images(3, 1), ["error"])


class ChoosingError(ReconstructionError):
    """Has a map that is another one for a batch whose first code is high."""

    reads = ("reconstruction", "target", "code")

    def map(self, output: Output) -> Tensor | None:
        places = super().map(output)
        return places if places is None or output.code[0, 0] > 0 else places * 2


class BesselError(ReconstructionError):
    """Has a map of what ONNX lacks."""

    def map(self, output: Output) -> Tensor:
        return torch.special.bessel_j0(output.target.sum(1))


def test_a_map_that_cannot_be_exported_is_named_and_its_score_can_be(tmp_path: Path) -> None:
    detector = calibrated(DenseAutoencoder(SHAPE, [6], 2), choosing=ChoosingError(), bessel=BesselError())
    with pytest.raises(UserError, match="the map of score 'choosing' cannot be exported"):
        trace(Graph(detector, maps=["choosing", "bessel"]), images(1, 1))
    trace(Graph(detector, ["choosing"]), images(1, 1))
    graph = Graph(detector, ["bessel"], maps=["choosing", "bessel"])
    with pytest.raises(UserError, match=r"ONNX cannot express the graph: .*bessel_j0") as error:
        save_onnx(trace(graph, images(1, 1)), graph.output_names(), {}, tmp_path / "model.onnx")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def export(*words: str) -> int:
    return main(["export", "--maps", *words])


def test_the_example_of_the_documentation_finds_the_place(
    run_dir: Path, scored: Scored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert export("--ckpt_path", str(run_dir), "--out", "model.onnx") == 0
    said = capsys.readouterr().out
    assert "reconstruction@fixed, reconstruction.map, kmeans," in said
    assert re.search(r"places of maps by \S+ of what --help allows them\.$", said)
    Image.fromarray(scored.images[3, 0]).save("photograph.png")
    scores, where = (block.code for block in blocks(REPOSITORY / "docs" / "export.md", "python"))
    monkeypatch.setattr("sys.argv", ["score.py", "photograph.png"])
    exec(scores + where, names := {})
    expected = aeanomaly.load(run_dir, device="cpu").explain(scored.images[3])["reconstruction"][0]
    assert names["places"] == pytest.approx(expected, rel=1e-3)
    assert expected[names["row"], names["column"]] == expected.max()


def test_a_graph_whose_map_differs_is_refused_and_nothing_is_written(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = ReconstructionError.map

    def tampered(self: ReconstructionError, output: Output) -> Tensor | None:
        places = right(self, output)
        return places if places is None or not torch.compiler.is_compiling() else places.mT

    monkeypatch.setattr(ReconstructionError, "map", tampered)
    words = ["--ckpt_path", str(run_dir), "--format", "torch", "--scores", "reconstruction"]
    assert export(*words, "--out", str(tmp_path / "detector.pt2")) == 2
    assert "nothing was written: a place of reconstruction.map of an image is" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_a_score_that_gives_a_map_it_is_refused(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--ckpt_path", str(run_dir), "--scores", "kmeans") == 2
    error = capsys.readouterr().err
    assert "--maps: none of the exported scores gives a map (kmeans)" in error
    assert "--scores kmeans,reconstruction" in error
    assert error.count("\n") == 1
    content = torch.load(find_checkpoint(run_dir), weights_only=True)
    del content["hyper_parameters"]["scores"]["reconstruction"]
    content["state_dict"] = {key: value for key, value in content["state_dict"].items() if "reconstruction" not in key}
    torch.save(content, tmp_path / "kmeans.ckpt")
    assert export("--ckpt_path", str(tmp_path / "kmeans.ckpt")) == 2
    error = capsys.readouterr().err
    assert "--maps: no score of the checkpoint gives a map (it has kmeans): train anew with a PatchKNN" in error
    assert error.count("\n") == 1
    assert [file.name for file in tmp_path.iterdir()] == ["kmeans.ckpt"]
