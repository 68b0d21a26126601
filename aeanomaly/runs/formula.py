"""Texts in CSV files that a spreadsheet must not take for formulas."""

from __future__ import annotations

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, and that the text can be had back from.

    An apostrophe stands before what might be one, and before an apostrophe (OWASP, CSV Injection).
    """
    return f"'{text}" if text.startswith((*_FORMULA, "'")) else text


def original(cell: str) -> str:
    """The text that `harmless` made a cell of."""
    return cell.removeprefix("'")
