"""Data are made of a configuration alone, or what is wrong with it is told."""

from __future__ import annotations

from argparse import ArgumentError

import pytest

from aeanomaly.commands.configured_data import configured_data
from aeanomaly.data.sources.digits import Digits

DIGITS = "aeanomaly.data.sources.digits.Digits"


def test_the_options_are_those_of_the_configuration() -> None:
    data = configured_data({"class_path": DIGITS, "init_args": {"anomaly_classes": [3], "batch_size": 7}})
    assert isinstance(data, Digits)
    assert (data.anomaly_classes, data.batch_size) == ([3], 7)


def test_what_is_no_data_source_is_refused() -> None:
    with pytest.raises(ArgumentError, match="data"):
        configured_data({"class_path": "torch.nn.Linear"})
    with pytest.raises(ValueError, match=r"data\.batch_size must be at least 1"):
        configured_data({"class_path": DIGITS, "init_args": {"anomaly_classes": [3], "batch_size": 0}})
