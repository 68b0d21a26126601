"""A parser's complaint as one readable line."""

from __future__ import annotations

import re

_KEY = re.compile(r'(?:Parser key|Key|key) ["\']([^"\']+)["\']')


def one_line(message: str) -> str:
    """Condense jsonargparse's nested message: the full key, what was expected, what was given.

    Args:
        message: several indented lines, each narrowing down the one above.
    """
    message = re.sub(r"<class '([\w.]+)'>", lambda match: match[1].rpartition(".")[2], message)
    message = re.sub(r"typing\.Literal\[([^\]]*)\]", lambda match: f"one of {match[1]}".replace("'", ""), message)
    keys = _KEY.findall(message)
    expected = re.findall(r"Expected (?:an? )?([\w.\[\], -]+?)(?:\.|$|\n)", message)
    given = re.findall(r"Given value: (.+)|Got value: (.+)", message)
    if keys and expected and given:
        wanted = " or ".join(dict.fromkeys("nothing" if name == "NoneType" else name for name in expected))
        value = next(part for part in given[-1] if part)
        return f"{'.'.join(keys)}: expected {wanted}, got {value!r}"
    if "arguments are required" in message:
        missing = message.rpartition(": ")[2]
        config = ": start from a complete config, such as --config configs/base.yaml" if "fit." in missing else ""
        return f"{missing.replace('fit.', '')} must be given{config}"
    lines = [line.strip(" -\t") for line in message.splitlines() if line.strip()]
    return "; ".join(line.rstrip(":;") for line in lines)
