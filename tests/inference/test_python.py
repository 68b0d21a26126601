"""The few names that aeanomaly offers to Python, and the page that shows them."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aeanomaly
from aeanomaly.errors import UserError
from aeanomaly.inference.anomaly_detector import AnomalyDetector
from tests.conftest import DEBUG, REPOSITORY
from tests.pages import blocks


def test_short_names_are_lazy() -> None:
    assert aeanomaly.AnomalyDetector is AnomalyDetector
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = aeanomaly.nothing  # type: ignore[attr-defined]


def test_the_page_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    page = REPOSITORY / "docs" / "scoring.md"
    (block,) = blocks(page, "python")
    names: dict[str, Any] = {}
    exec(block.code, names)
    assert names["score"].shape == names["p_value"].shape == names["decision"]["alarm5"].shape == (1,)
    (session,) = blocks(page, "pycon")
    example = doctest.DocTestParser().get_doctest(session.code, {"aeanomaly": aeanomaly}, page.name, None, None)
    assert doctest.DocTestRunner().run(example) == (0, 4)


def test_fit_from_python(tmp_path: Path) -> None:
    config = Path(DEBUG)
    with pytest.raises(UserError, match=r"base\.yaml"):
        aeanomaly.fit(seed_everything=3)
    small = {"trainer.max_epochs": 1, "trainer.default_root_dir": str(tmp_path)}
    run = aeanomaly.fit(config, seed_everything=3, **small)
    assert (run.status, run.record["seed"]) == ("ok", 3)
    assert run.path == tmp_path / "lightning_logs" / "version_0"
    assert aeanomaly.load(run.path).score(np.zeros((8, 8), np.uint8)).shape == (1,)
    with pytest.raises(UserError, match="there is no option --nothing"):
        aeanomaly.fit(config, nothing=3)
    with pytest.raises(UserError, match="there is no file"):
        aeanomaly.fit([config, tmp_path / "nowhere.yaml"])
