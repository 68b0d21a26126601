"""The command-line parser of the commands that are not a Trainer verb."""

from __future__ import annotations

import argparse
from typing import NoReturn

from aeanomaly.errors import UserError


class CommandParser(argparse.ArgumentParser):
    """An argparse parser whose complaints are one line, and whose texts keep their line breaks.

    ``usage`` is what may follow the command; by default argparse's own words.
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
        """Raise a `UserError` instead of printing the usage and leaving."""
        raise UserError(f"{self.command}: {message}; `{self.prog} --help` lists the options")
