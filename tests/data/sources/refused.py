"""What a user is told of data that cannot be used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aeanomaly.data.base import OneClassDataModule
from aeanomaly.errors import UserError


def refused(make: Callable[[], OneClassDataModule]) -> str:
    """The one line with which data are refused, as they are made or set up."""
    with pytest.raises(UserError) as raised:
        make().setup()
    message = str(raised.value)
    assert "\n" not in message
    return message
