"""Wall seconds from the start of the process to its end, and the AUROC reached: the study's script and `fit`.

    python performance/whole_command.py --variant fast=configs/recipes/fast.yaml --variant best=configs/best.yaml

Each round takes one seed and runs all of them in turn. The study's script trains and computes one AUROC; `fit` also
validates, fits KMeans and thresholds, draws, logs and writes checkpoints, and all of that is counted. About a
quarter of an hour on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time

import fit_command
import torch
from fit_command import HERE
from markdown_section import Report, add_options

STUDY, BASE = "the study's script", "fit, base.yaml"
# With configs/recipes/fast.yaml as the variant `fast`, and configs/best.yaml as `best`.
MOST_OF_STUDY, AUROC_LOST_AT_MOST, MOST_SECONDS_OF_BEST = 0.40, 0.002, 300.0


def run_study(seed: int, options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and AUROC of the study's script."""
    words = [str(HERE / "study.py"), "--data-dir", options.data_dir, "--seed", str(seed), "--device", options.device]
    if options.epochs is not None:
        words += ["--epochs", str(options.epochs)]
    if options.subset is not None:
        words += ["--subset", str(options.subset)]
    start = time.perf_counter()
    shown = fit_command.run(words)
    seconds = time.perf_counter() - start
    auroc = re.search(r"AUROC ([\d.]+)", shown)
    assert auroc is not None
    return seconds, float(auroc[1])


def run_fit(seed: int, words: list[str], options: argparse.Namespace) -> tuple[float, float]:
    """Seconds and AUROC of `fit`, by the score that puts others together, where there is one, or the reconstruction."""
    words = [*words, *fit_command.settings(options), "--seed_everything", str(seed)]
    if options.epochs is not None:
        words += ["--trainer.max_epochs", str(options.epochs)]
    with tempfile.TemporaryDirectory() as root:
        start = time.perf_counter()
        run = fit_command.run_fit(words, root)
        seconds = time.perf_counter() - start
        record = json.loads((run / "metrics.json").read_text())
    if record["data_source"] == "subset" and not options.allow_subset:
        raise SystemExit("only the subset of MNIST could be obtained, on which the study's script does not run")
    return seconds, float(record.get("test/auroc/fusion", record.get("test/auroc/reconstruction")))


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one for each round")
    parser.add_argument("--epochs", type=int, help="instead of the 10 of the study and those of the config")
    fit_command.add_options(parser)
    add_options(parser)
    options = parser.parse_args()
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    fits = {BASE: [], **{f"fit, {name}": words for name, words in options.variant}}
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in (STUDY, *fits)}
    for seed in options.seeds:
        results[STUDY].append(run_study(seed, options))
        for name, words in fits.items():
            results[name].append(run_fit(seed, words, options))

    report = Report("whole_command", f"seeds {', '.join(map(str, options.seeds))}, one round each")
    rows, ratios, aurocs = [], {}, {}
    for name, runs in results.items():
        seconds, reached = zip(*runs, strict=True)
        ratios[name] = statistics.median(run[0] / study[0] for run, study in zip(runs, results[STUDY], strict=True))
        aurocs[name] = statistics.mean(reached)
        cells = [name, f"{statistics.median(seconds):.1f}", f"{min(seconds):.1f}-{max(seconds):.1f}"]
        rows.append([*cells, f"{ratios[name]:.2f}", *(f"{value:.4f}" for value in reached), f"{aurocs[name]:.4f}"])
    seeds = [f"AUROC seed {seed}" for seed in options.seeds]
    report.table(["whole command", "seconds", "rounds", "/ study", *seeds, "mean"], rows)
    targets = []
    if "fit, fast" in results:
        ratio, lost = ratios["fit, fast"], aurocs[BASE] - aurocs["fit, fast"]
        below_study = aurocs[STUDY] - aurocs["fit, fast"]
        targets += [
            ["fast / the study's script", f"{ratio:.2f}", f"{MOST_OF_STUDY:.2f}", ratio <= MOST_OF_STUDY],
            ["mean AUROC lost to base.yaml", f"{lost:+.4f}", f"{AUROC_LOST_AT_MOST:.4f}", lost <= AUROC_LOST_AT_MOST],
            ["mean AUROC lost to the study", f"{below_study:+.4f}", "0.0000", below_study <= 0],
        ]
    if "fit, best" in results:
        longest = max(seconds for seconds, _ in results["fit, best"])
        targets.append(
            ["best, seconds", f"{longest:.0f}", f"{MOST_SECONDS_OF_BEST:.0f}", longest <= MOST_SECONDS_OF_BEST]
        )
    if targets:
        report.table(["target", "measured", "at most", "met"], [[*t[:3], "yes" if t[3] else "no"] for t in targets])
    report.publish(options)


if __name__ == "__main__":
    main()
