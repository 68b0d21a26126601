"""Every config of `fit` in configs/ parses and instantiates; base.yaml explains every key."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from aeanomaly.commands.main import main
from tests.conftest import REPOSITORY

CONFIGS = sorted((REPOSITORY / "configs").glob("*.yaml"))  # those of `fit`
COMPLETE = ("base", "debug")


def test_there_are_the_promised_files() -> None:
    names = {path.stem for path in CONFIGS}
    assert {"base", "debug", "cpu", "gpu", "ddp", "bf16", "fp16", "fast"} <= names


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_instantiates(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of training and validation with the fragment stacked on debug.yaml, or with base.yaml's own objects."""
    monkeypatch.chdir(tmp_path)
    words = ["fit", "--config", str(path)]
    if path.stem not in COMPLETE:
        words = ["fit", "--config", str(REPOSITORY / "configs" / "debug.yaml"), "--config", str(path)]
    if path.stem == "base":  # everything but the download
        words += ["--data", "aeanomaly.data.sources.digits.Digits", "--data.anomaly_classes", "[0]"]
        words += ["--model.net.image_shape", "[1,8,8]", "--trainer.accelerator", "cpu"]
    if path.stem == "gpu":  # its point is to insist on a GPU, which a test machine need not have
        words += ["--trainer.accelerator", "cpu"]
    if path.stem == "ddp":  # tests/test_ddp.py runs it with its processes
        words += ["--trainer.devices", "1"]
    assert main([*words, "--trainer.fast_dev_run", "true"]) == 0
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def test_base_alone_parses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main(["fit", "--config", str(REPOSITORY / "configs" / "base.yaml"), "--print_config"])
    assert not leaving.value.code
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["data"]["init_args"]["anomaly_classes"] == [0]


def test_every_key_of_base_is_explained() -> None:
    lines = (REPOSITORY / "configs" / "base.yaml").read_text().splitlines()
    unexplained = []
    for number, line in enumerate(lines):
        key = line.strip().removeprefix("- ").partition(":")[0]
        above = lines[number - 1].strip() if number else ""
        if not line.strip() or line.strip().startswith("#") or "#" in line or above.startswith("#"):
            continue
        if key in ("class_path", "init_args", "model", "data", "trainer", "net", "optimizer"):
            continue  # structure; what it holds is explained
        unexplained.append(line)
    assert unexplained == []
