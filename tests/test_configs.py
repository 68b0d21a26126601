"""Every config of `fit` in configs/ parses and instantiates; some explain every key, base.yaml before all."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from aeanomaly.commands.main import main
from tests.conftest import DEBUG, REPOSITORY

FOLDER = REPOSITORY / "configs"
COMPLETE = ("base", "best", "pure", "debug")
OF_FIT = [
    *(FOLDER / f"{name}.yaml" for name in COMPLETE),
    *(path for path in sorted(FOLDER.glob("*/*.yaml")) if path.parent.name not in ("benchmark", "sweep")),
]


def test_there_are_the_promised_files() -> None:
    folders = {path.parent.name for path in OF_FIT}
    assert {"nets", "scores", "baselines", "precision", "devices", "recipes", "data"} <= folders
    names = {path.stem for path in OF_FIT}
    assert {"base", "debug", "cpu", "gpu", "ddp", "bf16", "fp16", "fast"} <= names
    assert {path.stem for path in FOLDER.glob("*.yaml")} == {*COMPLETE, "callbacks"}


# Those in data/ are run by tests/data/sources/test_torchvision.py, where there is something to download.
@pytest.mark.parametrize("path", [path for path in OF_FIT if path.parent.name != "data"], ids=lambda path: path.stem)
def test_config_instantiates(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One batch of training and validation with the fragment stacked on debug.yaml, or with base.yaml's own objects."""
    monkeypatch.chdir(tmp_path)
    if path.stem.startswith("pyod"):
        pytest.importorskip("pyod", reason="needs PyOD: pip install 'aeanomaly[pyod]'")
    words = ["fit", "--config", str(path)]
    if path.stem not in COMPLETE:
        words = ["fit", "--config", DEBUG, "--config", str(path)]
    if path.stem == "where":  # a score beside those of best.yaml
        words[2] = str(FOLDER / "best.yaml")
    if path.stem in ("base", "best", "pure", "where"):  # everything but the download
        words += ["--data", "aeanomaly.data.sources.digits.Digits", "--data.anomaly_classes", "[0]"]
        words += ["--trainer.accelerator", "cpu"]
    if path.stem == "gpu":  # its point is to insist on a GPU, which a test machine need not have
        words += ["--trainer.accelerator", "cpu"]
    if path.stem == "ddp":  # tests/distributed/test_ddp.py runs it with its processes
        words += ["--trainer.devices", "1"]
    assert main([*words, "--trainer.fast_dev_run", "true"]) == 0
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def configured(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What `fit` would run with, as parsed YAML."""
    with pytest.raises(SystemExit) as leaving:
        main(["fit", *words, "--print_config"])
    assert not leaving.value.code
    return yaml.safe_load(capsys.readouterr().out)


def test_base_alone_parses(capsys: pytest.CaptureFixture[str]) -> None:
    shown = configured(capsys, "--config", str(FOLDER / "base.yaml"))
    assert shown["data"]["init_args"]["anomaly_classes"] == [0]


def test_the_callbacks_are_listed_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """base.yaml and debug.yaml find the same list beside them, from whatever folder, and a fragment appends to it."""
    monkeypatch.chdir(tmp_path)
    listed = [entry["class_path"] for entry in yaml.safe_load((FOLDER / "callbacks.yaml").read_text())]
    assert len(listed) == len(set(listed)) > 5
    for name in COMPLETE:
        shown = configured(capsys, "--config", str(FOLDER / f"{name}.yaml"))
        assert [entry["class_path"] for entry in shown["trainer"]["callbacks"]] == listed
        assert "class_path: aeanomaly.callbacks" not in (FOLDER / f"{name}.yaml").read_text()
    own = "lightning.pytorch.callbacks.RichModelSummary"
    (tmp_path / "own.yaml").write_text(f"trainer: {{callbacks+: [{{class_path: {own}}}]}}")
    shown = configured(capsys, "--config", DEBUG, "--config", "own.yaml")
    assert [entry["class_path"] for entry in shown["trainer"]["callbacks"]] == [*listed, own]


@pytest.mark.parametrize("name", ["best", "pure"])
def test_where_adds_a_score_with_a_map_and_changes_none(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--config", str(FOLDER / f"{name}.yaml")]
    plain = configured(capsys, *words)
    shown = configured(capsys, *words, "--config", str(FOLDER / "scores" / "where.yaml"))
    assert list(shown["model"]["scores"]) == ["pooled", "layer1", "layer2", "code", "patches", "fusion"]
    added = shown["model"]["scores"].pop("patches")
    assert added["class_path"] == "aeanomaly.scores.patch_knn.PatchKNN"
    drawing = shown["trainer"]["callbacks"].pop()
    assert drawing["class_path"] == "aeanomaly.callbacks.heat_maps.HeatMaps"
    assert shown == plain


@pytest.mark.parametrize(
    "path",
    [FOLDER / "base.yaml", FOLDER / "callbacks.yaml", *sorted(FOLDER.glob("baselines/*.yaml"))],
    ids=lambda path: path.stem,
)
def test_every_key_is_explained(path: Path) -> None:
    lines = path.read_text().splitlines()
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


@pytest.mark.parametrize("path", OF_FIT, ids=lambda path: path.stem)
def test_every_file_says_what_it_is_for(path: Path) -> None:
    assert path.read_text().startswith("# ")


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_a_requeued_job_goes_on_with_its_run(tmp_path: Path) -> None:
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    srun.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SLURM_NNODES": "1", "SLURM_NTASKS_PER_NODE": "1", "RUNS": str(tmp_path)}
    environment = os.environ | slurm | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    job = ["bash", str(FOLDER / "devices" / "slurm.sbatch"), "--config", "configs/base.yaml"]

    def after_fit() -> list[str]:
        done = subprocess.run(job, env=environment, capture_output=True, text=True, check=True)
        words = done.stdout.split()
        assert words[-2:] == ["--trainer.enable_progress_bar", "false"]
        assert words[words.index("--trainer.default_root_dir") + 1] == str(tmp_path / "7")
        return words[words.index("fit") + 1 : words.index("--trainer.accelerator")]

    assert after_fit() == ["--config", "configs/base.yaml", "--config", "configs/devices/ddp.yaml"]
    for number in range(2):  # the first was stopped before it began
        (tmp_path / "7" / "lightning_logs" / f"version_{number}").mkdir(parents=True)
    (tmp_path / "7" / "lightning_logs" / "version_1" / "config.yaml").touch()
    assert after_fit() == ["--resume"]
