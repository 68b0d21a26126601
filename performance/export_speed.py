"""How large an exported graph is, and how fast it scores images beside the checkpoint that it was made of.

    python performance/export_speed.py --write docs/performance.md

trains each config for a few steps, because speed does not depend on what a net has learned, but with all its images in
the banks; exports the run as ONNX and as a program of torch; and has the same uint8 images judged in turn by the
checkpoint (`aeanomaly.load`), by ONNX Runtime and by torch, on equally many threads. To be quoted is the median of a
batch's milliseconds per image, and the median of the ratios within the rounds. About two minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from clocks import now
from fit_command import HERE
from markdown_section import Report, add_options

import aeanomaly
from aeanomaly.commands.export import formats
from aeanomaly.commands.export.command import SUFFIXES
from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_checkpoint

CONFIGS = HERE.parent / "configs"
HEADER = (
    "images at a time",
    "checkpoint ms/image",
    "ONNX ms/image",
    "torch ms/image",
    "ONNX / checkpoint",
    "torch / checkpoint",
)


def exported(run: Path, kind: str) -> Path:
    """The graph of a run, in this format."""
    if main(["export", "--ckpt_path", str(run), "--format", kind]):
        raise SystemExit(f"{run} was not exported")
    return run / f"model{SUFFIXES[kind]}"


def seconds(judge: Callable[[torch.Tensor], Any], images: torch.Tensor) -> float:
    """Of one call."""
    start = now()
    with torch.inference_mode():
        judge(images)
    return now() - start


def measured(run: Path, batches: list[int], rounds: int) -> tuple[str, list[list[str]]]:
    """A sentence on the sizes of the files, and a row for each batch size."""
    detector = aeanomaly.load(run, device="cpu")
    onnx, program = exported(run, "onnx"), exported(run, "torch")
    ways: list[Callable[[torch.Tensor], Any]] = [
        detector.judge,
        formats.open_onnx(onnx),
        formats.open_torch(program),
    ]
    rows = []
    for size in batches:
        images = torch.randint(0, 256, (size, *detector.image_shape), dtype=torch.uint8)
        for way in ways:
            way(images)  # the first call prepares
        taken = list(zip(*([seconds(way, images) for way in ways] for _ in range(rounds)), strict=True))
        milliseconds = [1000 * statistics.median(times) / size for times in taken]
        ratios = [statistics.median(a / b for a, b in zip(times, taken[0], strict=True)) for times in taken[1:]]
        rows.append([str(size), *(f"{value:.3g}" for value in milliseconds), *(f"{value:.2f}" for value in ratios)])
    sizes = {"checkpoint": find_checkpoint(run), "ONNX": onnx, "torch": program}
    return ", ".join(f"{name} {path.stat().st_size / 1e6:.1f} MB" for name, path in sizes.items()), rows


def measure(options: argparse.Namespace) -> None:
    """Print the tables."""
    report = Report("export_speed", f"{options.rounds} rounds")
    for name in options.configs:
        with tempfile.TemporaryDirectory() as root:
            words = ["--config", str(CONFIGS / name), "--trainer.max_steps", str(options.steps)]
            words += ["--trainer.check_val_every_n_epoch", "null", "--trainer.val_check_interval", str(options.steps)]
            words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
            words += ["--trainer.default_root_dir", root, *options.words]
            if main(["fit", *words]):
                raise SystemExit(f"{name} was not trained")
            about, rows = measured(Path(root, "lightning_logs", "version_0"), options.batches, options.rounds)
        report.sentence(f"configs/{name}: {about}.")
        report.table(HEADER, rows)
    report.publish(options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configs", nargs="+", default=["base.yaml", "best.yaml"], help="in configs/")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 64, 256], help="images at a time")
    parser.add_argument("--steps", type=int, default=20, help="trained")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("words", nargs="*", help="more options of fit, behind --")
    add_options(parser)
    measure(parser.parse_args())
