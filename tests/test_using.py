"""docs/using.md works from top to bottom: every command runs, and prints what the page shows, but for numbers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from aeanomaly.commands.main import main
from tests.conftest import REPOSITORY
from tests.pages import Block, blocks, commands

PAGE = REPOSITORY / "docs" / "using.md"
# Fewer pictures, of fewer pixels, and hardly any training.
SMALL = {
    "python docs/img/fabric.py": "--good 220 --tested 8 --faults 2 --later 16",
    "python -m aeanomaly fit": "--data.size 32 --trainer.max_steps 4 --trainer.val_check_interval 4 "
    "--trainer.log_every_n_steps 1",
}

pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install -e '.[export]'")
pytest.importorskip("onnxscript", reason="needs onnxscript: pip install -e '.[export]'")


def run(block: Block) -> None:
    """As a reader would, in the current folder; aeanomaly itself in this process, which has imported it."""
    if block.language == "python":
        exec(block.code, {})
        return
    for command in commands(block.code):
        small = next((options for start, options in SMALL.items() if command.startswith(start)), "")
        words = shlex.split(f"{command} {small}")
        if words[:3] == ["python", "-m", "aeanomaly"]:
            assert main(words[3:]) == 0, command
        elif words[0] == "python":
            subprocess.run([sys.executable, *words[1:]], check=True)
        else:
            subprocess.run(command, shell=True, check=True)


def lines(text: str) -> list[str]:
    """Without numbers, widths of tables, and what the page leaves out."""
    plain = re.sub(r"(?<!\w)-?\d[\d.,]*(e-?\d+)?", "#", re.sub("─+", "─", text))
    plain = re.sub(r"^Drift: .* \(", "Drift: (", plain, flags=re.MULTILINE)  # so few pictures may look otherwise
    return [" ".join(line.split()) for line in plain.splitlines() if line.strip() not in ("", "...")]


def suspects(report: Path, score: str) -> list[str]:
    """Files of the good pictures that the page of a run shows, in its order."""
    (found,) = re.findall(r'id="data">(.*?)</script>', report.read_text(encoding="utf-8"), flags=re.DOTALL)
    (run,) = json.loads(found)
    return [run["suspects"][place]["path"] for place, _ in run["ranking"][score]]


def test_every_command_runs_in_order_and_prints_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("configs", "docs"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    _, example = blocks(REPOSITORY / "docs" / "export.md", "python")[0]
    (tmp_path / "score.py").write_text(example)
    printed: list[str] = []
    shown = 0
    for block in blocks(PAGE):
        if block.language:
            run(block)
            text = "".join(capfd.readouterr())
            assert "[W:onnxruntime" not in text
            printed = lines(text)
            continue
        shown += 1
        for line in lines(block.code):
            assert line in printed, block.code
    assert shown >= 5
    report = Path("lightning_logs", "version_0", "report.html")
    assert {Path(path).name for path in suspects(report, "patches")[:3]} == {"023.jpg", "058.jpg", "101.jpg"}
    assert '"path": "pictures/test/hole/' in report.read_text(encoding="utf-8")
