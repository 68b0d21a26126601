"""The search: trial after trial, until there are as many as were asked for."""

from __future__ import annotations

import sys

import optuna
from optuna import Study
from optuna.trial import TrialState
from rich.console import Console

from aeanomaly.commands.fit.logged import fit_logged
from aeanomaly.commands.fit.options import option
from aeanomaly.commands.interruption import exit_status, sigterm_interrupts, tell
from aeanomaly.commands.sweep.plan import Plan
from aeanomaly.commands.sweep.report import parameters, print_report
from aeanomaly.commands.sweep.space import Space, read_space
from aeanomaly.commands.sweep.study import FAILED, ended, next_trial, opened_study
from aeanomaly.commands.sweep.trial import ReportLoss, TrialCLI, check
from aeanomaly.errors import UserError
from aeanomaly.runs.lock import alone_in


def run_sweep(plan: Plan) -> int:
    """Run the trials that are missing and report all.

    Returns:
        The exit status: 0, 130 after Ctrl-C, or 143 after SIGTERM.

    Raises:
        UserError: for a mistake that is found before the first trial; or if no trial could be completed.
    """
    # One line for each trial comes from here, with its log; Optuna's own would be a second.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console = Console(file=sys.stdout, markup=False, emoji=False, highlight=False, soft_wrap=True)
    space = read_space(plan.space)
    root = check(plan, space)
    with sigterm_interrupts(), alone_in(plan.out, "sweep"), opened_study(plan, space) as study:
        done = sum(trial.state != TrialState.FAIL for trial in ended(study))
        if done:
            console.print(f"Study {plan.study}: {done} of {plan.trials} trials are finished.")
        status = 0
        try:
            for _ in range(plan.trials - done):
                _run_trial(study, plan, space, console)
        except KeyboardInterrupt as interruption:
            status = exit_status(interruption)
            left = "the trial that was running is begun again. The same command continues."
            tell(interruption, left, shown_on=sys.stdout)
        if not print_report(study, plan, root, console) and not status:
            raise UserError(f"no trial could be completed; the logs are {plan.out}/trial_*/log.txt")
    return status


def _run_trial(study: Study, plan: Plan, space: Space, console: Console) -> None:
    """Draw a trial, fit with its settings, and tell the study and the user how it ended.

    Its value is the lowest val/loss of all epochs, which is that of the checkpoint that ``fit`` keeps and tests.

    Raises:
        KeyboardInterrupt: after Ctrl-C.
    """
    trial = next_trial(study, plan, space)
    heading = f"trial {trial.number} ({parameters(trial.params)})"
    folder = plan.trial_folder(trial.number)
    searched = [option(key, value) for key, value in trial.params.items()]
    words = [*plan.words, *searched, option("trainer.default_root_dir", str(folder))]
    state, value = TrialState.FAIL, None
    try:
        with console.status(heading) as status, fit_logged(folder, words):
            reporting = ReportLoss(trial, lambda news: status.update(f"{heading}: {news}"))
            try:
                TrialCLI(words, reporting)
            except UserError:
                if not reporting.pruned:
                    raise
            if reporting.pruned:
                state, ending = TrialState.PRUNED, f"pruned, {reporting.pruned}"
                print(ending)
            else:
                state, value, ending = TrialState.COMPLETE, reporting.best, f"val/loss {reporting.best:.6g}"
    except UserError as error:
        trial.set_user_attr(FAILED, True)
        ending = f"failed, {error}"
    finally:
        study.tell(trial, value, state)
    console.print(f"{heading}: {ending}")
