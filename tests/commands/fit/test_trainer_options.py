"""Every option of the Trainer works as documented, is refused in one line, or changes nothing and is said to."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from lightning.fabric.connector import _PRECISION_INPUT_STR, _PRECISION_INPUT_STR_ALIAS
from lightning.pytorch import Trainer

from aeanomaly.commands.fit.command import run
from aeanomaly.commands.main import main
from tests.commands.fit.callback_options import WATCH
from tests.commands.fit.option_checks import RUN, Option, Refused, Unused, Works, same_weights
from tests.commands.fit.trainer_options import OPTIONS, rows
from tests.conftest import DEBUG, REPOSITORY

# Without pictures, which take most of the time of so short a fit.
CALLBACKS = [
    {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
    {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "val/loss", "filename": "best-{epoch:02d}"},
    },
    {"class_path": "aeanomaly.callbacks.last_checkpoint.LastCheckpoint"},
    WATCH,
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A run without any further option: the command's object, and its folder."""
    folder = tmp_path_factory.mktemp("reference")
    cli = run("fit", [*base(), "--trainer.default_root_dir", str(folder)])
    (folder / "reference").symlink_to(folder / RUN)
    return cli, folder


@pytest.fixture(autouse=True)
def _torch_as_before() -> Iterator[None]:
    """What the Trainer sets for the whole process, and leaves so."""
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.benchmark = False
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def base() -> list[str]:
    return ["--config", DEBUG, "--trainer.max_epochs", "2", "--trainer.callbacks", json.dumps(CALLBACKS)]


def words(option: Option) -> list[str]:
    pairs = zip(option.words[::2], option.words[1::2], strict=True)
    named = ((name if name.startswith("--") else f"--trainer.{name}", value) for name, value in pairs)
    return [*base(), *(word for pair in named for word in pair)]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.option)
def test_option(
    option: Option,
    reference: tuple[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "reference").symlink_to(reference[1] / RUN)
    if isinstance(option, Refused):
        assert main([option.verb, *words(option)]) == 2
        error = assert_one_line(capsys.readouterr().err, option)
        left = {path.name for path in tmp_path.iterdir() if any(path.iterdir())} - {"reference"}
        assert left == ({"lightning_logs"} if "error: not tested: " in error else set())
        return
    cli = run(option.verb, words(option))
    (tmp_path / "said").write_text(capsys.readouterr().out)
    assert same_weights(cli) if isinstance(option, Unused) else option.seen(cli)


def assert_one_line(said: str, option: Refused) -> str:
    """One line on stderr, beside warnings, that names the option and says why it is refused."""
    lines = [line for line in said.splitlines() if "Warning: " not in line]
    assert len(lines) == 1, said
    assert lines[0].startswith("aeanomaly: error: ")
    assert option.name in lines[0]
    assert option.says in lines[0].removeprefix("aeanomaly: error: ")
    return lines[0]


def test_a_fit_without_an_option_does_not_pass_for_one_with_it(
    reference: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, folder = reference
    monkeypatch.chdir(folder)
    (folder / "said").write_text("")
    assert [each.option for each in OPTIONS if isinstance(each, Works) and each.verb == "fit" and each.seen(cli)] == []


def test_the_status_of_the_process_of_a_refused_command(tmp_path: Path) -> None:
    (option,) = (each for each in OPTIONS if isinstance(each, Refused) and each.option == "num_nodes 0")
    command = [sys.executable, "-m", "aeanomaly", "fit", *words(option)]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert_one_line(ended.stderr, option)


def test_every_option_of_the_trainer_stands_in_the_table_and_is_run() -> None:
    named = {word.removesuffix("+") for each in OPTIONS for word in each.words[::2]}
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} - named == set()
    first_column = " ".join(each.option for each in OPTIONS).replace(",", " ").replace(":", " ").split()
    assert set(inspect.signature(Trainer.__init__).parameters) - {"self"} - set(first_column) == set()


def test_every_precision_is_run() -> None:
    run_here = {each.words[at + 1] for each in OPTIONS for at, word in enumerate(each.words) if word == "precision"}
    of_lightning = {*get_args(_PRECISION_INPUT_STR), *get_args(_PRECISION_INPUT_STR_ALIAS)}
    assert of_lightning - run_here == {"32-true"}  # that of the fit that others are compared with


def test_the_table_in_the_docs_is_this_one() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text()
    assert "\n".join(rows()) in page
