"""The command-line parser of the commands that are not a Trainer verb."""

from __future__ import annotations

import argparse
from typing import NoReturn

from aeanomaly.errors import UserError


class CommandParser(argparse.ArgumentParser):
    """An argparse parser whose complaints are one line, and whose texts keep their line breaks.

    Args:
        command: the word after ``python -m aeanomaly``.
        description: what it does.
        epilog: examples.
        usage: the words after the command; by default argparse's.
    """

    def __init__(self, command: str, description: str, epilog: str, usage: str | None = None) -> None:
        super().__init__(
            prog=f"python -m aeanomaly {command}",
            usage=f"%(prog)s {usage}" if usage else None,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        self.command = command

    def error(self, message: str) -> NoReturn:
        """Raise instead of printing the usage and leaving.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.command}: {message}; `{self.prog} --help` lists the options")
