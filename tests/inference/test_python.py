"""The few names that aeanomaly offers to Python, and the page that shows them."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import aeanomaly
from aeanomaly.commands.fit.options import option
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
    small = {"trainer.max_epochs": 1, "trainer.default_root_dir": tmp_path}
    run = aeanomaly.fit(config, seed_everything=np.int64(3), **small)
    assert (run.status, run.record["seed"]) == ("ok", 3)
    assert run.path == tmp_path / "lightning_logs" / "version_0"
    assert aeanomaly.load(run.path).score(np.zeros((8, 8), np.uint8)).shape == (1,)
    assert aeanomaly.load(run).detector.state_dict().keys() == aeanomaly.load(run.path).detector.state_dict().keys()
    with pytest.raises(UserError, match="there is no option --nothing"):
        aeanomaly.fit(config, nothing=3)
    with pytest.raises(UserError, match="there is no file"):
        aeanomaly.fit([config, tmp_path / "nowhere.yaml"])


@pytest.mark.parametrize(
    ("value", "word"),
    [
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "true"),
        (np.arange(3), "[0, 1, 2]"),
        (np.array(2), "2"),
        (torch.tensor([1, 2]), "[1, 2]"),
        (Path("some") / "place", "some/place"),
        ([Path("place")], '["place"]'),
        (range(3, 0, -1), "[3, 2, 1]"),
        ({"b", "a"}, '["a", "b"]'),
        ((1, np.int8(2)), "[1, 2]"),
        ({"size": np.uint8(4)}, '{"size": 4}'),
        (None, "null"),
        (np.str_("text"), "text"),
    ],
)
def test_what_an_override_may_be(value: Any, word: str) -> None:
    assert option("some.key", value) == f"--some.key={word}"


@pytest.mark.parametrize(
    ("value", "says"),
    [(object(), "object is no value"), ([1, {1j}], "complex is no value"), ({(1, 2): 3}, "keys must be str")],
)
def test_what_an_override_may_not_be(value: Any, says: str) -> None:
    with pytest.raises(UserError, match=f"some.key: {says}.*; give numbers, text, or lists"):
        option("some.key", value)


@pytest.mark.parametrize("config", [None, 3, [None], b"configs"])
def test_what_a_config_may_not_be(config: Any) -> None:
    with pytest.raises(UserError, match=r"fit: config is the path of a YAML file, or several, not (NoneType|int)"):
        aeanomaly.fit(config)
