"""How the tests reach the scripts of performance/ and read what they print."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.conftest import REPOSITORY

BENCHMARKS = REPOSITORY / "performance"


def load(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of performance/."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module(name)


def cells(text: str, first: str) -> list[str]:
    """The row of a text table that begins with these words, without them."""
    (line,) = (line for line in text.splitlines() if line.startswith(first + "  "))
    return line.removeprefix(first).split()
