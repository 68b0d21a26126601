"""The first word is answered at once, and packages import nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "aeanomaly"


DRY_RUN = ["benchmark", "--config", "configs/benchmark/debug.yaml", "--dry-run"]
NO_FILE = ["sweep", "--config", "no-such-file.yaml"]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["no-such-command"], DRY_RUN, NO_FILE])
def test_what_can_be_answered_without_heavy_imports_is(words: list[str]) -> None:
    code = (
        "import sys; from aeanomaly.commands.main import main; main(sys.argv[1:]); "
        "print([name for name in ('torch', 'lightning', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_package_files_import_nothing_heavy() -> None:
    for path in PACKAGE.rglob("__init__.py"):
        tree = ast.parse(path.read_text())
        assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))], path
