"""The tables of bad and hostile input count what the tests say, also where one of them fails."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tests.performance.scripts import BENCHMARKS, cells, load
from tests.processes import run_script


@pytest.fixture
def inputs(monkeypatch: pytest.MonkeyPatch) -> Any:
    return load("inputs", monkeypatch)


def case(name: str, seconds: float, child: str = "", place: str = "tests.commands.test_hostile") -> ElementTree.Element:
    found = ElementTree.Element("testcase", name=name, classname=place, time=str(seconds))
    if child:
        ElementTree.SubElement(found, child)
    return found


def test_commands_that_hypothesis_drew_are_counted_over_all_phases(inputs: Any) -> None:
    said = """
tests/commands/test_bad_input.py::test_odd_words:
  - during generate phase (2.1 seconds):
    - 1200 passing, 1 failing, and 5 invalid test cases
  - during shrink phase (1.0 seconds):
    - 30 passing examples, 9 failing examples, 0 invalid examples
tests/commands/test_bad_input.py::test_odd_files:
  - during generate phase (0.13 seconds):
    - 25 passing, 0 failing, and 5 invalid test cases
"""
    cases = [case("test_odd_words", 90, "failure"), case("test_odd_files", 6)]
    assert inputs.drawn_rows(cases, said) == [
        ["odd words", "1,240", "1,230", "10", "1.5"],
        ["odd files", "25", "25", "0", "0.1"],
    ]


def test_hostile_tests_are_counted_by_file(inputs: Any) -> None:
    cases = [case("a", 1.0), case("b", 2.0, "failure"), case("c", 0.25, "skipped"), case("d", 0.0, "error")]
    rows = inputs.hostile_rows([*cases, case("e", 1.0, place="tests.data.test_pictures")])
    assert rows[0] == ["`tests/commands/test_hostile.py`", "4", "1", "2", "1", "3.2"]
    assert [int(row[1]) for row in rows] == [4, 0, 0, 0, 1, 0, 0, 0, 0, 0]


def test_every_file_that_the_page_names_for_hostile_input_is_counted(inputs: Any) -> None:
    page = Path(REPOSITORY, "docs", "reliability.md").read_text()
    table = page.partition("| input | what happens | shown by |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(tests/\S+\.py)`", table))
    assert named == set(inputs.HOSTILE)
    assert all(Path(REPOSITORY, file).is_file() for file in named)


@pytest.mark.slow
def test_the_script_runs_the_tests(tmp_path: Path) -> None:
    ended = run_script(BENCHMARKS / "inputs.py", ["--only", "bad", "--profile", "quick"], tmp_path)
    assert ended.status == 0, ended.said
    assert cells(ended.said, "odd words")[:3] == ["25", "25", "0"]
