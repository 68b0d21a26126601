"""Nets and scores as the files in configs/ describe them, ready to be measured, without a run."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from few_mnist import FewMNIST
from fit_command import BASE
from lightning.pytorch.cli import LightningCLI
from torch import Tensor

from aeanomaly.commands.fit.image_shape import fill_image_shape
from aeanomaly.commands.process_settings import command_process
from aeanomaly.data.base import OneClassDataModule
from aeanomaly.evaluation.detector import Detector
from aeanomaly.outputs import Output
from aeanomaly.runs.files import read_config
from aeanomaly.scores.base import Score
from aeanomaly.training.module import LitAutoencoder

CONFIGS = BASE.parent
BEST = CONFIGS / "best.yaml"
ON_BEST = ("where",)  # fragments that are stacked on best.yaml


class ForMNIST(LightningCLI):
    """Builds nets for images of MNIST, without the images."""

    def before_instantiate_classes(self) -> None:
        """Say it to those that would ask the data."""
        fill_image_shape(self.config, (1, 28, 28))


def module_of(path: Path) -> LitAutoencoder:
    """The module of base.yaml, best.yaml or a fragment on one of them, with its first weights, in evaluation mode."""
    configs = [path] if path in (BASE, BEST) else [BEST if path.stem in ON_BEST else BASE, path]
    words = [word for config in configs for word in ("--config", str(config))]
    with command_process([*words, "--trainer.logger", "false", "--trainer.accelerator", "cpu"]):
        cli = ForMNIST(
            LitAutoencoder,
            OneClassDataModule,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            save_config_callback=None,
            run=False,
        )
    module: LitAutoencoder = cli.model.eval()
    return module


def chosen(folders: list[str], only: list[str] | None) -> list[Path]:
    """base.yaml, best.yaml and the fragments of these folders, as far as `--only` names them."""
    fragments = [path for folder in folders for path in sorted((CONFIGS / folder).glob("*.yaml"))]
    return [path for path in (BASE, BEST, *fragments) if only is None or path.stem in only]


def nets(only: list[str] | None) -> Iterator[tuple[str, LitAutoencoder]]:
    """The net of every config that has one of its own, with the optimiser beside it."""
    for path in chosen(["nets"], only):
        yield path.stem, module_of(path)


def scores(only: list[str] | None) -> Iterator[tuple[str, Detector, dict[str, Score]]]:
    """The scores of every config that no config before it has, by name, with the net that they judge.

    PyOD's detectors are left out: each trains a net of its own.
    """
    known = set()
    for path in chosen(["scores", "nets", "baselines"], only):
        if path.stem.startswith("pyod") or "scores" not in read_config(path)["model"]:
            continue
        detector = module_of(path).detector
        new = {}
        for name, score in detector.score_modules.items():
            kind = (type(score), str(score.arguments))
            if kind not in known:
                known.add(kind)
                new[name] = score
        if new:
            yield path.stem, detector, new


def images(options: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """(N, 1, 28, 28) normal training images and test images of MNIST, float32 in [0, 1] on the device."""
    data = FewMNIST(options.subset, anomaly_classes=[0], data_dir=options.data_dir, split_seed=9)
    data.prepare_data()
    data.setup()
    tables = [loader.dataset for loader in (data.train_in_order_dataloader(), data.test_dataloader())]
    normal, test = (table.gather(torch.arange(len(table))).image.to(options.device) for table in tables)
    return normal, test


def outputs_of(detector: Detector, batches: Tensor, fields: set[str]) -> Output:
    """What scores read of the outputs for (N, C, H, W) images, 2048 of them at a time."""
    with torch.inference_mode():
        pieces = [detector.complete(detector.net(piece)).only(fields).tensors() for piece in batches.split(2048)]
    return Output.from_tensors({field: torch.cat([piece[field] for piece in pieces]) for field in fields})
