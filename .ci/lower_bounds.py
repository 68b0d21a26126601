"""Install every declared lower bound of pyproject.toml in an environment of its own, and run the tests there.

    python .ci/lower_bounds.py FOLDER                       the whole suite
    python .ci/lower_bounds.py FOLDER tests/scores -n 1     what pytest is given

The whole suite is all but ruff, mypy and import-linter, which look at the code and not at what it is run with. FOLDER
is where the environment is made, and kept for a second start. Of the Pythons that are installed, the oldest that
the project allows is taken. Needs Python 3.11 itself, for tomllib. The exit status is that of pip or of pytest.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import tomllib

REPOSITORY = Path(__file__).resolve().parent.parent


def lower_bounds(project: dict) -> list[str]:
    """``name[extra]==bound`` for each dependency and extra of the project that has a bound, the bare name otherwise."""
    declared = list(project["dependencies"])
    for extra in project["optional-dependencies"].values():
        declared += [line for line in extra if not line.startswith(project["name"])]  # an extra may name other extras
    return [re.sub(r"^([\w.\[\],-]+?)(?:>=([\w.]+).*)?$", _pinned, line) for line in declared]


def _pinned(match: re.Match[str]) -> str:
    return f"{match[1]}=={match[2]}" if match[2] else match[1]


def oldest_python(project: dict) -> str:
    """The oldest installed interpreter that ``requires-python`` (``>=3.N``) allows."""
    first = int(project["requires-python"].removeprefix(">=3."))
    for minor in range(first, first + 10):
        found = shutil.which(f"python3.{minor}")
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    sys.exit(f"no Python {project['requires-python']} is installed")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of the environment")
    parser.add_argument("tests", nargs="*", help="for pytest; the whole suite by default")
    options, for_pytest = parser.parse_known_args()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    python = options.folder / "bin" / "python"
    if not python.exists():
        subprocess.run([oldest_python(project), "-m", "venv", str(options.folder)], check=True)
    pins = lower_bounds(project)
    print("\n".join(pins), flush=True)
    installed = subprocess.run([python, "-m", "pip", "install", "--quiet", *pins, "-e", REPOSITORY], check=False)
    if installed.returncode:
        return installed.returncode
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    chosen = options.tests or ["--ignore", "tests/test_quality.py"]
    command = [python, "-m", "pytest", *chosen, *for_pytest]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
