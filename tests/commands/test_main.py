"""The first word is answered at once, and packages import nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY

PACKAGE = REPOSITORY / "aeanomaly"


DRY_RUN = ["benchmark", "--config", "configs/benchmark/debug.yaml", "--dry-run"]
NO_FILE = ["sweep", "--config", "no-such-file.yaml"]
NO_PICTURES = ["predict", "--ckpt_path", "README.md", "--images", "no-such-folder"]
NO_RUN = ["report", "no-such-run"]
NO_CHECKPOINT = ["export", "--ckpt_path", "no-such-run"]
QUICK = [["--help"], ["--version"], ["no-such-command"], DRY_RUN, NO_FILE, NO_PICTURES, NO_RUN, NO_CHECKPOINT]


@pytest.mark.parametrize("words", QUICK)
def test_what_can_be_answered_without_heavy_imports_is(words: list[str]) -> None:
    code = (
        "import sys; from aeanomaly.commands.main import main; main(sys.argv[1:]); "
        "print([name for name in ('torch', 'lightning', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


GRID = ["benchmark", "--config", "configs/benchmark/debug.yaml", "--dry-run"]  # shown by rich


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"], GRID], ids=["help", "predict", "benchmark"])
def test_a_reader_that_has_read_enough_ends_a_command_in_silence(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", "aeanomaly", *words],
            cwd=REPOSITORY,
            stdout=nobody,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_packages_import_nothing_heavy() -> None:
    rooms = [".".join(path.parent.relative_to(REPOSITORY).parts) for path in PACKAGE.rglob("__init__.py")]
    code = f"import sys, importlib; [importlib.import_module(room) for room in {rooms}]; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    for heavy in ("torch", "lightning", "sklearn", "matplotlib", "numpy", "yaml", "rich"):
        assert f"'{heavy}'" not in done.stdout


def test_a_class_has_a_short_name_too() -> None:
    from aeanomaly import models, scores
    from aeanomaly.models.dense import DenseAutoencoder
    from aeanomaly.scores.kmeans import KMeans

    assert models.DenseAutoencoder is DenseAutoencoder
    assert scores.KMeans is KMeans
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = models.Nothing
    with pytest.raises(ImportError):
        from aeanomaly.scores import Output  # noqa: F401 - it is imported there, but is at home elsewhere
