"""`python -m aeanomaly fit` in a process of its own, as the benchmarks start it."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
BASE = HERE.parent / "configs" / "base.yaml"


def parse_variant(text: str) -> tuple[str, list[str]]:
    """``NAME=WORDS`` as the name and the options of `fit`; a word that ends in ``.yaml`` is stacked on base.yaml."""
    name, equals, words = text.partition("=")
    if not (name and equals and words):
        raise argparse.ArgumentTypeError(f"expected NAME=configs/FILE.yaml or NAME='--option value', got {text!r}")
    options: list[str] = []
    for word in shlex.split(words):
        stacked = word.endswith(".yaml") and options[-1:] != ["--config"]
        options += ["--config", word] if stacked else [word]
    return name, options


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--variant``, ``--data-dir``, ``--subset``, ``--allow-subset`` and ``--device``."""
    parser.add_argument(
        "--variant",
        type=parse_variant,
        action="append",
        default=[],
        metavar="NAME=WORDS",
        help="compare base.yaml with these files and options stacked on it, too; may be repeated",
    )
    parser.add_argument("--data-dir", default="data")
    parser.add_argument("--subset", type=int, metavar="N", help="only the first N images of MNIST, to try the script")
    parser.add_argument("--allow-subset", action="store_true", help="measure on the 5,000-image subset if need be")
    parser.add_argument("--device", choices=("cpu", "cuda"), help="by default cuda where there is one")


def settings(options: argparse.Namespace) -> list[str]:
    """The options of `fit` that say where it runs and on which images."""
    words = ["--trainer.accelerator", "gpu" if options.device == "cuda" else "cpu", "--trainer.devices", "1"]
    if options.subset is not None:
        words += ["--data", "few_mnist.FewMNIST", "--data.images", str(options.subset)]
    return [*words, "--data.data_dir", options.data_dir]


def run(command: list[str]) -> str:
    """Standard output of a Python process that can import from this folder.

    Raises:
        SystemExit: with what it said, if it fails.
    """
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    words = [sys.executable, *command]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    if done.returncode:
        raise SystemExit(f"{shlex.join(words)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return done.stdout


def run_fit(words: list[str], root: str | Path) -> Path:
    """Fit base.yaml with further options into a folder, and return the directory of the run."""
    run(["-m", "aeanomaly", "fit", "--config", str(BASE), *words, "--trainer.default_root_dir", str(root)])
    return Path(root) / "lightning_logs" / "version_0"


def callback(class_path: str, **arguments: str | Path) -> list[str]:
    """The options of `fit` that append a callback."""
    words = [f"--trainer.callbacks+={class_path}"]
    return words + [f"--trainer.callbacks.{name}={value}" for name, value in arguments.items()]
