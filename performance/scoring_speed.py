"""Images scored per second by `test` and `predict`, against the forward pass alone and PyOD's decision_function.

    python performance/scoring_speed.py

The net of a short fit of configs/base.yaml scores the test images, and ten times as many, several rounds in turn:

- the forward pass alone, on float32 batches that lie ready, and with the batches gathered from uint8 images;
- `Trainer.test` and `Trainer.predict` on the objects that the command made, from the start of their pass until all
  scores are gathered: with nothing else, and with all callbacks of base.yaml (metrics, histograms, figures, codes);
  beside it the whole call;
- PyOD's decision_function on float32 rows, with its own batch size and with that of `test`.

A figure is the median over the rounds, a ratio the median of the ratios within the rounds. About two minutes on two CPU
cores.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import tempfile
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import fit_command
import lightning as L
import torch
from clocks import now
from markdown_section import Report, add_options
from pyod_loop import pyod_options
from torch import Tensor

from aeanomaly.commands.fit.options import complete_options
from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.commands.process_settings import command_process
from aeanomaly.data.table import ImageTable

FORWARD = "forward pass alone"
MOST = 1.2  # times the forward pass


class PassClock(L.Callback):
    """Seconds from the start of a test or prediction pass until all scores are gathered."""

    started = ended = 0.0

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.started = now()

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather, if no other callback did, and stop."""
        pl_module.evaluation()  # type: ignore[operator]
        self.ended = now()

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start."""
        self.started = now()

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gather, if no other callback did, and stop."""
        self.on_test_end(trainer, pl_module)


def objects_of_test(options: argparse.Namespace, root: str) -> AnomalyCLI:
    """Everything that `test` makes for the checkpoint of one epoch of base.yaml, after it has run once."""
    run = fit_command.run_fit([*fit_command.settings(options), "--trainer.max_epochs", "1"], root)
    words = ["--ckpt_path", str(run / "checkpoints" / "last.ckpt"), *fit_command.settings(options)]
    words += ["--trainer.default_root_dir", root, "--trainer.enable_progress_bar", "false"]
    return AnomalyCLI("test", complete_options("test", words))


def tiled(table: ImageTable, copies: int) -> ImageTable:
    """The same images several times."""
    images = table.images.repeat(copies, 1, 1, 1)
    return ImageTable(images, table.labels.repeat(copies), table.is_anomaly.repeat(copies))


def forward_alone(net: torch.nn.Module, batches: list[Tensor]) -> None:
    """Reconstruct batches that lie ready."""
    with torch.inference_mode():
        for batch in batches:
            net(batch)


def forward_gathered(net: torch.nn.Module, table: ImageTable, size: int, device: str) -> None:
    """Reconstruct batches that have yet to be taken from uint8 images."""
    with torch.inference_mode():
        for index in torch.arange(len(table)).split(size):
            net(table[index].image.to(device))


def seconds_of(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    start = now()
    call()
    return now() - start


class Ways:
    """All ways to score one table of images.

    Args:
        cli: the objects of `test`; only its callbacks and its test images are changed.
        table: the images.
        device: ``cpu`` or ``cuda``.
        detector: a fitted detector of PyOD, or None.
    """

    def __init__(self, cli: AnomalyCLI, table: ImageTable, device: str, detector: Any) -> None:
        self.cli, self.table, self.device, self.detector = cli, table, device, detector
        self.size: int = cli.datamodule.eval_batch_size
        self.rows = table.images.flatten(1).float() / 255
        self.ready = [batch.view(-1, *table.images.shape[1:]).to(device) for batch in self.rows.split(self.size)]
        self.callbacks = list(cli.trainer.callbacks)

    def verb(self, name: str, callbacks: list[L.Callback]) -> tuple[float, float]:
        """Seconds of the pass, and of the whole call, of `test` or `predict`."""
        trainer, clock = self.cli.trainer, PassClock()
        # Last, so that what the others do at the end of the pass is counted.
        trainer.callbacks[:] = [*callbacks, clock]
        self.cli.datamodule._tables["test"] = self.table
        quiet = {"verbose": False} if name == "test" else {"return_predictions": False}
        whole = seconds_of(lambda: getattr(trainer, name)(self.cli.model, datamodule=self.cli.datamodule, **quiet))
        return clock.ended - clock.started, whole

    def round(self) -> dict[str, float]:
        """Seconds of each way, once."""
        net = self.cli.model.net.eval().to(self.device)
        seconds = {FORWARD: seconds_of(lambda: forward_alone(net, self.ready))}
        gathered = seconds_of(lambda: forward_gathered(net, self.table, self.size, self.device))
        seconds["forward pass, gathered from uint8"] = gathered
        for verb in ("test", "predict"):
            for what, callbacks in (("scores only", []), ("all callbacks", self.callbacks)):
                inside, whole = self.verb(verb, callbacks)
                seconds[f"{verb}, {what}"] = inside
                seconds[f"{verb}, {what}, whole call"] = whole
        if self.detector is not None:
            rows = self.rows.numpy()
            seconds["PyOD, its batches of 64"] = seconds_of(lambda: self.detector.decision_function(rows))
            by_size = seconds_of(lambda: self.detector.decision_function(rows, batch_size=self.size))
            seconds[f"PyOD, batches of {self.size}"] = by_size
        return seconds


def fitted_pyod(cli: AnomalyCLI, device: str) -> Any:
    """PyOD's detector with the study's widths after a token fit, or None if it is not installed."""
    if importlib.util.find_spec("pyod") is None:
        return None
    from pyod.models.auto_encoder import AutoEncoder

    few = cli.datamodule._tables["test"].images[:640].flatten(1).float() / 255
    detector = AutoEncoder(**pyod_options(device), epoch_num=1)
    detector.fit(few.numpy())  # older releases return nothing
    return detector


def show(report: Report, rounds: list[dict[str, float]], images: int) -> None:
    """The table of one number of images."""
    rows = []
    for way in rounds[0]:
        ratio = statistics.median(seconds[way] / seconds[FORWARD] for seconds in rounds)
        median = statistics.median(seconds[way] for seconds in rounds)
        rows.append([way, f"{median:.3f}", f"{images / median:,.0f}", f"{ratio:.2f}"])
    report.table([f"{images:,} images", "seconds", "images per second", "/ forward"], rows)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=10, help="of the test images in the larger set")
    fit_command.add_options(parser)
    add_options(parser)
    options = parser.parse_args()
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    report = Report("scoring_speed", f"{options.rounds} rounds; target: at most {MOST} x the forward pass alone")
    # What the commands say is of no interest here; what they set for their process is.
    with tempfile.TemporaryDirectory() as root, redirect_stdout(StringIO()):
        cli = objects_of_test(options, root)
        detector = fitted_pyod(cli, options.device)
        table = cli.datamodule._tables["test"]
        for images in (table, tiled(table, options.copies)):
            ways = Ways(cli, images, options.device, detector)
            with command_process(["test"]):
                ways.round()  # not counted: it starts threads and compiles PyOD's distance
                rounds = [ways.round() for _ in range(options.rounds)]
            show(report, rounds, len(images))
            cli.trainer.callbacks[:] = ways.callbacks
    if detector is None:
        report.sentence("PyOD is not installed (`pip install -e '.[performance]'`), so its rows are missing.")
    report.publish(options)


if __name__ == "__main__":
    main()
