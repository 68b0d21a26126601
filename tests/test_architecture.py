"""Arrows point down only, and importing the package is instant."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "aeanomaly"
FLOOR = {"errors", "files", "outputs"}
# Room or file -> the other rooms and files of the package that it may import.
ALLOWED = {
    "data": FLOOR,
    "models": FLOOR,
    "scores": FLOOR,
    "metrics": set(),
    "outputs": set(),
    "errors": set(),
    "files": {"errors"},
    "thresholds": {"errors"},
    "optim": set(),
    "hparams": set(),
    "distributed": {"errors"},
    "failure_board": set(),
    "failure_watch": {"distributed", "failure_board"},
    "growing": set(),
    "collector": {"distributed", "errors", "growing", "outputs", "scores"},
    "module": {"collector", "errors", "models", "optim", "outputs", "scores", "thresholds", "training"},
    "training": {"captured", "errors", "models", "outputs", "running_loss", "schedules", "stepping"},
    "running_loss": set(),
    "schedules": {"errors"},
    "precision": set(),
    "stepping": {"precision"},
    "captured": {"errors", "stepping"},
    "callbacks": FLOOR | {"distributed", "figures", "growing", "hparams", "metrics", "module", "run_logger", "scores"},
    "run_logger": {"errors", "runs"},
    "runs": {"errors", "hparams"},
    "restored": set(),
    "figures": set(),
    "honesty": {"errors"},
    "config_files": {"errors"},
    "benchmarking": {"config_files", "errors", "figures", "restored", "runs", "trainer_cli"},
    "checkpoints": {"errors", "runs"},
    "comparison": {"errors", "hparams", "runs"},
    "sweeping": {"restored", "callbacks", "comparison", "config_files", "errors", "files", "runs", "trainer_cli"},
}


def imports(path: Path) -> set[str]:
    """Rooms and files of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [
                f"{node.module}.{alias.name}" if node.module == "aeanomaly" else node.module for alias in node.names
            ]
        found |= {name.split(".")[1] for name in names if name.startswith("aeanomaly.")}
    return found - {"__version__"}


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_room_imports_only_what_is_below(room: str) -> None:
    files = [*(PACKAGE / room).rglob("*.py")] if (PACKAGE / room).is_dir() else [PACKAGE / f"{room}.py"]
    assert files
    for path in files:
        assert imports(path) - {room} <= ALLOWED[room], path


def test_callbacks_use_only_the_interface_of_scores() -> None:
    for path in (PACKAGE / "callbacks").glob("*.py"):
        modules = [node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        assert not [name for name in modules if name and name.startswith("aeanomaly.scores.") and name[17:] != "base"]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["no-such-command"]])
def test_first_word_is_answered_without_heavy_imports(words: list[str]) -> None:
    code = (
        "import sys; from aeanomaly.cli import main; main(sys.argv[1:]); "
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
