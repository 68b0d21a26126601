"""How long `compare` takes for many runs, and `benchmark --dry-run` for many cells, the whole process included.

    python performance/compare_speed.py --runs 10000 --cells 1000 --write docs/reliability.md

Runs are those of this version, whose flat hyperparameters lie beside config.yaml; without these files, as before 0.2,
`compare` takes some four times as long.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from markdown_section import Report, add_options

from aeanomaly.runs.flat_file import write_flat
from aeanomaly.runs.hyperparameters import flatten_config

CONFIGS = Path(__file__).resolve().parent.parent / "configs"

# As many lines as Lightning writes into the config.yaml of a real run, about 130.
CONFIG = """\
# lightning.pytorch==2.6.6
seed_everything: {seed}
trainer:
{trainer}
  callbacks:
{callbacks}
  max_epochs: 10
  precision: 32-true
model:
  net:
    class_path: aeanomaly.models.dense.DenseAutoencoder
    init_args:
      image_shape:
      - 1
      - 28
      - 28
      hidden:
      - 500
      - 125
      - 40
      code_size: {code_size}
      activation:
        class_path: torch.nn.Tanh
  scores:
  - class_path: aeanomaly.scores.reconstruction.ReconstructionError
  - class_path: aeanomaly.scores.kmeans.KMeans
    init_args:
      n_clusters: 9
      random_state: 9
      n_init: 10
  thresholds:
  - class_path: aeanomaly.evaluation.thresholds.FalseAlarmRate
    init_args:
      alpha: 0.05
  - class_path: aeanomaly.evaluation.thresholds.Fixed
    init_args:
      value: 35.0
      scores:
      - reconstruction
  optimizer:
    class_path: aeanomaly.training.optim.Adam
    init_args:
      lr: {lr}
      betas:
      - 0.9
      - 0.999
      eps: 1.0e-08
      weight_decay: 0.0
  lr_scheduler: null
  lr_interval: epoch
data:
  class_path: aeanomaly.data.sources.mnist.MNIST
  init_args:
    normal_classes: null
    anomaly_classes:
    - {digit}
    val_fraction: 0.1
    contamination: 0.0
    batch_size: 64
    eval_batch_size: 2048
    split_seed: null
    data_dir: data
    source: auto
"""
TRAINER = "\n".join(f"  option_{number}: null" for number in range(38))
CALLBACKS = "\n".join(
    f"  - class_path: aeanomaly.callbacks.Callback{number}\n    init_args:\n      every_n_epochs: 5\n      images: 8"
    for number in range(8)
)


def make_runs(folder: Path, count: int) -> None:
    """Fill ``folder`` with run directories that differ in seed, code size, learning rate and anomalous digit."""
    draw = random.Random(0)
    for number in range(count):
        run = folder / f"version_{number}"
        run.mkdir(parents=True)
        varied = {"seed": number % 5, "code_size": draw.choice([2, 5, 10]), "digit": number % 10}
        config = CONFIG.format(**varied, lr=draw.choice([0.001, 0.005]), trainer=TRAINER, callbacks=CALLBACKS)
        (run / "config.yaml").write_text(config)
        write_flat(run, config, flatten_config(yaml.load(config, getattr(yaml, "CSafeLoader", yaml.SafeLoader))))
        figures: dict[str, float] = {"fit_seconds": draw.uniform(30, 60), "seed": varied["seed"]}
        for stage in ("test", "val"):
            for metric in ("auroc", "aupr", "fpr95", "normal_accuracy", "anomaly_accuracy"):
                for score in ("reconstruction", "kmeans", "mahalanobis", "gmm"):
                    figures[f"{stage}/{metric}/{score}"] = draw.random()
        (run / "metrics.json").write_text(json.dumps(figures, indent=2))


def write_grid(file: Path, cells: int) -> None:
    """A grid of so many cells, a tenth of them for each digit."""
    method = {"config": str(CONFIGS / "recipes" / "fast.yaml")}
    grid = {"name": "many", "base": [str(CONFIGS / "base.yaml")], "protocol": "leave-one-out"}
    grid |= {"classes": list(range(10)), "methods": {"fast": method}, "seeds": list(range(1, cells // 10 + 1))}
    file.write_text(json.dumps(grid))  # JSON is YAML


def timed(words: list[str]) -> tuple[float, float]:
    """Seconds and CPU seconds of a command of the package."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-m", "aeanomaly", *words], check=True, stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Time each form of the commands."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--cells", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    add_options(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs, grid = Path(folder, "lightning_logs"), Path(folder, "grid.yaml")
        make_runs(runs, args.runs)
        write_grid(grid, args.cells)
        forms = ([], ["--sort", "auroc/kmeans"], ["--group-by"], ["--csv"], ["--metrics", "*"])
        todo = {" ".join(["compare", *options]): ["compare", str(runs), *options] for options in forms}
        todo["benchmark --dry-run"] = ["benchmark", "--config", str(grid), "--dry-run", "--out", f"{folder}/out"]
        rows = []
        for name, words in todo.items():
            taken = list(zip(*(timed(words) for _ in range(args.repeats)), strict=True))
            rows.append([name, *(f"{statistics.median(column):.2f}" for column in taken), f"{max(taken[0]):.2f}"])
    what = f"{args.runs:,} runs, {args.cells:,} cells, each command {args.repeats} times, its start included"
    report = Report("compare_speed", what)
    report.table(("command", "s (median)", "CPU s (median)", "s (slowest)"), rows)
    report.publish(args)


if __name__ == "__main__":
    main()
