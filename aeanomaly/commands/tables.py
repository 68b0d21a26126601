"""Tables that are printed whole, and tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table


def print_whole(console: Console, table: Table) -> None:
    """Print without cutting values off, however narrow the console; if nobody watches, without wrapping either."""
    needed = Measurement.get(console, console.options.update(width=10_000), table)
    console.width = max(console.width, needed.minimum if console.is_terminal else needed.maximum)
    console.print(table)


def markdown_table(columns: Iterable[tuple[str, bool, Sequence[str]]]) -> list[str]:
    """The lines of a table. A column is its heading, whether it holds numbers (right-aligned), and its cells."""
    texts = [[heading, "---:" if numbers else "---", *cells] for heading, numbers, cells in columns]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in zip(*texts, strict=True)]
