"""How long `compare` takes for 200 runs, the whole process included: it should answer within a second.

python performance/compare_speed.py [--runs 200] [--repeats 7]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
        figures: dict[str, float] = {"fit_seconds": draw.uniform(30, 60), "seed": varied["seed"]}
        for stage in ("test", "val"):
            for metric in ("auroc", "aupr", "fpr95", "normal_accuracy", "anomaly_accuracy"):
                for score in ("reconstruction", "kmeans", "mahalanobis", "gmm"):
                    figures[f"{stage}/{metric}/{score}"] = draw.random()
        (run / "metrics.json").write_text(json.dumps(figures, indent=2))


def main() -> None:
    """Time each form of the command and print the median and the slowest, in seconds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_runs(Path(folder, "lightning_logs"), args.runs)
        print(f"{args.runs} runs, {args.repeats} times each: median (slowest)")
        for options in ([], ["--sort", "auroc/kmeans"], ["--group-by"], ["--csv"], ["--metrics", "*"]):
            command = [sys.executable, "-m", "aeanomaly", "compare", f"{folder}/lightning_logs", *options]
            seconds = []
            for _ in range(args.repeats):
                start = time.perf_counter()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
                seconds.append(time.perf_counter() - start)
            shown = " ".join(["compare", *options])
            print(f"  {shown:<28} {statistics.median(seconds):.3f} s ({max(seconds):.3f} s)")


if __name__ == "__main__":
    main()
