"""``predict``: score pictures with a checkpoint; without ``--images`` it is the Trainer's verb, for the test images."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from aeanomaly.commands.fit import command as fit
from aeanomaly.commands.fit.threads import wait_passively
from aeanomaly.commands.interruption import sigterm_interrupts
from aeanomaly.commands.parser import CommandParser, count
from aeanomaly.commands.predict.listing import Listing
from aeanomaly.errors import UserError
from aeanomaly.runs.files import refuse_special_file
from aeanomaly.runs.finding import find_checkpoint

_DESCRIPTION = """\
Score pictures with a checkpoint, which is all that is needed: it holds net, scores and calibration. They are brought to
the size and channels that it was trained on. A row for each picture: path, and for each score its value, its p-value
(how rare so high a score is among normal images) and whether it lies above each threshold.
"""

_EPILOG = """\
The file is written under another name and gets its own when it is complete. What an interrupted or failed command has
scored is kept beside it, in FILE.partial-*; the same command with --resume goes on from there. Pictures that were
changed meanwhile are scored anew, and those that are gone have no row.

In a CSV, a path that a spreadsheet would take for a formula (it begins with = + - @) stands after an apostrophe.

examples:
  python -m aeanomaly predict --ckpt_path lightning_logs/version_0 --images pictures/
  python -m aeanomaly predict --ckpt_path best.ckpt --images 'pictures/*/*.png' --out scores.parquet
  python -m aeanomaly predict --ckpt_path best.ckpt --images images.npy --threshold alarm5 --on-error skip
  python -m aeanomaly predict --ckpt_path lightning_logs/version_0 --images pictures/ --heatmaps heatmaps

Without --images, the images of the test split are scored, by the options of `fit` and the others; scores and decisions
go into predictions.csv of a run.
"""

# Options that tell of pictures: without one of them the command is the Trainer's verb.
_OWN = {
    *("--images", "--out", "--heatmaps", "--resume", "--on-error"),
    *("--score", "--threshold", "--false-discovery-rate", "--drift"),
}


def build_parser() -> argparse.ArgumentParser:
    """The options of ``predict --images``. Its errors are raised as `UserError`."""
    parser = CommandParser("predict", _DESCRIPTION, _EPILOG, "--ckpt_path RUN_OR_FILE --images WHAT [options]")
    add = parser.add_argument
    parser.add_checkpoint()
    add(
        "--images",
        nargs="+",
        required=True,
        metavar="WHAT",
        help="a folder with whatever lies below it, files, patterns such as 'a/*.png', or one array in a .npy file: "
        "(N, H, W) or (N, C, H, W), uint8, or floating-point from 0 to 1",
    )
    add("--out", type=Path, default=Path("scores.csv"), metavar="FILE", help=".csv or .parquet (default: scores.csv)")
    add(
        "--heatmaps",
        type=Path,
        metavar="DIR",
        help="draw where each picture is anomalous, into DIR: a/07.jpg becomes a/07.jpg.SCORE.png, for each score that "
        "gives a map. Where nothing is more unusual than in normal pictures there is no colour",
    )
    add(
        "--score",
        metavar="NAME",
        help="take this one for the main score, which the next three options are about (default: the last that is made "
        "of others, such as a fusion, or else the first)",
    )
    add(
        "--threshold",
        metavar="NAME|VALUE",
        help="decide by this threshold of the checkpoint, or by a value for its main score, or by SCORE=VALUE "
        "(default: every threshold of the checkpoint)",
    )
    add(
        "--false-discovery-rate",
        type=_share,
        metavar="Q",
        help="add a column with the discoveries of the main score: of those flagged among all pictures of this "
        "command, at most this share is normal in expectation (Benjamini and Hochberg)",
    )
    add(
        "--drift",
        action="store_true",
        help="warn if the main score of the pictures does not look as it did for held-out normal ones "
        "(Kolmogorov-Smirnov); many anomalies among them look the same as a change of camera or light",
    )
    add("--batch", type=count, metavar="N", help="pictures that are scored at a time (default: by their size)")
    add("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: a GPU if there is one)")
    add("--resume", action="store_true", help="go on with what an interrupted command has left")
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a picture that cannot be read: stop, or skip it and say so (default: stop)",
    )
    parser.add_allow_import()
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``predict`` with the words after it.

    Returns:
        The exit status 0, whatever the scores say.

    Raises:
        UserError: for a mistake in the options, a checkpoint that cannot be used, a picture that cannot be read, or a
            file that cannot be written, or that another process is about to write.
        KeyboardInterrupt: after Ctrl-C; after SIGTERM, its kind `Terminated`.
    """
    parser = build_parser()
    given = {word.partition("=")[0] for word in options}
    if given & {"-h", "--help"}:
        print(parser.format_help(), flush=True)
    for name in sorted(given - _OWN):
        if name.startswith("--") and (near := get_close_matches(name, _OWN, 1, 0.8)):
            raise UserError(f"predict: there is no option {name}; did you mean {near[0]!r}?")
    if given & {"-h", "--help"} or not given & _OWN:
        return fit.main("predict", options)
    args = parser.parse_args(list(options))
    if args.out.suffix not in (".csv", ".parquet"):
        raise UserError(f"predict: --out must end in .csv or .parquet, got {str(args.out)!r}")
    if args.out.suffix == ".parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UserError(
            "predict: a .parquet file needs pyarrow: pip install 'aeanomaly[parquet]'; or give --out a .csv file"
        )
    refuse_special_file(args.out)
    if args.out.is_dir():
        raise UserError(f"predict: --out {args.out} is a folder; give it a file")
    checkpoint, listing = find_checkpoint(args.ckpt_path), Listing(args.images)
    if args.heatmaps is not None and listing.walks_through(args.heatmaps):
        raise UserError(
            f"predict: --heatmaps {args.heatmaps} lies in a folder of --images, where what is drawn would be scored; "
            "name one outside"
        )
    wait_passively()  # before torch is imported
    with sigterm_interrupts():
        from aeanomaly.commands.predict.run import predict

        predict(checkpoint, listing, args)
    return 0


def _share(text: str) -> float:
    try:
        if 0 < float(text) < 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
