"""Hyperparameters are read from the flat file as long as it is of the config beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aeanomaly.runs.flat_file import read_flat, write_flat
from aeanomaly.runs.hyperparameters import flatten_config
from aeanomaly.runs.reading import read_run


def test_a_run_leaves_the_flat_config(run_dir: Path) -> None:
    text = (run_dir / "config.yaml").read_text()
    flat = read_flat(run_dir, text)
    assert flat is not None
    assert flat == flatten_config(yaml.safe_load(text))


def test_it_is_read_instead_of_the_config_until_that_is_changed(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("seed_everything: 3\n")
    write_flat(tmp_path, "seed_everything: 3\n", {"seed": 4})
    assert read_run(tmp_path).hyperparameters == {"seed": 4}
    (tmp_path / "config.yaml").write_text("seed_everything: 5\n")
    known = read_run(tmp_path).hyperparameters
    assert known is not None
    assert known["seed"] == 5


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"config": 1, "hyperparameters": {}}', "[" * 100_000])
def test_a_damaged_one_is_passed_over(content: str, tmp_path: Path) -> None:
    (tmp_path / "hyperparameters.json").write_text(content)
    assert read_flat(tmp_path, "") is None
