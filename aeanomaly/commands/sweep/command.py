"""``sweep``: search for the settings with the lowest loss on normal images."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from aeanomaly.commands.fit.early import refuse_early
from aeanomaly.commands.parser import CommandParser, count
from aeanomaly.commands.sweep.plan import read_plan
from aeanomaly.errors import UserError

_DESCRIPTION = """\
Search over settings with Optuna for the lowest val/loss, the loss on held-out normal images. That quantity is no
option: no anomaly has a part in the choice, and trials are not tested. Every trial is an ordinary fit in a folder of
its own; hopeless ones are stopped early.

The same command continues a sweep that was interrupted, or that shall get more trials.
"""

_EPILOG = """\
Any other option is one of `fit` and holds for every trial, such as --trainer.max_epochs 5.

In the folder of the sweep: trial_000/ and so on, each with log.txt and its run; study.db, which
`optuna-dashboard sqlite:///FOLDER/study.db` shows; best.yaml, a complete config for `fit`.

examples:
  python -m aeanomaly sweep --config configs/sweep/debug.yaml              under a minute, on the digits
  python -m aeanomaly sweep --config configs/sweep/dense.yaml              the study's net on MNIST
  python -m aeanomaly sweep --config configs/sweep/dense.yaml --trials 50  continues it up to 50 trials
  python -m aeanomaly fit --config lightning_logs/sweep_dense/best.yaml    what came out, tested
  python -m aeanomaly compare lightning_logs/sweep_dense --sort val/loss   every trial
"""


def build_parser() -> argparse.ArgumentParser:
    """The options of ``sweep``. Its errors are raised as `UserError`."""
    parser = CommandParser("sweep", _DESCRIPTION, _EPILOG, "--config FILE [options] [options of fit]")
    parser.add_argument(
        "--config", required=True, action="append", metavar="FILE", help="the sweep; see configs/sweep/"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: lightning_logs/sweep_<name of the study>")
    parser.add_argument("--trials", type=count, metavar="N", help="instead of the number in FILE")
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``sweep`` with the words after it.

    Returns:
        The exit status: 0, 130 after Ctrl-C, or 143 after SIGTERM. That some trials failed is a result.

    Raises:
        UserError: for a mistake in the file or the options, before the first trial; or if no trial could be completed.
    """
    args, extra = build_parser().parse_known_args(list(options))
    if len(args.config) > 1:
        raise UserError("sweep takes one --config; the config files of its trials are listed in it, under base")
    plan = read_plan(Path(args.config[0]), args.out, args.trials, extra)
    refuse_early(plan.words, ("trials", "out"), plan.space)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("sweep needs Optuna: pip install 'aeanomaly[sweep]'")
    from aeanomaly.commands.sweep.run import run_sweep  # needs the extra, and is heavy

    return run_sweep(plan)
