"""The scripts in performance/ run from start to end on a few images; what they measure there means nothing."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from lightning import seed_everything
from torch.utils.flop_counter import FlopCounterMode

import aeanomaly.models
import aeanomaly.scores
from aeanomaly.commands.main import main
from aeanomaly.models.base import Autoencoder
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.models.untrained import Untrained
from aeanomaly.outputs import Batch
from aeanomaly.scores.base import Score
from tests.conftest import REPOSITORY
from tests.every_part import classes_of
from tests.performance.scripts import BENCHMARKS, cells, load
from tests.processes import run_script

pytestmark = pytest.mark.slow
PAGE = REPOSITORY / "docs" / "performance.md"


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs a script and returns what it prints."""

    def run(script: str, *options: str) -> str:
        ended = run_script(BENCHMARKS / script, options, tmp_path)
        assert ended.status == 0, ended.said
        return ended.said

    return run


@pytest.fixture
def shown(run: Callable[..., str], mnist_dir: Path) -> Callable[..., str]:
    """As `run`, for scripts that train on digits of MNIST."""
    few = ["--subset", "640", "--data-dir", str(mnist_dir), "--device", "cpu"]
    return lambda script, *options: run(script, *few, *options)


def test_train_speed(shown: Callable[..., str], tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text())
    rows = ["plain", "best", "fit", "lightning"]
    text = shown("train_speed.py", "--rounds", "1", "--epochs", "1", "--write", str(page), "--only", *rows)
    for label in ("a: the study's plain loop", "c: usual Lightning, self.log in each step"):
        assert float(cells(text, label)[0]) > 0
    for label in ("d: fit, training", "d: fit, whole epoch"):
        assert all(float(ratio) > 0 for ratio in cells(text, label)[3:6])
    assert cells(text, "b: the best plain loop")[4] == "1.00"
    assert cells(text, "d: fit, training / b")[1] == "1.08"
    old, new = PAGE.read_text(), page.read_text()
    section = new.partition("<!-- begin train_speed -->")[2].partition("<!-- end train_speed -->")[0]
    assert "| b: the best plain loop |" in section
    assert old.partition("<!-- end train_speed -->")[2] == new.partition("<!-- end train_speed -->")[2]


def test_whole_command(shown: Callable[..., str]) -> None:
    text = shown("whole_command.py", "--epochs", "1", "--seeds", "1", "--variant", "fast=configs/devices/cpu.yaml")
    assert cells(text, "the study's script")[2] == "1.00"
    assert all(0 < float(cells(text, row)[-1]) <= 1 for row in ("the study's script", "fit, base.yaml", "fit, fast"))
    assert cells(text, "fast / the study's script")[1] == "0.40"


def test_scoring_speed(shown: Callable[..., str]) -> None:
    text = shown("scoring_speed.py", "--rounds", "1", "--copies", "2")
    assert "640 images" in text
    assert "1,280 images" in text
    ways = re.findall(r"^(?:forward|test|predict|PyOD).*  (\d+\.\d\d)$", text, flags=re.MULTILINE)
    assert len(ways) == 2 * (10 if importlib.util.find_spec("pyod") is None else 12)


def test_nets_and_scores(shown: Callable[..., str]) -> None:
    few = ["--rounds", "1", "--seconds", "0", "--large", "300", "1000", "16"]
    text = shown("nets_and_scores.py", *few, "--only", "base", "convolutional", "density", "rapp")
    assert "steps of 256 images, scores of 640 fitted on 5" in text  # less the anomalies and a tenth for validation
    training, forward, ratio, share = (float(cell.replace(",", "")) for cell in cells(text, "base"))
    assert ratio == pytest.approx(forward / training, abs=0.01)
    assert share == pytest.approx(ratio / 3, abs=0.01)
    assert "base, float32" not in text  # dense: it has no layout
    assert cells(text, "convolutional, float32, contiguous")[1] == "1.00"
    assert float(cells(text, "convolutional, float32, channels_last")[1]) > 0
    assert re.search(r"^density: density +KernelDensity .* product with 5\d\d x 5 ", text, flags=re.MULTILINE)
    assert re.search(r"^rapp: nap +NAP .* forward pass ", text, flags=re.MULTILINE)
    assert text.count("reconstruction  ") == 1  # that of rapp.yaml is that of base.yaml
    assert cells(text, "KNN, 300 x 1,000 x 16")[-1] in ("yes", "no")


def test_every_net_and_score_of_the_package_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    configured = load("configured", monkeypatch)
    nets = {type(module.net) for _, module in configured.nets(None)}
    assert nets == {*classes_of(aeanomaly.models, Autoencoder)} - {Untrained}
    scores = [score for _, _, new in configured.scores(None) for score in new.values()]
    assert {type(score) for score in scores} == {*classes_of(aeanomaly.scores, Score)}


def test_memory_beside_what_is_there_already(monkeypatch: pytest.MonkeyPatch) -> None:
    table = load("scores_table", monkeypatch)
    assert table.peak_beside(lambda: torch.ones(25, 1_000_000), "cpu") == pytest.approx(100, abs=10)
    assert table.peak_beside(lambda: None, "cpu") < 10


def test_time_spent(shown: Callable[..., str]) -> None:
    text = shown("time_spent.py", "--epochs", "1")
    table = [line.split() for line in text.splitlines() if re.search(r"(\d+\.\d+ +){2}\d+\.\d$", line)]
    *parts, total = [[float(cell) for cell in row[-3:]] for row in table]
    for column in range(3):  # every owner is rounded on its own
        assert total[column] == pytest.approx(sum(part[column] for part in parts), abs=0.06 * len(parts))
    assert all(float(cells(text, owner)[0]) > 0 for owner in ("training steps", "FitScores", "ModelCheckpoint"))


def test_operations_of_a_step_are_those_that_torch_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    limit, net = load("limit", monkeypatch), load("study_net", monkeypatch).study_net()
    images = torch.rand(2, 784)
    with FlopCounterMode(display=False) as forward:
        loss = torch.nn.functional.mse_loss(net(images), images)
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    assert limit.forward_operations() == forward.get_total_flops() / 2
    assert limit.step_operations() == (forward.get_total_flops() + backward.get_total_flops()) / 2


@pytest.mark.parametrize(("in_hardware", "names"), [(True, ["float32", "bf16"]), (False, ["float32"])])
def test_the_limit_leaves_out_what_the_processor_would_emulate(
    in_hardware: bool, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """2048x2048 products in emulated bfloat16 take minutes."""
    monkeypatch.setattr("aeanomaly.training.precision.cpu_has_bfloat16", lambda: in_hardware)
    assert load("limit", monkeypatch).precisions("cpu") == names


def test_best_plain_loop_ends_with_the_weights_of_fit(
    mnist_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    contestants, few = load("contestants", monkeypatch), load("few_mnist", monkeypatch)
    words = ["fit", "--config", str(REPOSITORY / "configs" / "base.yaml"), "--data", "few_mnist.FewMNIST"]
    words += ["--data.images", "640", "--data.data_dir", str(mnist_dir), "--data.split_seed", "9"]
    words += ["--trainer.accelerator", "cpu", "--trainer.devices", "1", "--trainer.max_epochs", "2"]
    assert main([*words, "--trainer.default_root_dir", str(tmp_path)]) == 0
    last = tmp_path / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt"
    fitted = torch.load(last, weights_only=True)["state_dict"]

    data = few.FewMNIST(640, anomaly_classes=[0], data_dir=str(mnist_dir), split_seed=9)
    data.prepare_data()
    data.setup()
    loader = data.train_dataloader()
    images = loader.dataset.images.flatten(1)
    torch.set_flush_denormal(True)
    try:
        seed_everything(9)
        first = DenseAutoencoder((1, 28, 28)).state_dict()
        net = contestants.study_net()
        net.load_state_dict(dict(zip(net.state_dict(), first.values(), strict=True)))
        optimizer = torch.optim.Adam(net.parameters(), lr=0.005, fused=True)
        for epoch in range(2):
            loader.sampler.set_epoch(epoch)
            contestants.best_epoch(net, optimizer, images, torch.cat(list(loader.sampler)))
    finally:
        torch.set_flush_denormal(False)
    for name, weight in zip(first, net.state_dict().values(), strict=True):
        assert torch.equal(weight, fitted[f"detector.net.{name}"]), name


def test_result_without_a_section_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- begin other -->\n<!-- end other -->\n")
    with pytest.raises(SystemExit, match="begin startup"):
        load("markdown_section", monkeypatch).write_section(page, "startup", "new")
    assert page.read_text() == "<!-- begin other -->\n<!-- end other -->\n"


def test_busy_machine(run: Callable[..., str]) -> None:
    text = run("busy_machine.py", "--rounds", "1", "--epochs", "1", "--threads", "1")
    assert cells(text, "alone")[1] == "1.00"
    assert float(cells(text, "beside 1 busy threads")[1]) > 0


@pytest.mark.filterwarnings("error:You defined")
def test_step_profile_trains_on_what_its_generator_yields(monkeypatch: pytest.MonkeyPatch) -> None:
    step_profile, taken = load("step_profile", monkeypatch), 0

    def batches() -> Iterator[Batch]:
        nonlocal taken
        for number in range(3):
            index = torch.arange(8) + 8 * number
            yield Batch(torch.rand(8, 1, 28, 28), torch.zeros(8, dtype=torch.int64), index < 0, index)
            taken += 1  # the next batch is asked for: the step on this one is over

    step_profile.train(torch.nn.Tanh, step_profile.Quickest("cpu"), batches)
    assert taken == 3


def test_pictures(run: Callable[..., str]) -> None:
    few = ["--count", "480", "--sizes", "16", "--rounds", "1", "--predict", "base.yaml", "--predict-size", "16"]
    text = run("pictures.py", *few)
    seconds = {way: float(cells(text, way)[1]) for way in ("first start, to 16x16", "later start")}
    assert seconds["later start"] < seconds["first start, to 16x16"]
    assert float(cells(text, "predict, base.yaml at 16x16")[1]) > 0


def test_compare_speed(run: Callable[..., str]) -> None:
    text = run("compare_speed.py", "--runs", "20", "--cells", "10", "--repeats", "1")
    assert all(float(cells(text, command)[-1]) > 0 for command in ("compare --csv", "benchmark --dry-run"))


def test_soak(run: Callable[..., str]) -> None:
    assert cells(run("soak.py", "--minutes", "0", "--epochs", "1"), "last")[0] == "2"


def test_export_speed(run: Callable[..., str], tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    page = tmp_path / "page.md"
    page.write_text("<!-- begin export_speed -->\n<!-- end export_speed -->\n")
    small = ["--configs", "debug.yaml", "--batches", "2", "--steps", "5", "--rounds", "1"]
    checkpoint, onnx, program, first, second = map(
        float, cells(run("export_speed.py", *small, "--write", str(page)), "2")
    )
    assert first == pytest.approx(onnx / checkpoint, rel=0.1, abs=0.02)
    assert second == pytest.approx(program / checkpoint, rel=0.1, abs=0.02)
    assert "configs/debug.yaml: checkpoint 0.1 MB, ONNX 0." in page.read_text()
