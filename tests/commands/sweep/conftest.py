"""A finished sweep, shared by the tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.commands.sweep.parts import sweep


@pytest.fixture(scope="package")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep, for tests that only read it."""
    folder = tmp_path_factory.mktemp("sweep")
    assert sweep(folder / "small.yaml", folder / "out") == 0
    return folder / "out"
