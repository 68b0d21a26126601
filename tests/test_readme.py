"""Every command of the README is run, here or by .ci/run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.conftest import REPOSITORY
from tests.data.picture_files import fill
from tests.pages import blocks, commands

PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")]
INSTALL, BEST, TEST, *TRY = [commands(block.code) for block in blocks(REPOSITORY / "README.md", "bash")]
OTHERS = [BEST, *TRY]


def test_ci_runs_the_two_set_up_commands_as_printed() -> None:
    script = " ".join(commands((REPOSITORY / ".ci" / "run").read_text()))
    assert " ".join(INSTALL) in script
    assert script.endswith(" ".join(TEST))


def test_own_pictures_are_reported_on_in_three_commands() -> None:
    """Two of them install, as the first block of the page does."""
    ((venv, install, fit),) = [block for block in OTHERS if "pip install -e ." in block]
    assert f"{venv} && {install} &&" in " ".join(INSTALL)
    assert "--config configs/scores/where.yaml" in fit


def test_every_other_command_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the digits instead of MNIST, one epoch each, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    installing = ("python3 -m venv ", "pip install ")  # .ci/run does
    todo = [command for block in OTHERS for command in block if not command.startswith(installing)]
    assert todo
    own = Path()
    fill(tmp_path, pictures_good=130, pictures_new=3, later=2)
    assert main(["fit", "--config", "configs/debug.yaml"]) == 0  # the main job, which the reader has run before
    for command in todo:
        if command.startswith("tensorboard "):
            assert shlex.split(command)[1:] == ["--logdir", "lightning_logs"]
            continue
        words = shlex.split(command.replace("configs/base.yaml", "configs/debug.yaml"))
        assert words[:3] == ["python", "-m", "aeanomaly"], command
        small = ["--trainer.max_epochs", "1", "--trainer.check_val_every_n_epoch", "1"] if words[3] == "fit" else []
        if "configs/best.yaml" in words:  # it has no digits of its own to be replaced by
            digits = ["--data", "aeanomaly.data.sources.digits.Digits", "--data.anomaly_classes", "[0]"]
            small = ["--data.size", "32"] if "configs/data/folder.yaml" in words else digits
            small += ["--trainer.max_steps", "5", "--trainer.val_check_interval", "5"]
        if "--heatmaps" in words:  # of a reader whose first run is that of the pictures
            words[words.index("lightning_logs/version_0")] = str(own)
        assert main([*words[3:], *small]) == 0, command
        if "configs/scores/where.yaml" in words:
            own = max(Path("lightning_logs").iterdir(), key=lambda run: int(run.name.partition("_")[2]))
            assert '"map:patches": "data:image' in (own / "report.html").read_text()
            assert (own / "figures" / "heat_maps_patches.png").is_file()
    assert sorted(path.name for path in Path("heatmaps").iterdir()) == [f"00{row}.png.patches.png" for row in range(2)]


def test_files_that_are_linked_exist() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_of_the_package_that_are_named_exist() -> None:
    for page in PAGES:
        if page.name == "CHANGELOG.md":  # it tells of what was
            continue
        rooms = "callbacks|commands|data|distributed|evaluation|models|plots|runs|scores|training"
        for path in re.findall(rf"`(?:aeanomaly/)?((?:{rooms})/[\w/]+\.py)`", page.read_text()):
            assert (REPOSITORY / "aeanomaly" / path).is_file(), f"{page.name}: {path}"
