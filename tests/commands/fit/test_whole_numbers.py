"""Whole numbers stay whole, though to Python's cache of types ``float | int`` is ``int | float``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import pytest
from lightning.pytorch import Trainer

from aeanomaly.commands.fit.command import run
from aeanomaly.commands.typed_file import typed
from tests.conftest import DEBUG

FLOAT_FIRST = Optional[Union[float, int]]  # noqa: UP007, UP045 - as Lightning writes it


@dataclass
class Step:
    """A number of a file, of the type that the cache may give."""

    step: FLOAT_FIRST = None


@pytest.fixture
def float_first(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the Trainer's options are after imports in an unlucky order."""
    types = inspect.unwrap(Trainer.__init__).__annotations__
    for name in ("limit_train_batches", "limit_test_batches"):
        # Not by an index, which would go through the cache.
        monkeypatch.setitem(types, name, type(FLOAT_FIRST)(Union, (float, int, type(None))))
    return types


def test_one_batch_is_not_all_of_them(float_first: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--config", DEBUG, "--trainer.limit_train_batches", "1", "--trainer.limit_test_batches", "0.9"]
    trainer = run("fit", [*words, "--trainer.max_epochs", "1", "--data.eval_batch_size", "100"]).trainer
    assert trainer.num_training_batches == 1
    assert trainer.limit_test_batches == 0.9
    assert float_first["limit_train_batches"].__args__[0] is int


@pytest.mark.parametrize("value", [1, 1.0, 0.5, None])
def test_a_number_of_a_file_is_as_it_stands_there(value: float | None) -> None:
    read = typed(Step, {"step": value}, "here").step
    assert (read, type(read)) == (value, type(value))
