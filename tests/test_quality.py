"""ruff, mypy and import-linter are clean, so that a commit that is not fails here and not in review."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

TOOLS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["importlinter.cli", "lint", "--no-logo"],
]


@pytest.mark.parametrize("words", TOOLS, ids=" ".join)
def test_tool_is_satisfied(words: list[str]) -> None:
    if importlib.util.find_spec(words[0].partition(".")[0]) is None:
        pytest.skip(f"{words[0]} is not installed: pip install -e '.[dev]'")
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=REPOSITORY, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
