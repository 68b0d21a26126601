"""The words of a command, checked and completed before the parser sees them."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError
from aeanomaly.runs.files import read_config
from aeanomaly.runs.finding import find_checkpoint, run_of_checkpoint

# A command that runs many fits decides where each writes, and each is trained from its start.
SET_BY_COMMAND = (
    "config",
    "ckpt_path",
    "print_config",
    "trainer.default_root_dir",
    "trainer.logger",
    "trainer.fast_dev_run",
)

_NEGATIVE_NUMBER = re.compile(r"-\d+|-\d*\.\d+")  # argparse takes these for values, and any other -word for an option


def is_option(word: str) -> bool:
    """Whether argparse takes a word for an option, rather than for a value."""
    known = word.startswith("-") and word not in ("-", "--") and " " not in word.partition("=")[0]
    return known and not _NEGATIVE_NUMBER.fullmatch(word)


def option(key: str, value: Any) -> str:
    """One word of the command line that sets a key, such as ``--model.net.code_size=5``.

    JSON is YAML; a string stays bare, because an option that wants a string would keep the quotes.

    Raises:
        UserError: if the value is none that YAML has, nor an array, a path, a range or a set of such.
    """
    try:
        bare = isinstance(value, (str, os.PathLike))
        return f"--{key}={os.fspath(value) if bare else json.dumps(value, default=_plain)}"
    except (TypeError, ValueError) as error:
        raise UserError(f"{key}: {error}; give numbers, text, or lists and dictionaries of these") from None


def _plain(value: Any) -> Any:
    """What JSON has no word for, as something that it has."""
    if hasattr(value, "tolist"):  # numbers and arrays of numpy, tensors
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, range):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)  # the order of a set of words is another one in each process
    raise TypeError(f"{type(value).__name__} is no value of a configuration")


def plain_key(name: str) -> str:
    """The dotted key as people write it: ``model.net.code_size`` for ``--model.net.init_args.code_size``."""
    return name.lstrip("-").replace(".init_args.", ".")


def configs_first(words: Sequence[str]) -> list[str]:
    """Every ``--config FILE`` before the other options, which a file after them would undo without a word."""
    configs, others, waiting = list[str](), list[str](), list(words)
    while waiting:
        word = waiting.pop(0)
        if word == "--":  # it ends the options
            others += [word, *waiting]
            break
        named = word in ("-c", "--config") and waiting and waiting[0] != "--" and not is_option(waiting[0])
        if named:
            configs += [word, waiting.pop(0)]
        elif is_option(word) and re.match("--config=|-c.", word):
            configs.append(word)
        else:
            others.append(word)
    return configs + others


def complete_options(command: str, options: list[str]) -> list[str]:
    """Put configs first, check the files that are named, and find the config of a checkpoint given without one.

    ``--ckpt_path`` alone is enough: the config of the run that wrote the checkpoint lies beside it. To all but ``fit``
    it may name a run, which stands for the checkpoint that was tested.

    Raises:
        UserError: if a file is missing or no YAML, or there is no checkpoint to evaluate, or no config beside it.
    """
    options = configs_first(options)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", action="append", nargs="?", const="", default=[])
    parser.add_argument("--ckpt_path", action="append", nargs="?", const="", default=[])
    parser.add_argument("-h", "--help", "--print_config", dest="show", action="append", nargs="?", const="")
    given, _ = parser.parse_known_args(options)
    for name, words in (("--config", given.config), ("--ckpt_path", given.ckpt_path)):
        if "" in words:
            raise UserError(f"{name} needs the name of a file")
    configs = [read_config(Path(config)) for config in given.config]
    for checkpoint in given.ckpt_path:
        if Path(checkpoint).is_dir():
            if command != "fit":
                continue
            inside = Path(checkpoint, "checkpoints")
            example = (inside if inside.is_dir() else Path(checkpoint)) / "last.ckpt"
            raise UserError(f"--ckpt_path: {checkpoint!r} is a folder, name a checkpoint such as {example}")
        if not Path(checkpoint).is_file():
            raise UserError(f"--ckpt_path: there is no file {checkpoint!r}")
    if given.show:  # and run nothing
        return options
    named = [*(config["ckpt_path"] for config in configs if "ckpt_path" in config), *given.ckpt_path]
    if command != "fit" and not (named and named[-1]):  # it would be a net with random weights
        raise UserError(f"{command} needs --ckpt_path PATH, the checkpoint of a trained run")
    if given.ckpt_path and Path(given.ckpt_path[-1]).is_dir():
        given.ckpt_path.append(str(find_checkpoint(Path(given.ckpt_path[-1]))))
        options = [*options, option("ckpt_path", given.ckpt_path[-1])]  # of several the last one counts
    if given.ckpt_path and not configs:
        run = run_of_checkpoint(Path(given.ckpt_path[-1]))
        if run is None or not (run / "config.yaml").is_file():
            raise UserError(f"there is no config.yaml of a run beside {given.ckpt_path[-1]}: give it with --config")
        return ["--config", str(run / "config.yaml"), *options]
    return options
