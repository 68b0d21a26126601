"""The parser of the commands that are not a Trainer verb, and the complaint of any parser as one readable line."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

from aeanomaly.errors import UserError

_KEY = re.compile(r'(?:Parser key|Key|key) ["\']([^"\']+)["\']')
_NESTED = re.compile(r"NestedArg\(key='([^']+)', val='?(.*?)'?\)")
_CLASS_PROBLEM = re.compile(r"Problem with given class_path '([^']+)':\s+(.+)")


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


def one_line(message: str) -> str:
    """Condense jsonargparse's nested message to the full key, what was expected, and what was given.

    Of its several indented lines, each narrows down the one above.
    """
    message = re.sub(r"<class '([\w.]+)'>", lambda match: match[1].rpartition(".")[2], message)
    message = re.sub(r"typing\.Literal\[([^\]]*)\]", lambda match: f"one of {match[1]}".replace("'", ""), message)
    keys = _KEY.findall(message)
    nested = _NESTED.search(message)  # an option within a mapping, such as --model.scores.kmeans.n_clusters
    if nested:
        keys, message = [keys[0], nested[1]], _NESTED.sub(lambda match: match[2], message)
    key = ".".join(keys)
    if nested and " is abstract" in message:
        parent, name = keys[0], keys[-1].partition(".")[0]
        return f"{key}: there is no {name!r} in {parent}; to add one, give its class first: --{parent}.{name} CLASS"
    problem = _CLASS_PROBLEM.search(message)
    if keys and problem and "arser key" not in problem[2]:
        return f"{key}: {problem[1]}: {problem[2]}"
    expected = re.findall(r"Expected (?:an? )?([\w.\[\], -]+?)(?:\.|$|\n)", message)
    given = re.findall(r"Given value: (.+)|Got value: (.+)", message)
    if keys and expected and given:
        wanted = " or ".join(dict.fromkeys("nothing" if name == "NoneType" else name for name in expected))
        value = next(part for part in given[-1] if part)
        return f"{key}: expected {wanted}, got {value!r}"
    if "arguments are required" in message:
        missing = message.rpartition(": ")[2]
        config = ": start from a complete config, such as --config configs/base.yaml" if "fit." in missing else ""
        return f"{missing.replace('fit.', '')} must be given{config}"
    lines = [line.strip(" -\t") for line in message.splitlines() if line.strip()]
    return "; ".join(line.rstrip(":;") for line in lines)
