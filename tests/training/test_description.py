"""An object as class path and arguments."""

from __future__ import annotations

from typing import Any

import pytest

from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.training.description import describe


class HandsOn(DenseAutoencoder):
    """Gives what it does not know to the net that it inherits from."""

    def __init__(self, extra: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.extra = extra


class Listed(DenseAutoencoder):
    """Takes widths without names."""

    def __init__(self, *hidden: int) -> None:
        super().__init__((1, 4, 4), hidden, 3)


def test_arguments_taken_by_two_stars_stand_beside_the_others() -> None:
    described = describe(HandsOn(extra=2, image_shape=(1, 4, 4), hidden=[6], code_size=3))
    assert described["init_args"] == {"extra": 2, "image_shape": [1, 4, 4], "hidden": [6], "code_size": 3}


def test_arguments_without_names_cannot_be_described() -> None:
    with pytest.raises(TypeError, match=r"Listed takes \*hidden"):
        describe(Listed(8, 6))
