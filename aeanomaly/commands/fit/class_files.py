"""What the classes that a config names take, read from the files of this package: importing them takes seconds."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError, suggestion

_PACKAGE = Path(__file__).parents[2]
_KINDS = {
    "int": "int",
    "float": "float",
    "int | None": "int or nothing",
    "float | None": "float or nothing",
    "Optional[int]": "int or nothing",
}
_NO_NUMBER = re.compile(r"(?!(?:null|nan|inf|infinity)$)[a-z]+", re.IGNORECASE)  # the parser says how nan is written


def look_at(value: Any, key: str, where: str, classes: dict[str, str]) -> None:
    """Look through what is set at a dotted key, and note the classes in it.

    Args:
        value: as YAML reads it.
        key: where it stands, without ``init_args``.
        where: said before it, such as "fast.yaml: ".
        classes: the class at each key so far; it is completed.

    Raises:
        UserError: for what cannot be a class with its arguments, such as an ``init_args:`` whose lines are commented
            out, a class that does not exist, an argument that it has not, or a word for a number.
    """
    if value is None and key.endswith("+"):
        raise UserError(f"{where}{key} adds to a list, and got nothing; to empty that, set {key[:-1]} to []")
    name = value.get("class_path") if isinstance(value, Mapping) else value
    if isinstance(name, str):
        for below in [each for each in classes if each.startswith(f"{key}.")]:
            del classes[below]
        classes[key] = name
        _refuse_unknown_class(name, f"{where}{key}")
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, item in items:
        given = "nothing" if item is None else repr(item)
        if name == "class_path" and not isinstance(item, str):
            raise UserError(f"{where}{key}.class_path: expected a class, such as package.module.Class, got {given}")
        if name == "init_args" and not isinstance(item, Mapping):
            raise UserError(f"{where}{key}.init_args: expected keys and values, got {given}")
        if name == "init_args" and "class_path" in value:
            for option, setting in item.items():
                refuse_argument(f"{key}.{option}", setting, where, classes)
        if name != "class_path":
            look_at(item, key if name == "init_args" else f"{key}.{name}", where, classes)


def refuse_argument(key: str, value: Any, where: str, classes: Mapping[str, str]) -> None:
    """Look whether the class above a dotted key has such an argument.

    Raises:
        UserError: if it has not, or wants a number and gets a word.
    """
    above, _, option = key.rpartition(".")
    while above and above not in classes:
        above, _, name = above.rpartition(".")
        option = f"{name}.{option}"
    known = arguments(classes.get(above, ""))
    option = option.partition(".")[0].removesuffix("+")
    if not known or option in ("class_path", "init_args", "dict_kwargs"):
        return
    if option not in known:
        likely = suggestion(option, known)
        raise UserError(f"{where}{key}: {classes[above]}: Option {option!r} is not accepted; {likely}")
    if key == f"{above}.{option}":
        refuse_word(value, known[option], f"{where}{key}")


def refuse_word(value: Any, kind: str, key: str) -> None:
    """Refuse a word for a value whose type is that of a number.

    Raises:
        UserError: naming the type.
    """
    if kind in _KINDS and isinstance(value, str) and value.isascii() and _NO_NUMBER.fullmatch(value):
        raise UserError(f"{key}: expected {_KINDS[kind]}, got {value!r}")


def _refuse_unknown_class(path: str, key: str) -> None:
    module, _, name = path.rpartition(".")
    file = _file(module) if name[:1].isupper() else None
    if file is not None and file.is_file():
        text = file.read_text(encoding="utf-8")
        if not re.search(rf"\b{re.escape(name)}\b", text):
            likely = suggestion(name, re.findall(r"^class ([A-Z]\w*)", text, re.MULTILINE))
            raise UserError(f"{key}: {path}: there is no {name} in {module}; {likely}")
        return
    while file is not None and not file.parent.is_dir():
        file = file.parent
    if file is not None and not file.with_suffix("").exists() and not file.with_suffix(".py").exists():
        package = ".".join(file.parent.relative_to(_PACKAGE.parent).parts)
        near = [each.stem for each in file.parent.glob("[!_]*")]
        raise UserError(f"{key}: {path}: there is no {file.stem} in {package}; {suggestion(file.stem, near)}")


def _file(module: str) -> Path | None:
    """Where a module of this package lies, if it exists; None for any other."""
    first, *rest = module.split(".")
    known = first == "aeanomaly" and rest and all(name.isidentifier() for name in rest)
    return _PACKAGE.joinpath(*rest).with_suffix(".py") if known else None


def arguments(path: str) -> Mapping[str, str]:
    """The types of the arguments of a class of this package, its parents' among them; empty if its file tells not."""
    module, _, name = path.rpartition(".")
    file = _file(module)
    return arguments_in(file, name, module) if file is not None else {}


@cache
def arguments_in(file: Path, name: str, module: str = "") -> dict[str, str]:
    """The types of the arguments of a class in a file, by name; empty if it is not as expected."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _arguments_of(node, tree, module)
    return {}


def _arguments_of(node: ast.ClassDef, tree: ast.Module, module: str) -> dict[str, str]:
    makers = [item.args for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"]
    listed = [item for args in makers for item in (*args.args[1:], *args.kwonlyargs)]
    own = {item.arg: ast.unparse(item.annotation) if item.annotation else "" for item in listed}
    if makers and makers[0].kwarg is None:
        return own
    if len(node.bases) != 1 or not isinstance(node.bases[0], ast.Name):
        return {}
    parent = node.bases[0].id
    imports = [item for item in tree.body if isinstance(item, ast.ImportFrom)]
    source = next((item.module for item in imports if parent in (alias.name for alias in item.names)), module)
    inherited = arguments(f"{source}.{parent}")
    return {**inherited, **own} if inherited else {}
