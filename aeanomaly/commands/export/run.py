"""The export itself: load, trace, write under another name, check, rename."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

import aeanomaly
from aeanomaly.commands.export import check, formats
from aeanomaly.commands.export.command import SUFFIXES
from aeanomaly.commands.export.graph import Graph, memory_per_image, trace
from aeanomaly.commands.export.images import images_of_run, random_images
from aeanomaly.errors import UserError
from aeanomaly.evaluation.detector import Detector
from aeanomaly.inference.anomaly_detector import AnomalyDetector
from aeanomaly.inference.restoring import restore
from aeanomaly.runs.files import written_whole
from aeanomaly.runs.finding import run_of_checkpoint

_CHECKED = 56  # images


def run_export(args: argparse.Namespace) -> None:
    """Export as the options of the command say, and print what came of it.

    Raises:
        UserError: see the command; nothing is written then.
    """
    checkpoint: Path = args.ckpt_path
    detector, shape, said = restore(checkpoint, args.allow_import)
    run = run_of_checkpoint(checkpoint)
    out: Path = args.out or (run or checkpoint.parent) / f"model{SUFFIXES[args.format]}"
    images, which = _images_to_check(run, shape, args.allow_import)
    if args.input == "float32":
        images = images / 255
    graph = Graph(detector, args.scores, _mapped(detector, shape) if args.maps else None)
    about = {
        "aeanomaly": aeanomaly.__version__,
        "images": {"type": args.input, "shape": list(images.shape[1:]), "fit": said.get("fit", "resize")},
        "thresholds": {name: detector.threshold_values(name) for name in graph.names},
    }
    memory, differences = _write(graph, detector, images, about, args.format, out)
    batches = " and ".join(map(str, check.BATCHES))
    with_what = "ONNX Runtime" if args.format == "onnx" else "torch"
    of_maps = f", places of maps by {differences.maps:.1g} of what --help allows them" if graph.maps else ""
    print(
        f"Written: {out} ({out.stat().st_size / 1e6:.1f} MB), which takes {args.input} images (B, "
        f"{', '.join(map(str, images.shape[1:]))}), and {memory / 1e6:.2g} MB of memory for each.\n"
        f"Outputs: {', '.join(graph.output_names())}.\n"
        f"Checked with {with_what} against {checkpoint.name} on {len(images)} {which}, in batches of {batches}: scores "
        f"differ by at most {differences.scores * check.TOLERANCE:.1g} of themselves plus a standard deviation of "
        f"normal ones{of_maps}."
    )


def _mapped(detector: Detector, shape: tuple[int, int, int]) -> list[str]:
    """The scores of a checkpoint that give a map.

    Raises:
        UserError: if none does.
    """
    whole = AnomalyDetector(detector, shape, device="cpu")
    try:
        whole.require_maps()
    except UserError as error:
        raise UserError(f"--maps: {error}") from None
    return whole.mapped


def _images_to_check(run: Path | None, shape: tuple[int, int, int], allow_import: Sequence[str]) -> tuple[Tensor, str]:
    """(N, C, H, W) uint8 images, and what they are."""
    try:
        images = images_of_run(run, _CHECKED, allow_import)
        if shape == tuple(images.shape[1:]):
            return images, "test images of its run"
        reason = f"those of its run are {list(images.shape[1:])}"
    except UserError as error:
        reason = str(error)
    return random_images(shape, _CHECKED), f"random images (test images cannot be had: {reason})"


def _write(
    graph: Graph, detector: Detector, images: Tensor, about: dict[str, Any], kind: str, out: Path
) -> tuple[int, check.Differences]:
    """Write the graph and check the file before it gets its name.

    Returns:
        Bytes for each image, and the largest differences.
    """
    program = trace(graph, images)
    save, read = {
        "onnx": (formats.save_onnx, formats.open_onnx),
        "torch": (formats.save_torch, formats.open_torch),
    }[kind]
    with written_whole(out) as partial:
        save(program, graph.output_names(), about, partial)
        differences = check.check(read(partial), detector, graph.names, images, graph.maps)
    return memory_per_image(program), differences
