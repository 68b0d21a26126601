"""What the benchmarks of this folder print, and how it gets into docs/performance.md.

A script collects sentences and tables in a `Report` and calls `publish`: as text by default, as Markdown with
``--markdown``, and with ``--write PAGE`` also into its own section of the page, between ``<!-- begin NAME -->`` and
``<!-- end NAME -->``.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Processor, cores, threads and versions in one line, with the GPU if there is one."""
    import torch

    info = Path("/proc/cpuinfo")
    models = re.findall(r"^model name\s*: (.*)$", info.read_text(), flags=re.MULTILINE) if info.exists() else []
    parts = [models[0] if models else platform.processor() or platform.machine()]
    parts.append(f"{os.cpu_count()} cores, torch on {torch.get_num_threads()}")
    if torch.cuda.is_available():
        parts.append(torch.cuda.get_device_name())
    parts += [f"torch {torch.__version__}", f"lightning {version('lightning')}", f"Python {platform.python_version()}"]
    return ", ".join(parts)


def add_options(parser: argparse.ArgumentParser) -> None:
    """``--markdown`` and ``--write``, which every benchmark has."""
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the result into its section of this page, too")


class Report:
    """Sentences and tables in the order in which they are added.

    Args:
        name: of the section in the page.
        facts: what the first line says after machine and versions, such as the number of images.
    """

    def __init__(self, name: str, facts: str = "") -> None:
        self.name = name
        line = f"{machine()}{'; ' * bool(facts)}{facts}."
        self._text, self._markdown = [line], [line]

    def sentence(self, text: str) -> None:
        """Add a paragraph."""
        self._text.append(text)
        self._markdown.append(text)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Add a table; every column but the first is aligned to the right."""
        lines = [header, *rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
        text = []
        for line in lines:
            cells = [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
            text.append("  ".join(cells).rstrip())
        self._text.append("\n".join(text))
        rule = "|".join(["---", *["---:"] * (len(header) - 1)])
        marked = [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
        self._markdown.append("\n".join(marked))

    def publish(self, options: argparse.Namespace) -> None:
        """Print, and write if asked to."""
        print("\n\n".join(self._markdown if options.markdown else self._text), flush=True)
        if options.write is not None:
            write_section(options.write, self.name, "\n\n".join(self._markdown))


def write_section(page: Path, name: str, text: str) -> None:
    """Replace what stands between the two markers of a section.

    Raises:
        SystemExit: if the page has no such section, so that an hour's measuring does not end in the wrong place.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    content = page.read_text(encoding="utf-8")
    if content.count(begin) != 1 or content.count(end) != 1:
        raise SystemExit(f"{page} needs one {begin} and one {end}")
    before, _, rest = content.partition(begin)
    after = rest.partition(end)[2]
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")
