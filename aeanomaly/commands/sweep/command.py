"""``sweep``: search for the settings with the lowest loss on normal images."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from aeanomaly.commands.parser import CommandParser
from aeanomaly.commands.sweep.plan import Plan, read_plan
from aeanomaly.commands.tables import print_whole
from aeanomaly.errors import UserError

if TYPE_CHECKING:  # an extra, and heavy
    import optuna

    from aeanomaly.commands.sweep.space import Space

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
    parser.add_argument("--trials", type=int, metavar="N", help="instead of the number in FILE")
    return parser


def main(options: Sequence[str]) -> int:
    """Run ``sweep`` with the words after it.

    Returns:
        The exit status: 0, or 130 after Ctrl-C. That some trials failed is a result.

    Raises:
        UserError: for a mistake in the file or the options, before the first trial; or if no trial could be completed.
    """
    args, extra = build_parser().parse_known_args(list(options))
    if args.trials is not None and args.trials < 1:
        raise UserError(f"sweep: --trials must be at least 1, got {args.trials}")
    if len(args.config) > 1:
        raise UserError("sweep takes one --config; the config files of its trials are listed in it, under base")
    plan = read_plan(Path(args.config[0]), args.out, args.trials, extra)
    if importlib.util.find_spec("optuna") is None:
        raise UserError("sweep needs Optuna: pip install 'aeanomaly[sweep]'")
    import optuna

    # One line for each trial comes from here, with its log; Optuna's own would be a second.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return _sweep(plan)


def _sweep(plan: Plan) -> int:
    from aeanomaly.commands.sweep.space import probes, read_space
    from aeanomaly.commands.sweep.study import finished, only_sweep, open_study
    from aeanomaly.commands.sweep.trial import check

    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False, soft_wrap=True)
    space = read_space(plan.space)
    root = check(plan, probes(space))
    interrupted = False
    with only_sweep(plan.out):
        study = open_study(plan, space)
        done = len(finished(study))
        if done:
            console.print(f"Study {plan.study}: {done} of {plan.trials} trials are finished.")
        try:
            for _ in range(plan.trials - done):
                _run_next(study, plan, space, console)
        except KeyboardInterrupt:
            interrupted = True
            console.print("Interrupted. The same command continues; the trial that was running is begun again.")
        _report(study, plan, root, console, interrupted)
    return 130 if interrupted else 0


def _run_next(study: optuna.Study, plan: Plan, space: Space, console: Console) -> None:
    """Run one trial, tell the study and the user how it ended."""
    from optuna import TrialPruned
    from optuna.trial import TrialState

    from aeanomaly.commands.sweep.report import parameters
    from aeanomaly.commands.sweep.study import next_trial, tell_failure
    from aeanomaly.commands.sweep.trial import run_trial, trial_folder

    trial = next_trial(study, plan, space)
    heading = f"trial {trial.number} ({parameters(trial.params)})"
    try:
        with _status(console, heading) as watch:
            value = run_trial(plan, trial, watch)
    except TrialPruned as reason:
        study.tell(trial, state=TrialState.PRUNED)
        console.print(f"{heading}: pruned, {reason}")
    except KeyboardInterrupt:
        study.tell(trial, state=TrialState.FAIL)
        raise
    except Exception as error:
        tell_failure(study, trial)
        what = " ".join(str(error).split())
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        console.print(f"{heading}: failed, {kind}{what[:300]}; see {trial_folder(plan, trial.number) / 'log.txt'}")
    else:
        study.tell(trial, value)
        console.print(f"{heading}: val/loss {value:.6g}")


@contextlib.contextmanager
def _status(console: Console, heading: str) -> Iterator[Callable[[int, float], None]]:
    """On a terminal, a line that follows the running trial; elsewhere nothing."""
    if not console.is_terminal:
        yield lambda epoch, loss: None
        return
    with console.status(heading) as status:
        yield lambda epoch, loss: status.update(f"{heading}: epoch {epoch}, val/loss {loss:.6g}")


def _report(study: optuna.Study, plan: Plan, root: str | None, console: Console, interrupted: bool) -> None:
    """Show the best trials, write best.yaml and say how to use it."""
    from optuna.trial import TrialState

    from aeanomaly.commands.sweep.report import ranked, table_of_best, write_best
    from aeanomaly.commands.sweep.study import failures, finished

    trials = finished(study)
    best = ranked(trials)
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    failed = failures(study)
    console.print(
        f"Study {plan.study}: complete {len(best)}, pruned {pruned}, failed {failed}."
        + (
            " The same command tries others in place of the failed ones."
            if len(trials) < plan.trials and failed
            else ""
        )
    )
    if not best:
        if interrupted:
            return
        raise UserError(f"no trial could be completed; the logs are {plan.out}/trial_*/log.txt")
    print_whole(console, table_of_best(trials))
    path = write_best(plan, best[0], root)
    console.print("Run the best settings, and test them:")
    console.print(f"  python -m aeanomaly fit --config {shlex.quote(str(path))}")
    console.print("See every trial:")
    console.print(f"  python -m aeanomaly compare {shlex.quote(str(plan.out))} --sort val/loss")
