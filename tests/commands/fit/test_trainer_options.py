"""Every option of the Trainer that one may want for this kind of job works as documented, or is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aeanomaly.commands.fit.command import run
from aeanomaly.errors import UserError
from tests.commands.fit.trainer_options import OPTIONS, RUN, Refused, Works, rows
from tests.conftest import DEBUG, REPOSITORY

# Without pictures, which take most of the time of so short a fit.
CALLBACKS = [
    {"class_path": "aeanomaly.callbacks.fit_scores.FitScores"},
    {
        "class_path": "lightning.pytorch.callbacks.ModelCheckpoint",
        "init_args": {"monitor": "val/loss", "filename": "best-{epoch:02d}"},
    },
    {"class_path": "aeanomaly.callbacks.last_checkpoint.LastCheckpoint"},
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without any further option."""
    folder = tmp_path_factory.mktemp("reference")
    run("fit", [*base(), "--trainer.default_root_dir", str(folder)])
    return folder / RUN


def base() -> list[str]:
    return ["--config", DEBUG, "--trainer.max_epochs", "2", "--trainer.callbacks", json.dumps(CALLBACKS)]


def words(option: Works | Refused) -> list[str]:
    pairs = zip(option.words[::2], option.words[1::2], strict=True)
    return [*base(), *(word for name, value in pairs for word in (f"--trainer.{name}", value))]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.option)
def test_option(option: Works | Refused, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(option, Refused):
        with pytest.raises(UserError, match=option.says):
            run("fit", words(option))
        return
    (tmp_path / "reference").symlink_to(reference)
    assert option.seen(run("fit", words(option)))


def test_the_table_in_the_docs_is_this_one() -> None:
    page = (REPOSITORY / "docs" / "reliability.md").read_text()
    assert "\n".join(rows()) in page
