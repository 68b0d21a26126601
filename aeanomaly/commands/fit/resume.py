"""``fit --resume``: the words that have an unfinished run go on in its own directory."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path

from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config
from aeanomaly.runs.finding import LOGS, natural_order, version_of
from aeanomaly.runs.reading import read_run


def resumed_run(options: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The run that ``--resume [RUN]`` is about, and the other words with that run's config and place before them.

    Without RUN it is the latest unfinished run in ``lightning_logs`` below ``trainer.default_root_dir`` or, where that
    is not given, below the current folder. Those of a benchmark or a sweep lie deeper and are not meant.

    Returns:
        None, and the words as they are, where nothing is to be resumed.

    Raises:
        UserError: if there is nothing to resume, or a config or checkpoint is named too: they are the run's own.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", nargs="?", const="")
    parser.add_argument("--trainer.default_root_dir", dest="root", nargs="?", default=".", const=".")
    parser.add_argument("-c", "--config", dest="own", action="append", nargs="?", const="--config")
    parser.add_argument("--ckpt_path", dest="own", action="append", nargs="?", const="--ckpt_path")
    given, others = parser.parse_known_args(options)
    if given.resume is None:
        return None, list(options)
    if given.own:
        raise UserError(f"fit --resume takes config and checkpoint from the run: leave {given.own[0]} out")
    run = _named(Path(given.resume)) if given.resume else _latest(Path(given.root))
    return run, ["--config", str(run / "config.yaml"), "--trainer.default_root_dir", str(run.parent.parent), *others]


def _named(run: Path) -> Path:
    if not run.is_dir():
        raise UserError(f"fit --resume: there is no folder {str(run)!r}")
    if version_of(run) is None:
        raise UserError(f"fit --resume: {run} is not the folder of a run, {LOGS}/version_N")
    if read_run(run).finished:
        raise UserError(
            f"fit --resume: {run} is finished; to train it further: python -m aeanomaly fit --ckpt_path "
            f"{shlex.quote(str(run / 'checkpoints' / 'last.ckpt'))} --trainer.max_epochs N"
        )
    if not (run / "config.yaml").is_file():
        raise UserError(f"fit --resume: {run} has no config.yaml, it ended before it began: start it anew")
    read_config(run / "config.yaml", "fit --resume")
    return run


def _latest(root: Path) -> Path:
    logs = root / LOGS
    runs = sorted(logs.glob("version_*"), key=lambda run: natural_order(run.name), reverse=True)
    latest = next(filter(_goes_on, runs), None)
    if latest is None:
        raise UserError(f"fit --resume: there is no unfinished run in {logs}; name one: fit --resume RUN")
    return _named(latest)


def _goes_on(run: Path) -> bool:
    """Whether it is an unfinished fit.

    Other commands keep no checkpoints in their directory, and write their result at the end. A trial of a sweep is
    never tested, so that one which was pruned or is complete would look unfinished.
    """
    if not (run / "config.yaml").is_file() or version_of(run) is None:
        return False
    found = read_run(run)
    if found.finished or "trial" in found.record:
        return False
    kept = (run / "checkpoints").is_dir()
    return kept or not any((run / name).exists() for name in ("metrics.json", "predictions.csv"))
