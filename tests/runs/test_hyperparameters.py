"""The flat row of a run's configuration for TensorBoard's HParams."""

from __future__ import annotations

from typing import Any

import pytest

from aeanomaly.runs.hyperparameters import flatten_config


def config() -> dict[str, Any]:
    """Like a run's config.yaml, read back."""
    return {
        "seed_everything": 9,
        "trainer": {
            "max_epochs": 10,
            "precision": "32-true",
            "devices": "auto",
            "default_root_dir": "/somewhere",
            "callbacks": [{"class_path": "aeanomaly.callbacks.health.HealthCheck"}],
            "logger": None,
        },
        "model": {
            "net": {
                "class_path": "aeanomaly.models.dense.DenseAutoencoder",
                "init_args": {"image_shape": [1, 28, 28], "hidden": [500, 125], "code_size": 5, "bias": True},
            },
            "scores": [
                {"class_path": "aeanomaly.scores.reconstruction.ReconstructionError"},
                {"class_path": "aeanomaly.scores.kmeans.KMeans", "init_args": {"n_clusters": 9}},
            ],
            "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.005, "betas": [0.9, 0.999]}},
            "lr_scheduler": None,
        },
        "data": {
            "class_path": "aeanomaly.data.sources.mnist.MNIST",
            "init_args": {"data_dir": "data", "anomaly_classes": [0], "normal_classes": None, "val_fraction": 0.1},
        },
        "ckpt_path": None,
    }


def test_a_whole_configuration() -> None:
    assert flatten_config(config()) == {
        "seed": 9,
        "trainer.max_epochs": 10,
        "trainer.precision": "32-true",
        "trainer.devices": "auto",
        "model.net.class": "DenseAutoencoder",
        "model.net.image_shape": "1-28-28",
        "model.net.hidden": "500-125",
        "model.net.code_size": 5,
        "model.net.bias": "true",
        "model.scores.0.class": "ReconstructionError",
        "model.scores.1.class": "KMeans",
        "model.scores.1.n_clusters": 9,
        "model.optimizer.class": "Adam",
        "model.optimizer.lr": 0.005,
        "model.optimizer.betas": "0.9-0.999",
        "model.lr_scheduler": "none",
        "data.class": "MNIST",
        "data.anomaly_classes": "0",
        "data.normal_classes": "none",
        "data.val_fraction": 0.1,
    }


def test_values_have_the_types_that_tensorboard_compares() -> None:
    strange = config()
    strange["model"] |= {"a": [], "b": {}, "c": [None, True], "d": {"e": {"f": False}}, "g": [[1, 2], [3]], "h": "x"}
    for key, value in flatten_config(strange).items():
        assert type(value) in (int, float, str), key


@pytest.mark.parametrize("value", [True, False, None])
def test_switches_and_nothing_become_words(value: bool | None) -> None:
    flat = flatten_config({"model": {"switch": value}})
    assert flat["model.switch"] == {True: "true", False: "false", None: "none"}[value]


def test_two_runs_of_the_same_settings_have_the_same_row_wherever_they_ran() -> None:
    elsewhere = config()
    elsewhere["trainer"] |= {"default_root_dir": "/elsewhere", "callbacks": [], "enable_progress_bar": False}
    elsewhere["data"]["init_args"]["data_dir"] = "/elsewhere/data"
    elsewhere["ckpt_path"] = "last.ckpt"
    assert flatten_config(elsewhere) == flatten_config(config())


def test_objects_within_objects_keep_their_class() -> None:
    inner = {"class_path": "package.Inner", "init_args": {"size": 3}}
    outer = {"class_path": "package.module.Outer", "init_args": {"part": inner, "parts": [inner, "plain"]}}
    assert {k: v for k, v in flatten_config({"model": outer}).items() if k.startswith("model.")} == {
        "model.class": "Outer",
        "model.part.class": "Inner",
        "model.part.size": 3,
        "model.parts.0.class": "Inner",
        "model.parts.0.size": 3,
        "model.parts.1": "plain",
    }


@pytest.mark.parametrize("empty", [{}, {"trainer": None, "model": None, "data": None}])
def test_a_configuration_without_anything(empty: dict[str, Any]) -> None:
    assert flatten_config(empty) == {"seed": "none"}


def test_the_configuration_is_left_as_it_was() -> None:
    given = config()
    flatten_config(given)
    assert given == config()
