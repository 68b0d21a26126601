"""The parser of the commands that are not a Trainer verb, and the complaint of any parser as one readable line."""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from aeanomaly.errors import UserError, suggestion

_KEY = re.compile(r'(?:Parser key|Key|key) ["\']([^"\']+)["\']:?')
_NESTED = re.compile(r"NestedArg\(key='([^']+)', val='?(.*?)'?\)(?=\n|$)")
_CLASS = re.compile(r"(?:given class_path |class_path=)'([^']+)'")
_GIVEN = re.compile(r"\.? ?\b(?:Got|Given) value: ?(.*)")
_DEFAULTS = re.compile(r"\.? ?\b(?:Got|Given) value: (?:(?!(?:Got|Given) value: ).)*Namespace\(.*")  # a class with all
_BASE = re.compile(r"(?:[Nn]ot a valid|correspond to a|to be a) subclass of (\w+)|function that returns (\w+)")
# What jsonargparse says besides, a line each: its try to read the value as a file, its types, and what a class may be.
_NOISE = re.compile(
    r"\s*(?:- )?(?:Expected a path but .* either not accessible or invalid|Subtypes: .*|Given value type: .*|Errors:"
    r"|Does not validate against any of the Union subtypes|Subclass types expect one of:|a (?:class path|dict with).*"
    r"|Problem with given class_path .*)"
)
_PLAIN = {"NoneType": "nothing", "dict": "keys and values", "Sequence": "list", "Iterable": "list"}
_EMPTY = "an empty word stands where {} should be; is a variable of the shell unset?"


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
        self._words: Sequence[str] = ()

    def error(self, message: str) -> NoReturn:
        """Raise a `UserError` instead of printing the usage and leaving."""
        if without := re.match(r"argument (--[\w-]+): expected one argument", message):
            given = next((after for word, after in pairwise(self._words) if word == without[1]), "")
            value = given if re.match(r"-[^-]", given) else "VALUE"
            message = f"{without[1]} needs a value; one that begins with - is given as {without[1]}={value}"
        raise UserError(f"{self.command}: {message}; `{self.prog} --help` lists the options")

    def add_checkpoint(self) -> None:
        """Add ``--ckpt_path``, for commands that cannot do without a checkpoint."""
        self.add_argument(
            "--ckpt_path",
            type=Path,
            required=True,
            metavar="RUN_OR_FILE",
            help="a checkpoint, or a run: its tested one",
        )

    def add_allow_import(self) -> None:
        """Add ``--allow-import``, for commands that build what a checkpoint describes."""
        self.add_argument(
            "--allow-import",
            action="append",
            default=[],
            metavar="PACKAGE",
            help="let the checkpoint name classes of this package or module; aeanomaly, torch, torchvision and "
            "lightning always may",
        )

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse, which would take an empty word for the current folder where a path is wanted."""
        self._words = args or []
        for before, word in pairwise(["", *self._words]):
            if word == "" or re.fullmatch(r"--[\w-]+=", word):
                option = word.rstrip("=") or (before if before.startswith("--") else "")
                self.error(_EMPTY.format(f"the value of {option}" if option else "something"))
        return super().parse_known_args(args, namespace)


def count(text: str) -> int:
    """A whole number from 1 on the command line."""
    return _whole_number(text, 1)


def count_from_zero(text: str) -> int:
    """A whole number from 0 on the command line."""
    return _whole_number(text, 0)


def _whole_number(text: str, least: int) -> int:
    if not re.fullmatch(r"0*[0-9]{1,9}", text) or int(text) < least:
        raise argparse.ArgumentTypeError(f"expected a number from {least} to 999,999,999, got {text!r}")
    return int(text)


def names(text: str) -> list[str]:
    """Words separated by commas on the command line, at least one."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("expected names separated by commas")
    return found


def one_line(message: str) -> str:
    """Condense jsonargparse's nested message to the full key, what was expected, and what was given.

    Of its several indented lines, each narrows down the one above.
    """
    message = re.sub(r"<class '([\w.]+)'>", lambda match: match[1].rpartition(".")[2], message)
    message = re.sub(r"typing\.Literal\[([^\]]*)\]", lambda match: f"one of {match[1]}".replace("'", ""), message)
    message = re.sub(r"Type typing\.Callable.* expects a function or a callable class: ", "", message)
    classes = _CLASS.findall(message)
    message = _DEFAULTS.sub("", message)
    tried = re.search(r"Expected a path but (.*) either not accessible|dot import path string: (.+)", message)
    keys = _KEY.findall(message)
    if not keys:
        return _without_key(message)
    if "Unable to load config" in message:
        return f"{keys[0]}: expected keys and values, or a YAML file with some"
    nested = _NESTED.search(message)  # an option within a mapping, such as --model.scores.kmeans.n_clusters
    if nested:
        keys, message = [keys[0], nested[1]], _NESTED.sub(lambda match: match[2], message)
    key = ".".join(keys)
    if nested and " is abstract" in message:
        parent, name = keys[0], keys[-1].partition(".")[0]
        return f"{key}: there is no {name!r} in {parent}; to add one, give its class first: --{parent}.{name} CLASS"
    lines = _innermost(message)
    given = [match[1].strip() for line in lines if (match := _GIVEN.search(line))]
    reasons = [_GIVEN.sub("", line).strip(" -.:") for line in lines if not _NOISE.fullmatch(line)]
    class_path = classes[-1] if classes else ""
    given = given or [value for value in (tried.groups() if tried else ()) if value] or [class_path]
    return f"{key}: {_what_is_wrong(key, list(filter(None, reasons)), given[-1], class_path)}"


def _innermost(message: str) -> list[str]:
    """The lines about the last key of a message: those that are indented below it, or the rest of its line."""
    lines = message.splitlines()
    last = max(number for number, line in enumerate(lines) if _KEY.search(line))
    rest = _KEY.split(lines[last])[-1].strip()
    depth = len(lines[last]) - len(lines[last].lstrip())
    below = [rest] if rest else []
    for line in lines[last + 1 :]:
        if line.strip() and len(line) - len(line.lstrip()) <= depth:
            break
        below.append(line)
    return below


def _what_is_wrong(key: str, reasons: Sequence[str], given: str, class_path: str) -> str:
    """What jsonargparse complains of in the value of a key, which may be that of a class with options."""
    said = "; ".join(dict.fromkeys(reasons))
    if missing := re.search(r"the following arguments are required: ([^;]+)", said):
        first = missing[1].partition(",")[0]
        return f"{class_path} needs {missing[1]}; give it as --{key}.{first} VALUE, or under init_args in a config"
    if option := re.search(r"Option '([^']+)' is not accepted", said):
        if class_path.startswith("typing."):
            return f"no class is named yet that takes {option[1]!r}; give it first: --{key} CLASS"
        known = _options(class_path)
        return f"{class_path}: {option[0]}" + (f"; {suggestion(option[1], known)}" if known else "")
    if unknown := re.search(r"No module named '[^']+'|module '[^']+' has no attribute '[^']+'", said):
        name = class_path or given
        return f"there is no file {name!r}" if name.endswith((".yaml", ".yml")) else f"{name}: {unknown[0]}"
    if several := re.search(r"Multiple subclasses with name (\w+)\. Give the full class path[^:]*: ([\w., ]+)", said):
        return f"there are several classes {several[1]}; give the path of one: {several[2].strip('. ')}"
    expected = [name for reason in reasons for name in re.findall(r"^Expected (?:an? )?([\w.\[\], -]+)$", reason)]
    expected = [name for name in expected if not re.match(r"dot import|import path|instantiatable", name)]
    bases = [base for match in _BASE.findall(said) for base in match if base]
    if bases or "import path" in said:
        expected.append(f"a subclass of {bases[-1]}" if bases else "a class, such as package.module.Class")
    if not expected:
        return f"{class_path}: {said[:300]}" if class_path else said[:300]
    wanted = " or ".join(dict.fromkeys(_PLAIN.get(name, name) for name in expected))
    if given == "None" and "nothing" in wanted:
        return "null cannot be given to it on the command line; write it in a config"
    number = re.fullmatch(r"[+-]?(nan|inf)(inity)?", given.lower()) if "float" in expected else None
    hint = f"; YAML writes .{number[1]}" if number else ""
    if "str" in expected and re.search(r"\b(True|False|\d+\.\d+)\b", given):
        hint = "; YAML takes no and 1.5 for text in quotes only, such as '[\"no\"]'"
    return f"expected {wanted}, got {_shown(given)}{hint}"


def _shown(value: str) -> str:
    text = "null" if value == "None" else value if value.startswith(("[", "{")) else repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _options(class_path: str) -> list[str]:
    """The options of a class that was imported to be parsed, its parents' among them."""
    module, _, name = class_path.rpartition(".")
    parents = getattr(getattr(sys.modules.get(module), name, None), "__mro__", ())
    found = [option for parent in parents[:-1] for option in inspect.signature(parent.__init__).parameters]
    return [option for option in dict.fromkeys(found) if option not in ("self", "args", "kwargs", "options")]


def _without_key(message: str) -> str:
    """A message about words of the command line, or about a whole config."""
    if "arguments are required" in message:
        missing = message.rpartition(": ")[2]
        config = ": start from a complete config, such as --config configs/base.yaml" if "fit." in missing else ""
        return f"{missing.replace('fit.', '')} must be given{config}"
    if without := re.match(r"argument (?:-\w/)?(?:--\S+/)?(--\S+): expected one argument", message):
        return f"{without[1]} needs a value; one that begins with - is given as {without[1]}=VALUE, with its full key"
    if unknown := re.search(r"does not accept option '([^']+)'", message):
        return f"a config has {unknown[1]}, which is no option"
    if message.startswith("unrecognized arguments: "):
        return message
    lines = [line.strip(" -\t") for line in message.splitlines() if line.strip()]
    return "; ".join(line.rstrip(":;") for line in lines)
