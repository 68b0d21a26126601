"""What is told before torch is imported, and that it agrees with the parser, which decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.fit.early import SECTIONS, options_of_model, options_of_trainer, refuse_early
from aeanomaly.commands.fit.trainer_cli import AnomalyCLI
from aeanomaly.errors import UserError
from tests.conftest import DEBUG, REPOSITORY

VERBS = ("fit", "validate", "test", "predict")


class KeysOnly(AnomalyCLI):
    """Stops when its parser is built, and keeps the dotted keys that this knows."""

    keys: set[str]

    def parse_arguments(self, parser: Any, args: Any) -> None:
        """Keep the keys."""
        actions = self._parser(self.command)._actions
        KeysOnly.keys = {action.dest.removesuffix("+") for action in actions if not action.dest.endswith(".help")}
        raise UserError("enough")


@pytest.fixture(scope="module")
def keys() -> dict[str, set[str]]:
    found = {}
    for verb in VERBS:
        with pytest.raises(UserError, match="enough"):
            KeysOnly(verb, [])
        found[verb] = KeysOnly.keys
    return found


def test_what_is_read_from_files_is_what_the_parser_has(keys: dict[str, set[str]]) -> None:
    for section, options in (("trainer", options_of_trainer()), ("model", options_of_model())):
        assert set(options) == {key.partition(".")[2] for key in keys["fit"] if key.startswith(f"{section}.")}
    assert options_of_trainer()["max_epochs"] in ("Optional[int]", "int | None")
    tops = {key.partition(".")[0] for verb in VERBS for key in keys[verb]}
    assert tops - {"help", "config", "print_config"} == set(SECTIONS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trainr:\n  max_epochs: 3\n", "there is no option trainr; did you mean 'trainer'?"),
        ("trainer:\n  max_epoch: 3\n", "there is no option trainer.max_epoch; did you mean 'max_epochs'?"),
        ("trainer:\n  max_epochs: many\n", "trainer.max_epochs: expected int or nothing, got 'many'"),
        ("trainer:\n  max_epochs: -5\n", "trainer.max_epochs must be at least -1, got -5"),
        ("trainer.max_epochs: -5\n", "trainer.max_epochs must be at least -1, got -5"),
        ("trainer:\n  limit_val_batches: 1.5\n", "trainer.limit_val_batches must be a share from 0 to 1 or a whole"),
        ("trainer:\n  gradient_clip_val: .nan\n", "trainer.gradient_clip_val must be a number, got nan"),
        ("trainer:\n", "trainer must hold keys and values, and holds nothing"),
        ("trainer: [1, 2]\n", "trainer must hold keys and values, and holds [1, 2]"),
        ("model:\n  nt: {}\n  scorse: {a: b}\n", "there is no option model.scorse; did you mean 'scores'?"),
        ("1: 2\n", "a key must be text, got 1"),
        ("trainer: {1: 2}\n", "a key in trainer must be text, got 1"),
        ("ckpt_path: no.ckpt\n", "ckpt_path: there is no file 'no.ckpt'"),
        ("seed_everything: -1\n", "seed_everything must lie between 0"),
        ("", "holds nothing: it must hold keys and values"),
        ("# a comment\n", "holds nothing: it must hold keys and values"),
        ("a: 2020-13-45\n", "is not valid YAML: month must be in 1..12"),
        (
            "trainer: &a {max_epochs: 1, callbacks: *a}\n",
            "an alias stands within what it names, which begins in line",
        ),
        ("a: 1\nmodel: &a {net: *a}\n", "an alias stands within what it names, which begins in line 2"),
        ("data: {a: 1}\nmodel: {}\ndata: {b: 2}\n", "line 3: the key 'data' stands twice"),
        ("trainer: {max_epochs: 1, max_epochs: 7}\n", "line 1: the key 'max_epochs' stands twice"),
        (
            "model: {net: {class_path: a.B, init_args: }}\n",
            "model.net.init_args: expected keys and values, got noth",
        ),
        ("model:\n  net: {class_path: [a]}\n", "model.net.class_path: expected a class, such as package.module.Class"),
        ("trainer: {callbacks: [{class_path: }]}\n", "trainer.callbacks.0.class_path: expected a class, such as"),
    ],
)
def test_mistakes_in_a_config_are_told(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as raised:
        refuse_early(["--config", DEBUG, "--config", str(file)])
    assert says in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.max_epochs", "-5", "--trainer.max_epochs", "3"],  # the last one counts
        ["--trainer.max_epochs", "many", "--trainer", "{max_epochs: 3}"],
        ["--trainer.max_epochs=NULL"],
        ["--trainer.max_epochs", "-5", "-c" + DEBUG],
        ["--trainer.callbacks+", "x", "--trainer.logger.save_dir", "y", "--model.net.code_size", "3"],
        ["--trainer.max_epochs", "-5", "--print_config"],
        ["--data.whatever", "--trainer.limit_val_batches", "2"],
        ["--ckpt_path", "null"],
    ],
)
def test_what_is_not_plainly_wrong_is_left_to_the_parser(words: list[str]) -> None:
    refuse_early(["--config", DEBUG, *words])


def test_no_config_of_the_project_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for file in REPOSITORY.glob("configs/**/*.yaml"):
        if file.parent.name not in ("benchmark", "sweep") and file.name != "callbacks.yaml":  # which is a list
            refuse_early(["--config", str(file)])


def test_mistakes_are_told_without_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from aeanomaly.commands.main import main; s = main(sys.argv[1:]); print(s, 'torch' in sys.modules)"
    )
    words = ["fit", "--config", DEBUG, "--trainer.max_epochs", "-5"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["2", "False"]
    assert done.stderr == "aeanomaly: error: trainer.max_epochs must be at least -1, got -5\n"
