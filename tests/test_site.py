"""The documentation site is built without a warning."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("mkdocstrings", reason="needs mkdocs: pip install -e '.[docs]'")


def test_it_is_built_and_describes_every_room(tmp_path: Path) -> None:
    """Strictly: a link that leads nowhere, or a page that is not in the navigation, fails it."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page, name in (("scores", "KMeans"), ("models", "DenseAutoencoder"), ("data", "OneClassDataModule")):
        assert f'id="aeanomaly.{page}.' in (tmp_path / "site" / "api" / f"{page}.html").read_text()
        assert name in (tmp_path / "site" / "api" / f"{page}.html").read_text()
