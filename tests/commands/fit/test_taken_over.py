"""Scores and thresholds of a config that stand for those of one before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.commands.fit.early import refuse_early
from aeanomaly.commands.fit.taken_over import _OF_BASE
from aeanomaly.commands.main import main
from aeanomaly.runs.files import read_config
from tests.commands.fit.test_resume import status_of
from tests.conftest import DEBUG, REPOSITORY

KMEANS = "class_path: aeanomaly.scores.kmeans.KMeans"


def test_a_fragment_for_another_base_is_told_what_it_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    best, gmm = (str(REPOSITORY / "configs" / name) for name in ("best.yaml", "scores/gmm.yaml"))
    assert main(["fit", "--config", best, "--config", gmm]) == 2
    assert capsys.readouterr().err == (
        f"aeanomaly: error: {gmm} takes over the score 'reconstruction', which no config before it has: stack it on "
        "one that has, such as configs/base.yaml, or delete that line\n"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("model: {scores: {kmean: {}}}", "takes over the score 'kmean', which no config before it has"),
        ("model: {scores: {new: null}}", "takes over the score 'new'"),
        ("model: {scores: {new: {init_args: {n_clusters: 3}}}}", "stack it on one that has, or give its class_path"),
        ("model: {thresholds: {al: {}, fixed: {}}}", "takes over the threshold 'al'"),
        ("model: {scores: {kmeans: null}}", "model.scores.kmeans holds nothing: to take it over, write {} there"),
    ],
)
def test_what_is_not_there_is_named(text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "more.yaml"
    file.write_text(text)
    assert main(["fit", "--config", DEBUG, "--config", str(file)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert str(file) in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "taken"),
    [
        (["--model.scores", "{kmeans: {n_clusters: 3}}"], True),
        (["--model.scores.new", "aeanomaly.scores.kmeans.KMeans", "--model.scores", "{new: {}}"], True),
        (["--model.scores", f"{{new: {{{KMEANS}}}}}", "--model.scores", "{new: {}}"], True),
        (["--model.scores", f"{{new: {{{KMEANS}}}}}", "--model.scores", "{kmeans: {}}"], False),
        (["--model.scores", "null", "--model.scores", "{kmeans: {}}"], False),
    ],
)
def test_the_parser_takes_and_refuses_the_same(
    words: list[str], taken: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--config", DEBUG, *words]
    try:
        refuse_early(words)
        early = True
    except ValueError:
        early = False
    monkeypatch.setattr("aeanomaly.commands.fit.command.refuse_early", lambda words: None)
    assert early is taken is (status_of(["fit", *words, "--print_config"]) == 0)
    capsys.readouterr()


def test_the_example_has_what_it_is_named_for() -> None:
    model = read_config(REPOSITORY / "configs" / "base.yaml")["model"]
    assert {*_OF_BASE} == {*model["scores"], *model["thresholds"]}
