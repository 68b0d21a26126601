"""The words of a command, as the parser is given them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from aeanomaly.commands.fit.options import complete_options
from tests.commands.fit.test_resume import status_of
from tests.conftest import DEBUG


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--a", "1", "--config", DEBUG, "--b"], ["--config", DEBUG, "--a", "1", "--b"]),
        (["-a", "-1", f"--config={DEBUG}", "-c", DEBUG], [f"--config={DEBUG}", "-c", DEBUG, "-a", "-1"]),
        (["--a", f"-c{DEBUG}", "--config", DEBUG], [f"-c{DEBUG}", "--config", DEBUG, "--a"]),
        (["--a", "config", "--b=--config", "--config", DEBUG], ["--config", DEBUG, "--a", "config", "--b=--config"]),
        (["--a", "1", "--", "--config", "no.yaml"], ["--a", "1", "--", "--config", "no.yaml"]),
    ],
)
def test_configs_come_first_in_their_order(given: list[str], expected: list[str]) -> None:
    assert complete_options("fit", given) == expected


def test_an_option_wins_over_a_config_after_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = tmp_path / "more.yaml"
    more.write_text("trainer: {max_epochs: 7}")
    words = ["fit", "--config", DEBUG, "--trainer.max_epochs", "2", "--config", str(more), "--print_config"]
    assert status_of(words) == 0
    assert yaml.safe_load(capsys.readouterr().out)["trainer"]["max_epochs"] == 2
