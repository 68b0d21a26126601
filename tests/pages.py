"""Blocks of code in the pages of the documentation, for the tests that run them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Block(NamedTuple):
    """What stands between two lines of backticks."""

    language: str  # as the first of these lines says; empty for what a command prints
    code: str


def blocks(page: Path, *languages: str) -> list[Block]:
    """The blocks of a page in these languages, or all of them, in order."""
    found = [
        Block(*parts) for parts in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    ]
    return [block for block in found if not languages or block.language in languages]


def commands(script: str) -> list[str]:
    """What a shell would run, a command a line, without comments and with single spaces."""
    lines = (line.partition("  #")[0].split() for line in script.replace("\\\n", " ").splitlines())
    return [" ".join(words) for words in lines if words and not words[0].startswith("#")]
