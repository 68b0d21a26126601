"""ruff, mypy and import-linter are clean, so that a commit that is not fails here; pages and declarations are true."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

TOOLS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["lint-imports"],
]
BESIDE_PYTHON = str(Path(sys.executable).parent)


def run_tool(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of the extra `dev` as its console script: not each of them does anything as ``python -m``."""
    found = shutil.which(words[0], path=BESIDE_PYTHON)
    if found is None:
        pytest.skip(f"{words[0]} is not installed: pip install -e '.[dev]'")
    command = [found, *words[1:]]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("words", TOOLS, ids=" ".join)
def test_tool_is_satisfied(words: list[str]) -> None:
    done = run_tool(words, REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_arrow_upward_is_refused(tmp_path: Path) -> None:
    """With the contracts as they stand, and one import too many in a copy of the package."""
    shutil.copytree(REPOSITORY / "aeanomaly", tmp_path / "aeanomaly")
    shutil.copy(REPOSITORY / "pyproject.toml", tmp_path)
    with (tmp_path / "aeanomaly" / "models" / "base.py").open("a") as module:
        module.write("import aeanomaly.callbacks.density\n")
    done = run_tool(["lint-imports", "--no-cache"], tmp_path)
    assert done.returncode == 1
    assert "aeanomaly.models.base -> aeanomaly.callbacks.density" in done.stdout


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    """The first names of what the package imports, at the top of a module or inside a function."""
    names = set()
    for path in (REPOSITORY / "aeanomaly").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(str(node.module).partition(".")[0])
    return names - set(sys.stdlib_module_names) - {"aeanomaly"}


def test_what_is_imported_is_declared() -> None:
    tomllib = pytest.importorskip("tomllib", reason="Python 3.11 or later reads pyproject.toml by itself")
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *(line for extra in project["optional-dependencies"].values() for line in extra),
    ]
    names = {normalised(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in declared}
    distributions = importlib.metadata.packages_distributions()
    undeclared = [
        name
        for name in sorted(imported())
        if names.isdisjoint(normalised(found) for found in distributions.get(name, [name]))
    ]
    assert undeclared == []


def text_files() -> list[Path]:
    """What people write: code, configs, pages."""
    rooms = ("aeanomaly", "tests", "performance", "configs", "docs", ".ci")
    kinds = {".py", ".md", ".yaml", ".toml", ".js", ".html"}
    found = [*REPOSITORY.glob("*"), *(path for room in rooms for path in (REPOSITORY / room).rglob("*"))]
    return [path for path in found if path.suffix in kinds]


def test_no_merge_is_left_half_done() -> None:
    marks = re.compile(r"^(<{7} |={7}$|>{7} )", re.MULTILINE)
    assert [path for path in text_files() if marks.search(path.read_text(errors="replace"))] == []


def test_files_that_pages_name_are_there() -> None:
    """Tests that show what a page says, and scripts that make its tables."""
    named = re.compile(r"\b(?:tests|performance|configs)/[\w./-]*\w")
    pages = [path for path in text_files() if path.suffix == ".md" and path.name != "CHANGELOG.md"]
    assert len(pages) > 10
    absent = {name for page in pages for name in named.findall(page.read_text()) if not (REPOSITORY / name).exists()}
    assert absent == set()
