"""Reading the YAML files that users write, and writing files that are either absent or whole."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeGuard

import yaml

from aeanomaly.errors import UserError

MOST_VALUES = 100_000  # in a config; aliases of aliases make billions of a few lines


def read_config(path: Path, where: str = "--config") -> dict[str, Any]:
    """The keys and values of a YAML file.

    Raises:
        UserError: if it is missing or a folder, which names ``where`` it was asked for; no YAML; or holds nothing,
            something else, or a key twice.
    """
    if path.is_dir():
        raise UserError(f"{where}: {str(path)!r} is a folder, name a YAML file")
    if not path.is_file():
        raise UserError(f"{where}: there is no file {str(path)!r}")
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{where}: cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path} is not valid YAML: it is not text in UTF-8") from None
    try:
        content = _loaded(text, path)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{path}{line} is not valid YAML: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise UserError(f"{path} is nested too deeply") from None
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # 2020-13-45 is no date
        raise UserError(f"{path} is not valid YAML: {error}") from None
    if content is None:
        raise UserError(f"{path} holds nothing: it must hold keys and values")
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold keys and values, not {type(content).__name__}")
    return content


def _loaded(text: str, path: Path) -> Any:
    """What a YAML document says, in which no key stands twice and no alias within what it names."""
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _refuse_odd(node, path, set(), {})
        return loader.construct_document(node)
    finally:
        loader.dispose()


def refuse_aliases_without_end(text: str, where: Path) -> None:
    """Refuse YAML whose aliases stand for billions of values, or for themselves.

    Raises:
        UserError: which names ``where`` it stands.
        yaml.YAMLError: if it is none.
    """
    if "&" in text and "*" in text and (node := yaml.compose(text, yaml.SafeLoader)) is not None:
        _refuse_odd(node, where, set(), {})


def _refuse_odd(node: yaml.Node, path: Path, above: set[int], seen: dict[int, int]) -> int:
    """Look through a node and what it names; the number of values in it, those behind an alias each time."""
    if id(node) in above:
        line = node.start_mark.line + 1
        raise UserError(f"{path}: an alias stands within what it names, which begins in line {line}")
    if id(node) in seen:
        return seen[id(node)]
    inner: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    raise UserError(f"{path}, line {key.start_mark.line + 1}: the key {key.value!r} stands twice")
                keys.add(key.value)
        inner = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    seen[id(node)] = 1 + sum(_refuse_odd(part, path, above | {id(node)}, seen) for part in inner)
    if seen[id(node)] > MOST_VALUES:
        raise UserError(f"{path}: its aliases unfold to more than {MOST_VALUES:,} values")
    return seen[id(node)]


def is_full_disk(error: BaseException | None) -> TypeGuard[OSError]:
    """Whether a write ended because the disk is full, or a quota or the limit on the size of a file is reached."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def as_utf8(text: str) -> str:
    """The text with question marks for what is no UTF-8, as in the name of a file."""
    return text.encode(errors="replace").decode()


def write_whole(path: Path, content: bytes | str) -> None:
    """Write under a temporary name beside ``path`` and rename, so that no reader ever sees half a file.

    Raises:
        UserError: if the place cannot be written to.
    """
    with written_whole(path) as partial:
        # As `as_utf8`, without a second copy of a large page.
        partial.write_bytes(content.encode(errors="replace") if isinstance(content, str) else content)


def refuse_special_file(path: Path) -> None:
    """Refuse a device or a pipe as the place of a result: a file with its name would take its place.

    Raises:
        UserError: if it is one.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"cannot write {path}: it is a device or a pipe, name a file")


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, with the same suffix, that becomes ``path`` at the end; after an error nothing.

    Raises:
        UserError: if the place cannot be written to.
    """
    refuse_special_file(path)
    partial = path.with_name(f".{uuid.uuid4().hex}.{path.name}")  # not that of `tempfile`, whose files are private
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("r+b") as written:
            os.fsync(written.fileno())  # some file systems say only now that there is no room
        partial.replace(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError, ValueError):  # mostly because it has its place by now
            partial.unlink()
