"""A fit through the command line leaves behind what the design promises."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from sklearn.metrics import average_precision_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.training.module import LitAutoencoder
from tests.conftest import REPOSITORY


def read_scores(run: Path) -> dict[str, np.ndarray]:
    with (run / "test_scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


@pytest.fixture(scope="module")
def events(run_dir: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run_dir), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    accumulator.Reload()
    return accumulator


def test_directory_has_the_promised_files(run_dir: Path) -> None:
    assert {"config.yaml", "metrics.json", "test_scores.csv", "checkpoints", "figures"} <= {
        path.name for path in run_dir.iterdir()
    }
    assert len(list(run_dir.glob("events.out.tfevents.*"))) == 1
    assert (run_dir / "checkpoints" / "last.ckpt").is_file()
    assert len(list((run_dir / "checkpoints").glob("best-*.ckpt"))) == 1


def test_metrics_can_be_recomputed_from_test_scores(run_dir: Path, metrics: dict[str, Any]) -> None:
    scores = read_scores(run_dir)
    truth = scores["is_anomaly"]
    for name in ("reconstruction", "kmeans"):
        assert metrics[f"test/auroc/{name}"] == pytest.approx(roc_auc_score(truth, scores[name]), abs=1e-6)
        assert metrics[f"test/aupr/{name}"] == pytest.approx(average_precision_score(truth, scores[name]), abs=1e-6)
    for threshold, value in (("fixed", 3.0), ("alarm5", metrics["threshold/reconstruction@alarm5"])):
        flagged = scores["reconstruction"] > value
        accuracies = [metrics[f"test/{kind}_accuracy/reconstruction@{threshold}"] for kind in ("normal", "anomaly")]
        assert accuracies == pytest.approx([1 - flagged[truth == 0].mean(), flagged[truth == 1].mean()])
    assert "test/normal_accuracy/kmeans@fixed" not in metrics


def test_scores_have_every_test_image_once(run_dir: Path, metrics: dict[str, Any]) -> None:
    scores = read_scores(run_dir)
    assert scores["index"].tolist() == list(range(360))
    assert (scores["is_anomaly"] == (scores["class"] == 0)).all()
    assert (metrics["test_normal"], metrics["test_anomaly"]) == (324, 36)


def test_record_says_how_the_figures_came_about(metrics: dict[str, Any]) -> None:
    assert metrics["seed"] == 9
    assert metrics["data_source"] == "Digits"
    assert (metrics["accelerator"], metrics["devices"], metrics["precision"]) == ("cpu", 1, "32-true")
    assert metrics["version_torch"] == torch.__version__
    assert metrics["fit_seconds"] > 0
    assert metrics["test_seconds"] > 0
    assert metrics["train_images_per_second"] > 0
    assert metrics["train_images"] + metrics["val_normal"] + metrics["val_anomaly"] == 1437


def test_all_tags_are_logged(events: EventAccumulator) -> None:
    tags = events.Tags()
    for stage in ("val", "test"):
        for score in ("reconstruction", "kmeans"):
            expected = {f"{stage}/{metric}/{score}" for metric in ("auroc", "aupr", "fpr95")}
            expected |= {f"{stage}/{kind}_accuracy/{score}@alarm5" for kind in ("normal", "anomaly")}
            assert expected <= set(tags["scalars"])
            assert {f"{stage}/{score}/normal", f"{stage}/{score}/anomaly"} <= set(tags["histograms"])
            assert f"{stage}/{score}/pr" in tags["tensors"]
            assert f"test/{score}/density" in tags["images"]
    assert {"train/loss", "val/loss", "val/anomaly_accuracy/reconstruction@fixed"} <= set(tags["scalars"])
    assert "test/reconstructions" in tags["images"]
    assert "hp_metric" not in tags["scalars"]
    assert len(events.Scalars("val/loss")) == 2


def test_hparams_row_is_flat_and_imposes_no_columns_on_other_runs(events: EventAccumulator) -> None:
    metadata = events.summary_metadata
    start = plugin_data_pb2.HParamsPluginData.FromString(
        metadata["_hparams_/session_start_info"].plugin_data.content
    ).session_start_info
    assert start.hparams["model.net.code_size"].number_value == 5
    assert start.hparams["data.anomaly_classes"].string_value == "0"
    assert "_hparams_/session_end_info" in metadata
    # TensorBoard would apply it to all runs: tests/test_browser.py sees that they have their columns without it.
    assert "_hparams_/experiment" not in metadata


def test_saved_config_repeats_the_run_bit_for_bit(run_dir: Path, tmp_path: Path) -> None:
    words = ["fit", "--config", str(run_dir / "config.yaml"), "--trainer.default_root_dir", str(tmp_path)]
    assert main(words) == 0
    again = tmp_path / "lightning_logs" / "version_0"
    assert (again / "test_scores.csv").read_text() == (run_dir / "test_scores.csv").read_text()
    first, second = (yaml.safe_load((run / "config.yaml").read_text()) for run in (run_dir, again))
    for config in (first, second):
        config["trainer"].pop("default_root_dir")
    assert first == second


def test_another_seed_gives_another_run(fit: Callable[..., Path], run_dir: Path) -> None:
    other = fit("--seed_everything", "10")
    assert (other / "test_scores.csv").read_text() != (run_dir / "test_scores.csv").read_text()


def test_checkpoint_is_plain_data_and_describes_its_model(run_dir: Path) -> None:
    checkpoint = next((run_dir / "checkpoints").glob("best-*.ckpt"))
    torch.load(checkpoint, weights_only=True)
    module = LitAutoencoder.load_from_checkpoint(checkpoint, weights_only=True)
    assert module.detector.score_modules["kmeans"].centres.shape == (9, 5)
    assert {name: set(module.detector.threshold_values(name)) for name in ("reconstruction", "kmeans")} == {
        "reconstruction": {"alarm5", "fixed"},
        "kmeans": {"alarm5"},
    }


def test_testing_a_checkpoint_gives_the_same_scores(run_dir: Path, tmp_path: Path) -> None:
    checkpoint = next((run_dir / "checkpoints").glob("best-*.ckpt"))
    assert main(["test", "--ckpt_path", str(checkpoint), "--trainer.default_root_dir", str(tmp_path)]) == 0
    again = tmp_path / "lightning_logs" / "version_0" / "test_scores.csv"
    assert again.read_text() == (run_dir / "test_scores.csv").read_text()


def test_predict_writes_scores_and_decisions(run_dir: Path, tmp_path: Path, metrics: dict[str, Any]) -> None:
    checkpoint = next((run_dir / "checkpoints").glob("best-*.ckpt"))
    assert main(["predict", "--ckpt_path", str(checkpoint), "--trainer.default_root_dir", str(tmp_path)]) == 0
    with (tmp_path / "lightning_logs" / "version_0" / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 360
    assert "is_anomaly" not in rows[0]
    for row in rows:
        above = float(row["reconstruction"]) > metrics["threshold/reconstruction@alarm5"]
        assert row["reconstruction@alarm5"] == str(int(above))


def test_validate_repeats_the_figures_of_the_fit(run_dir: Path, tmp_path: Path, metrics: dict[str, Any]) -> None:
    checkpoint = next((run_dir / "checkpoints").glob("best-*.ckpt"))
    assert main(["validate", "--ckpt_path", str(checkpoint), "--trainer.default_root_dir", str(tmp_path)]) == 0
    again = yaml.safe_load((tmp_path / "lightning_logs" / "version_0" / "metrics.json").read_text())
    for name in ("val/loss", "val/auroc/reconstruction", "val/auroc/kmeans", "val/normal_accuracy/kmeans@alarm5"):
        assert again[name] == pytest.approx(metrics[name], abs=1e-6)


def test_without_logger_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = str(REPOSITORY / "configs" / "debug.yaml")
    words = ["fit", "--config", config, "--trainer.logger", "false", "--trainer.enable_checkpointing", "false"]
    words += ["--trainer.max_epochs", "1", "--trainer.callbacks", "[]"]
    words += ["--model.scores", "{reconstruction: aeanomaly.scores.reconstruction.ReconstructionError}"]
    assert main(words) == 0
    assert list(tmp_path.iterdir()) == []


def test_two_scores_of_one_kind_and_options_of_each_by_name(fit: Callable[..., Path]) -> None:
    words = ["--model.scores.kmeans.n_clusters", "4", "--model.scores.second", "aeanomaly.scores.kmeans.KMeans"]
    run = fit(*words, "--model.scores.second.n_clusters", "2", "--model.thresholds.fixed.value", "4")
    state = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert len(state["detector.scores.kmeans.centres"]) == 4
    assert len(state["detector.scores.second.centres"]) == 2
    metrics = yaml.safe_load((run / "metrics.json").read_text())
    assert metrics["threshold/reconstruction@fixed"] == 4
    assert {"test/auroc/kmeans", "test/auroc/second", "test/auroc/reconstruction"} <= metrics.keys()


def test_a_threshold_can_be_changed_when_a_checkpoint_is_tested(run_dir: Path, tmp_path: Path) -> None:
    last = str(run_dir / "checkpoints" / "last.ckpt")
    words = ["test", "--ckpt_path", last, "--trainer.default_root_dir", str(tmp_path)]
    assert main([*words, "--model.thresholds.fixed.value", "5", "--model.thresholds.alarm5.alpha", "0.2"]) == 0
    tested = tmp_path / "lightning_logs" / "version_0"
    assert find_checkpoint(tested).samefile(last)
    metrics = yaml.safe_load((tested / "metrics.json").read_text())
    assert metrics["threshold/reconstruction@fixed"] == 5
    assert 0.7 < metrics["test/normal_accuracy/reconstruction@alarm5"] < 0.9


def test_val_figures_are_those_of_the_tested_checkpoint(run_dir: Path, metrics: dict[str, Any]) -> None:
    best = torch.load(next((run_dir / "checkpoints").glob("best-*.ckpt")), weights_only=True)
    assert best["val_metrics"]
    for name, value in best["val_metrics"].items():
        assert metrics[name] == value
    assert metrics["checkpoint"] == f"checkpoints/{next((run_dir / 'checkpoints').glob('best-*.ckpt')).name}"


def test_scores_fitted_at_the_end_are_in_the_tested_checkpoint(fit: Callable[..., Path]) -> None:
    end = "{class_path: aeanomaly.callbacks.FitScores, init_args: {when: end}}"
    best = "{class_path: lightning.pytorch.callbacks.ModelCheckpoint, init_args: {monitor: val/loss}}"
    run = fit("--trainer.callbacks", f"[{end}, {best}]")
    (best,) = (run / "checkpoints").glob("*.ckpt")
    content = torch.load(best, weights_only=True)
    assert content["state_dict"]["detector.scores.kmeans.centres"].shape == (9, 5)
    metrics = yaml.safe_load((run / "metrics.json").read_text())
    assert metrics["val/auroc/kmeans"] == content["val_metrics"]["val/auroc/kmeans"]
    assert all(name.startswith("val/") for name in content["val_metrics"])
    assert "test/normal_accuracy/kmeans@alarm5" in metrics


def test_no_thread_outlives_a_fit(fit: Callable[..., Path]) -> None:
    fit("--trainer.max_epochs", "1")  # whatever starts once for the process
    before = threading.active_count()
    fit("--trainer.max_epochs", "1")
    assert threading.active_count() == before
