"""Write constraints.txt anew: the versions that pip chooses today, for `.ci/run` to install.

    python .ci/refresh_constraints.py [FOLDER]

They are chosen in a fresh environment, made in FOLDER (a temporary one by default) by the Python that runs this, with
all that `.[dev]` needs. Look at what changed (`git diff .ci/constraints.txt`), have `pip-audit` look at it
(CONTRIBUTING.md, Release), and run `.ci/run`. The exit status is that of pip.
"""

from __future__ import annotations

import platform
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
CONSTRAINTS = Path(__file__).resolve().parent / "constraints.txt"
# torch names exactly what it needs of CUDA; which packages that are depends on the platform.
FOLLOWING_TORCH = ("cuda-", "nvidia-", "triton==")


def chosen(folder: Path) -> list[str]:
    """``name==version`` of everything that ``.[dev]`` brings into an environment that is made in the folder."""
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--isolated", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "-e", f"{REPOSITORY}[dev]"], check=True)
    frozen = subprocess.run([*pip, "freeze", "--exclude-editable"], check=True, capture_output=True, text=True)
    return [line for line in frozen.stdout.splitlines() if not line.startswith(FOLLOWING_TORCH)]


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        try:
            lines = chosen(Path(sys.argv[1] if len(sys.argv) > 1 else temporary))
        except subprocess.CalledProcessError as error:
            return error.returncode
    about = f"# By `python .ci/refresh_constraints.py`, with Python {platform.python_version()}: what .ci/run installs."
    CONSTRAINTS.write_text("\n".join([about, *lines]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
