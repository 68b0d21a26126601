"""Where the time of a run of configs/base.yaml goes: training steps, the validation pass, and each callback.

    python performance/time_spent.py --variant fast=configs/recipes/fast.yaml

Time is booked to one owner at a time (performance/clocks.py), so nothing is counted twice. The fit is divided from its
start to its end, without imports and reading the data; the test of the best checkpoint follows. TensorBoard's own
thread writes beside them and is not seen. About a minute for each run on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import fit_command
import torch
from markdown_section import Report, add_options

MOST_OF_A_RUN = 10.0  # percent, of what follows
# KMeans and thresholds, metrics and histograms, figures and codes, and the checks of all these.
EXTRAS = ("FitScores", "ScoreHistograms", "DensityFigure", "ReconstructionGrid", "SideBySide", "CodeProjector")
EXTRAS += ("HealthCheck",)


def ledger_of(words: list[str], options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Seconds by owner of the fit and of the test."""
    with tempfile.TemporaryDirectory() as root:
        path = Path(root, "ledger.json")
        words = [*words, *fit_command.settings(options), *fit_command.callback("clocks.Ledger", path=path)]
        if options.epochs is not None:
            words += ["--trainer.max_epochs", str(options.epochs)]
        fit_command.run_fit(words, root)
        ledger: dict[str, dict[str, float]] = json.loads(path.read_text())
        return ledger


def show(report: Report, name: str, ledger: dict[str, dict[str, float]]) -> None:
    """The table of a run, and its share of extras."""
    sums = {stage: sum(seconds.values()) for stage, seconds in ledger.items()}
    both = sum(sums.values())
    spent = {owner: [ledger[stage].get(owner, 0.0) for stage in sums] for stage in sums for owner in ledger[stage]}
    rows = []
    for owner, seconds in sorted(spent.items(), key=lambda item: -sum(item[1])):
        rows.append([owner, *(f"{value:.2f}" for value in seconds), f"{100 * sum(seconds) / both:.1f}"])
    rows.append(["all", *(f"{value:.2f}" for value in sums.values()), "100.0"])
    report.table([name, "fit, seconds", "test, seconds", "% of both"], rows)
    of_fit = 100 * sum(ledger["fit"].get(owner, 0.0) for owner in EXTRAS) / sums["fit"]
    of_both = 100 * sum(sum(spent[owner]) for owner in EXTRAS if owner in spent) / both
    report.sentence(
        f"KMeans, metrics, histograms and figures ({', '.join(EXTRAS)}): {of_fit:.1f} % of the fit, {of_both:.1f} % of "
        f"fit and test together (target: at most {MOST_OF_A_RUN:.0f} %)."
    )


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="instead of those of the config")
    fit_command.add_options(parser)
    add_options(parser)
    options = parser.parse_args()
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    report = Report("time_spent", "one run each")
    for name, words in {"base.yaml": [], **dict(options.variant)}.items():
        show(report, name, ledger_of(words, options))
    report.publish(options)


if __name__ == "__main__":
    main()
