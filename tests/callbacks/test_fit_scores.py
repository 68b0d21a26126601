"""Whether what is trained last is validated, as far as it can be told before training."""

from __future__ import annotations

from typing import Any

import pytest

from aeanomaly.callbacks.fit_scores import FitScores
from aeanomaly.errors import UserError
from tests.training.parts import make_data, make_module, make_trainer


@pytest.mark.parametrize(
    ("length", "interval", "batches"),
    [
        ({"max_epochs": 3}, 37, 111),  # 37 batches in 10 steps, the last of which is of one
        ({"max_epochs": 3}, 40, 111),
        ({"max_steps": 15}, 19, 57),
        ({"max_steps": 15}, 20, 57),
        ({"max_epochs": 3, "max_steps": 15}, 20, 57),
    ],
    ids=str,
)
def test_batches_are_counted_where_they_are_accumulated(length: dict[str, int], interval: int, batches: int) -> None:
    options: dict[str, Any] = {"check_val_every_n_epoch": None, "accumulate_grad_batches": 4, **length}
    trainer = make_trainer([FitScores()], val_check_interval=interval, **options)
    if batches % interval:
        with pytest.raises(UserError, match=f"this fit has {batches} batches"):
            trainer.fit(make_module(), make_data())
    else:
        trainer.fit(make_module(), make_data())
        assert trainer.fit_loop.total_batch_idx + 1 == batches
