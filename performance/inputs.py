"""How many bad and hostile inputs were tried, how each ended, and how long that took: two tables, made by the tests.

    python performance/inputs.py --profile long --write docs/reliability.md
    python performance/inputs.py --only hostile

runs the tests in a process of their own. "bad" are the words, options, configs and files that hypothesis draws in
`tests/commands/test_bad_input.py`, as many as `--profile` says; each is a command, which must end with the status 0 or
2, in the latter case with one line and no traceback, and leave nothing behind. "hostile" are the tests that
docs/reliability.md names for checkpoints, arrays, archives, pictures and names that others made. A test that fails is
counted, and named below the table.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from markdown_section import Report, add_options

REPOSITORY = Path(__file__).resolve().parent.parent
DRAWN = "tests/commands/test_bad_input.py"
HOSTILE = (
    "tests/commands/test_hostile.py",
    "tests/commands/test_hostile_checkpoints.py",
    "tests/inference/test_restoring.py",
    "tests/data/sources/test_array_troubles.py",
    "tests/data/test_pictures.py",
    "tests/data/sources/test_folder_troubles.py",
    "tests/commands/predict/test_predict.py",
    "tests/commands/benchmark/test_formulas.py",
    "tests/test_report_browser.py",
    "tests/test_exclusion_browser.py",
)
# What hypothesis says of a test: its name, then how many commands ended well, badly, or were no case.
_DRAWN = re.compile(
    r"^\S+::(\w+):$|(\d+) passing(?: examples)?, (\d+) failing(?: examples)?,(?: and)? (\d+) invalid", re.MULTILINE
)


def tested(files: Sequence[str], profile: str) -> tuple[list[ElementTree.Element], str]:
    """The cases of test files, as pytest reports them, and what it says.

    Raises:
        SystemExit: if pytest could not run them.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        words = ["-q", "-n0", "-m", "slow or not slow", f"--junitxml={report}", "--hypothesis-show-statistics", *files]
        ended = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=REPOSITORY,
            env={**os.environ, "HYPOTHESIS_PROFILE": profile},
            capture_output=True,
            text=True,
        )
        if ended.returncode not in (0, 1):  # 1: some failed
            raise SystemExit(ended.stdout + ended.stderr)
        return list(ElementTree.parse(report).iter("testcase")), ended.stdout


def outcome(case: ElementTree.Element) -> str:
    """passed, failed or skipped."""
    kinds = {child.tag for child in case}
    return "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"


def drawn_rows(cases: Sequence[ElementTree.Element], said: str) -> list[list[str]]:
    """For each property: commands, those that ended well, those that did not, minutes."""
    counts: dict[str, list[int]] = {}
    name = ""
    for test, *numbers in _DRAWN.findall(said):
        name = test or name
        if not test:  # a test has several phases
            counts[name] = [a + int(b) for a, b in zip(counts.get(name, [0, 0, 0]), numbers, strict=True)]
    rows = []
    for case in cases:
        title = case.attrib["name"].removeprefix("test_").replace("_", " ")
        good, bad, _ = counts[case.attrib["name"]]
        rows.append([title, f"{good + bad:,}", f"{good:,}", f"{bad:,}", f"{float(case.attrib['time']) / 60:.1f}"])
    return rows


def hostile_rows(cases: Sequence[ElementTree.Element]) -> list[list[str]]:
    """For each file: tests, those that passed, failed, were skipped, seconds."""
    rows = []
    for file in HOSTILE:
        dotted = file.removesuffix(".py").replace("/", ".")
        own = [case for case in cases if case.attrib["classname"] == dotted]
        ends = [outcome(case) for case in own]
        seconds = sum(float(case.attrib["time"]) for case in own)
        counted = (str(ends.count(kind)) for kind in ("passed", "failed", "skipped"))
        rows.append([f"`{file}`", str(len(own)), *counted, f"{seconds:.1f}"])
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=("bad", "hostile"), default=["bad", "hostile"])
    parser.add_argument("--profile", choices=("quick", "ci", "long"), default="ci", help="how many bad ones are drawn")
    add_options(parser)
    options = parser.parse_args()
    for kind in options.only:
        begin = time.monotonic()
        cases, said = tested([DRAWN] if kind == "bad" else HOSTILE, options.profile)
        minutes = f"{(time.monotonic() - begin) / 60:.1f} minutes"
        if kind == "bad":
            report = Report("bad input", f"the profile {options.profile}, {minutes}")
            header = ["what is drawn", "commands", "ended well", "did not", "minutes"]
            report.table(header, drawn_rows(cases, said))
        else:
            report = Report("hostile input", minutes)
            report.table(["tests", "number", "passed", "failed", "skipped", "s"], hostile_rows(cases))
        for case in cases:
            if outcome(case) == "failed":
                report.sentence(f"Failed: {case.attrib['classname']}.{case.attrib['name']}")
        report.publish(options)


if __name__ == "__main__":
    main()
