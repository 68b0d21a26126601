"""The finished grid, made once for all tests of the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.commands.benchmark.small_grid import words


@pytest.fixture(scope="package")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    assert main(words(folder, "out")) == 0
    return folder / "out"
