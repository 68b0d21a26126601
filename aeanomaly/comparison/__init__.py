"""Runs side by side: columns, rows, order and formats. Needs no torch."""
