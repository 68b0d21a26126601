"""The words of a command, checked and completed before the parser sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config
from aeanomaly.runs.reading import run_of_checkpoint

_CONFIG = ("-c", "--config")
_ONLY_SHOW = ("-h", "--help", "--print_config")


def option(key: str, value: Any) -> str:
    """One word of the command line that sets a key, such as ``--model.net.code_size=5``.

    JSON is YAML; a string stays bare, because an option that wants a string would keep the quotes.
    """
    return f"--{key}={value if isinstance(value, str) else json.dumps(value)}"


def option_values(options: list[str], names: tuple[str, ...]) -> list[str]:
    """All values given to an option, written as ``--name value`` or ``--name=value``."""
    values = []
    for position, word in enumerate(options):
        name, equals, value = word.partition("=")
        if name in names:
            values.append(value if equals else next(iter(options[position + 1 :]), ""))
    return values


def complete_options(command: str, options: list[str]) -> list[str]:
    """Check the files that are named, and find the config of a checkpoint given without one.

    ``--ckpt_path`` alone is enough: the config of the run that wrote the checkpoint lies beside it.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the words after it.

    Raises:
        UserError: if a file is missing or no YAML, or there is neither a config nor a checkpoint to find it by.
    """
    configs, checkpoints = option_values(options, _CONFIG), option_values(options, ("--ckpt_path",))
    for config in configs:
        read_config(Path(config))
    for checkpoint in checkpoints:
        if not Path(checkpoint).is_file():
            raise UserError(f"--ckpt_path: there is no file {checkpoint!r}")
    # --print_config may carry a value, as in --print_config=comments
    if configs or any(word.partition("=")[0] in _ONLY_SHOW or word.startswith("--help") for word in options):
        return options
    if checkpoints:
        run = run_of_checkpoint(Path(checkpoints[-1]))
        if run is None or not (run / "config.yaml").is_file():
            raise UserError(f"there is no config.yaml of a run beside {checkpoints[-1]}: give it with --config")
        return ["--config", str(run / "config.yaml"), *options]
    if command != "fit":
        raise UserError(f"{command} needs --ckpt_path PATH, the checkpoint of a trained run")
    return options
