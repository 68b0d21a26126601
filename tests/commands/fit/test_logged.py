"""What is said of a fit whose output goes to a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from aeanomaly.commands.fit.logged import fit_logged
from aeanomaly.errors import UserError


@pytest.mark.parametrize("kind", [UserError, RuntimeError])
def test_a_long_complaint_is_cut_on_the_screen_and_whole_in_the_log(kind: type[Exception], tmp_path: Path) -> None:
    complaint = f"a path: {'x' * 400}; give another one"
    with pytest.raises(UserError, match=r"^.{300,330}, see .*log.txt$"), fit_logged(tmp_path / "cell", ["--config"]):
        raise kind(complaint)
    log = (tmp_path / "cell" / "log.txt").read_text()
    assert complaint in log
    assert log.startswith("python -m aeanomaly fit --config\n")
