"""What is released: an sdist, and the wheel that is built from it, installed where the repository is not."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

pytest.importorskip("build", reason="needs build: pip install -e '.[dev]'")
SHIPPED = ("aeanomaly", "configs", "pyproject.toml", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE")


def files(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the sdist and the wheel, built from a copy: a build writes beside its sources."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    for name in SHIPPED:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    # The wheel is built from the sdist, not from the sources.
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_has_every_file_of_the_package_and_the_sdist_the_configs_too(built: Path) -> None:
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = {f"aeanomaly/{name}" for name in files(REPOSITORY / "aeanomaly")}
    assert held == package
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert names >= package | {f"configs/{name}" for name in files(REPOSITORY / "configs")}


def test_an_installed_wheel_trains_without_the_repository(built: Path, tmp_path: Path) -> None:
    (wheel,), site = built.glob("*.whl"), tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    for name in ("debug.yaml", "callbacks.yaml"):
        shutil.copy(REPOSITORY / "configs" / name, tmp_path / name)

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert Path(run("-c", "import aeanomaly; print(aeanomaly.__file__)").strip()).parent == site / "aeanomaly"
    assert "Report: " in run("-m", "aeanomaly", "fit", "--config", "debug.yaml", "--trainer.max_epochs", "1")
    assert (tmp_path / "lightning_logs" / "version_0" / "report.html").is_file()
