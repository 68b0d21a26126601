"""``export``: everything from pixels to decisions as one graph in a file, which needs nothing of this package."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from aeanomaly.commands.parser import CommandParser, names
from aeanomaly.errors import UserError
from aeanomaly.runs.finding import find_checkpoint

SUFFIXES = {"onnx": ".onnx", "torch": ".pt2"}
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")

_DESCRIPTION = """\
Write the detector of a checkpoint as one graph: front end, net, scores with what they were fitted to, calibration and
thresholds. It takes a batch of any number of images, (B, C, H, W), and gives for each score NAME

  NAME             (B,) float32, higher = more anomalous
  NAME.p_value     (B,) float32, how rare so high a score is among normal images
  NAME@THRESHOLD   (B,) bool, whether it lies above the threshold
  NAME.map         (B, H, W) float32, how anomalous each place is: with --maps, where the score gives a map

Before the file gets its name, it is opened and compared with the checkpoint on test images of the run, or on random
ones where these cannot be had, in batches of 1 and of 7: scores may differ by a thousandth of their value plus a
thousandth of the standard deviation of normal scores, p-values and decisions by what follows from that, each place of a
map by a hundredth of its value plus a twentieth of the standard deviation of all places.
"""

_EPILOG = """\
A graph scores a whole batch at once. How much memory that takes for each image is said when the file is written.

examples:
  python -m aeanomaly export --ckpt_path lightning_logs/version_0                     version_0/model.onnx
  python -m aeanomaly export --ckpt_path best.ckpt --scores fusion --out detector.onnx
  python -m aeanomaly export --ckpt_path lightning_logs/version_0 --format torch      for torch.export.load
  python -m aeanomaly export --ckpt_path lightning_logs/version_0 --scores fusion,patches --maps
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of ``export``. Its errors are raised as `UserError`."""
    parser = CommandParser("export", _DESCRIPTION, _EPILOG, "--ckpt_path RUN_OR_FILE [options]")
    add = parser.add_argument
    parser.add_checkpoint()
    add("--format", choices=tuple(SUFFIXES), default="onnx", help="ONNX, or torch.export (default: onnx)")
    add(
        "--out", type=Path, metavar="FILE", help="default: model.onnx or model.pt2 in the run, or beside the checkpoint"
    )
    add(
        "--scores",
        type=names,
        metavar="NAME[,NAME...]",
        help="the scores to give (default: all of the checkpoint)",
    )
    add(
        "--maps",
        action="store_true",
        help="also where images are anomalous: the map of each score of --scores that gives one, in the size of the "
        "images. A score made of others, such as a fusion, has none: name its parts too for theirs",
    )
    add(
        "--input",
        choices=("uint8", "float32"),
        default="uint8",
        help="what images are: uint8 from 0 to 255, or float32 from 0 to 1 (default: uint8)",
    )
    parser.add_allow_import()
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``export`` with the words after it.

    Returns:
        The exit status 0.

    Raises:
        UserError: for a mistake in the options, a checkpoint that cannot be used, a score that is no graph, a file that
            does not compute what the checkpoint does, or a file that cannot be written.
    """
    args = build_parser().parse_args(list(options))
    suffix = SUFFIXES[args.format]
    if args.out is not None and (args.out.suffix != suffix or args.out.is_dir()):
        raise UserError(f"export: --out must be a file that ends in {suffix}, got {str(args.out)!r}")
    missing = [name for name in _PACKAGES if args.format == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"export to ONNX needs {', '.join(missing)}: pip install 'aeanomaly[export]'")
    args.ckpt_path = find_checkpoint(args.ckpt_path)
    from aeanomaly.commands.export.run import run_export  # needs torch, which is heavy

    run_export(args)
    return 0
