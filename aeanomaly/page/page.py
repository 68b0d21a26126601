"""Filling in page.html: everything that it needs stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from aeanomaly import __version__
from aeanomaly.page.content import config_text, facts, localising, metric_rows, run_data
from aeanomaly.page.gallery import Gallery
from aeanomaly.page.scored import ScoredRun, read_scored
from aeanomaly.runs.files import write_whole

FILE = "report.html"
SCRIPTS = ("data.js", "charts.js", "images.js", "page.js")
_HERE = Path(__file__).parent


@dataclass
class Entry:
    """A run on the page: its name there, its scores, and its pictures, or why there are none."""

    name: str
    scored: ScoredRun
    gallery: Gallery | None = None
    without: str = ""


@dataclass
class SideBySide:
    """The table of several runs: headings with whether numbers stand below, rows of texts, and remarks on them."""

    headings: Sequence[tuple[str, bool]]
    rows: Sequence[Sequence[str]]
    remarks: Sequence[str] = ()


def render(entries: Sequence[Entry], table: SideBySide | None = None) -> str:
    """The page of one run or several.

    Names and values are escaped wherever they come from: a class may be called ``<script>``.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    # In the order in which they were made; and a NaN, which JSON has no word for, must not get this far.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    runs: list[dict[str, Any]] = [
        {
            "name": entry.name,
            "metrics": metric_rows(entry.scored),
            "localising": localising(entry.scored),
            "facts": facts(entry.scored),
            "config": config_text(entry.scored.run.path),
            "without": entry.without,
        }
        for entry in entries
    ]
    return environment.get_template("page.html").render(
        title=", ".join(entry.name for entry in entries),
        version=__version__,
        runs=runs,
        table=table,
        data=[run_data(entry.name, entry.scored, entry.gallery) for entry in entries],
        style=_read("page.css"),
        script="\n".join(map(_read, SCRIPTS)),
        charts=_charts(),
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


def _charts() -> str:
    """Chart.js without the last line, which names a file for debuggers that is not there."""
    return _read("chart_js/chart.umd.min.js").partition("//# sourceMappingURL")[0]


def write_page(run: Path, gallery: Gallery | None, without: str = "") -> Path:
    """Write the page of one run into its directory.

    Raises:
        UserError: if the run was not tested, or the page cannot be written.
    """
    write_whole(run / FILE, render([Entry(run.name, read_scored(run), gallery, without)]))
    return run / FILE
