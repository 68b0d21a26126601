"""The command line: what can be answered without torch is answered here, the rest is handed on.

What loads late, and why:

- torch, lightning and torchvision take seconds to import. They are imported only once a command needs them, so that
  help, mistakes in the first word and `compare` come at once.
- scikit-learn takes a third of a second that a first training step does without. It is imported in the functions that
  call it, such as `KMeans.fit`, which comes after the first epoch.
- Each Trainer verb has a parser of its own with all options. Only that of the command at hand is built.
- The garbage collector rests during the imports, and what they made is not walked through again: hardly any of it is
  garbage, and looking for it took a fifth of their time.

matplotlib and scipy are imported at the top of files as usual: importing lightning brings them anyway.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence

from aeanomaly import __version__
from aeanomaly.commands.interruption import exit_status, tell
from aeanomaly.errors import UserError, suggestion

COMMANDS = {
    "fit": "train on normal images, then test the best checkpoint and print the table",
    "validate": "evaluate a checkpoint on the validation images",
    "test": "evaluate a checkpoint on the test images and print the table",
    "predict": "score pictures with a checkpoint (--images), or the test images",
    "compare": "show runs side by side: their metrics, and the hyperparameters that differ",
    "report": "make a page of a run, or of several: one HTML file with a threshold to drag",
    "benchmark": "run a grid of fits over classes, methods and seeds, and make its tables and figures",
    "export": "write a checkpoint as one graph, ONNX or torch.export, from pixels to decisions",
    "sweep": "search for the settings with the lowest loss on normal images",
}

# Commands with a room of their own; the others are the Trainer's verbs.
_ROOMS = ("predict", "compare", "report", "benchmark", "export", "sweep")

HELP = """\
usage: python -m aeanomaly <command> [options]

Train an autoencoder on normal images only and find what does not belong.

commands:
{commands}

options:
  -h, --help     show this help; `python -m aeanomaly <command> --help` lists a command's options
  --version      show the version

first steps:
  python -m aeanomaly fit --config configs/base.yaml      the study on MNIST
  python -m aeanomaly fit --config configs/debug.yaml     a few seconds, no download
  python -m aeanomaly fit --resume                        the latest run that did not come to its end
  python -m aeanomaly test --ckpt_path lightning_logs/version_0/checkpoints/last.ckpt
  python -m aeanomaly compare                             every run so far, side by side
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, by default that of the process.

    Returns:
        The exit status: 0, 2 after a user's mistake, 130 after Ctrl-C, 141 if nobody reads on, 143 after SIGTERM.

    Raises:
        SystemExit: after SIGTERM during a fit, with the status 143.
    """
    command, *options = (sys.argv[1:] if argv is None else argv) or [""]
    try:
        if command in ("", "-h", "--help", "help"):
            width = max(map(len, COMMANDS))
            listed = "\n".join(f"  {name:{width}}   {what}" for name, what in COMMANDS.items())
            print(HELP.format(commands=listed), end="", flush=True)
            return 0 if command else 2
        if command == "--version":
            print(f"aeanomaly {__version__}")
            return 0
        if command.startswith("-"):
            known = ", ".join(COMMANDS)
            raise UserError(f"the command comes first, then its options, got {command!r}; commands: {known}")
        if command not in COMMANDS:
            raise UserError(f"unknown command {command!r}; {suggestion(command, COMMANDS)}")
        if any("\0" in word for word in options):  # only from Python: a shell cannot pass it
            raise UserError(f"{command}: a word has a NUL character, which no name of a file or option has")
        status = _run(command, options)
        sys.stdout.flush()
        return status
    except UserError as error:
        print(f"aeanomaly: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError as error:  # `| head` has read enough
        if error.filename is not None:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at its end
        return 141  # as of who is ended by SIGPIPE
    except SystemExit as leaving:
        if not isinstance(leaving.__context__, BrokenPipeError):
            raise
        return 141  # rich has silenced the stream, and would leave with 1
    except OSError as error:
        from aeanomaly.runs.files import is_full_disk

        if not is_full_disk(error):
            raise
        what = f"{error.strerror}: {error.filename or 'the disk is full'}"
        print(f"aeanomaly: error: {what}; make room, then give the command again", file=sys.stderr)
        return 2
    except KeyboardInterrupt as interruption:
        if argv is None:  # the process ends now, and another Ctrl-C would only have Python say where it was
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        tell(interruption)
        return exit_status(interruption)


def _run(command: str, options: Sequence[str]) -> int:
    """Hand the words on, and have whatever the system says of a file that they name as one line."""
    room, *verb = (command,) if command in _ROOMS else ("fit", command)
    try:
        return int(importlib.import_module(f"aeanomaly.commands.{room}.command").main(*verb, options))
    except OSError as error:  # its name is too long, its folder is forbidden, ...
        from aeanomaly.runs.files import is_full_disk

        if error.filename is None or is_full_disk(error):
            raise
        raise UserError(f"{str(error.filename)[:200]}: {error.strerror or error}") from error
