"""A source hands the options that are not its own to its base, and the command line still shows them all."""

from __future__ import annotations

import pytest

from aeanomaly.commands.main import main
from tests.conftest import DEBUG

SHARED = ("normal_classes", "anomaly_classes", "val_fraction", "contamination", "batch_size", "split_seed")


@pytest.mark.parametrize(("source", "own"), [("mnist.MNIST", "data_dir"), ("arrays.ArrayFiles", "memory_map")])
def test_help_shows_the_options_of_a_source_and_of_its_base(
    source: str, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", DEBUG, "--data.help", f"aeanomaly.data.sources.{source}"])
    said = capsys.readouterr().out
    assert all(f"--data.{option} " in said for option in (*SHARED, own))
    assert "share of the normal training images held out" in said


def test_print_config_shows_them_with_their_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", DEBUG, "--data", "aeanomaly.data.sources.mnist.MNIST", "--print_config"])
    said = capsys.readouterr().out
    assert all(f"    {option}:" in said for option in (*SHARED, "data_dir", "source"))


def test_a_name_of_digits_in_quotes_stays_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fit", "--config", DEBUG, "--data.anomaly_classes", '["002", 3]', "--print_config"])
    assert "    anomaly_classes:\n    - '002'\n    - 3\n" in capsys.readouterr().out
