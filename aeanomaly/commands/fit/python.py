"""``fit`` for whoever writes Python instead of a command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from aeanomaly.commands.fit.command import run
from aeanomaly.commands.fit.options import option
from aeanomaly.errors import UserError
from aeanomaly.runs.reading import Run, read_run


def fit(config: str | Path | Sequence[str | Path] = (), **overrides: Any) -> Run:
    """Train and test as ``python -m aeanomaly fit`` does, and read the run that this leaves.

    Args:
        config: a YAML file, or several to stack; none if the overrides say everything.
        overrides: options by their dotted keys: ``fit("configs/debug.yaml", seed_everything=3,
            **{"model.net.code_size": 4})``. Numbers and arrays of numpy, paths, ranges and sets are taken, too.

    Raises:
        UserError: for a mistake in the configuration, or one that leaves no run to read.
    """
    files: list[Any] = [config] if isinstance(config, str) or not isinstance(config, Iterable) else [*config]
    for file in files:
        if not isinstance(file, (str, Path)):
            raise UserError(f"fit: config is the path of a YAML file, or several, not {type(file).__name__}")
    words = [word for file in files for word in ("--config", str(file))]
    words += [option(key, value) for key, value in overrides.items()]
    cli = run("fit", words)
    if cli.logger is None:
        raise UserError("fit: without a logger there is no run to read; leave trainer.logger as it is")
    return read_run(Path(cli.logger.log_dir))
