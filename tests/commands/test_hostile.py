"""Files that others made to do harm: nothing in them runs, and nothing grows without end."""

from __future__ import annotations

import csv
import gzip
import os
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from aeanomaly.commands.main import main
from aeanomaly.data.pictures import Geometry
from aeanomaly.data.sources.delivery import SourceError, read_verified
from aeanomaly.data.sources.folder import PictureFolder
from aeanomaly.errors import UserError
from aeanomaly.inference.anomaly_detector import load
from aeanomaly.inference.images import prepared
from aeanomaly.runs.reading import read_run
from tests.commands.compare.parts import make_run
from tests.conftest import DEBUG
from tests.data.picture_files import fill


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("command", ["fit", "validate", "test", "predict", "report", "export"])
def test_a_pickle_is_not_run(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "version_0", 0.5)
    checkpoint = run / "checkpoints" / "best-epoch=00.ckpt"
    checkpoint.parent.mkdir()
    content = {"state_dict": {}, "pytorch-lightning_version": "2.6", "hyper_parameters": Touches(tmp_path / "touched")}
    torch.save(content, checkpoint)
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8), np.uint8))
    words = [command, "--config", DEBUG, "--ckpt_path", str(checkpoint)]
    if command == "predict":
        words = [command, "--ckpt_path", str(checkpoint), "--images", str(tmp_path / "images.npy")]
    elif command == "export":
        words = [command, "--ckpt_path", str(checkpoint)]
    elif command == "report":
        words = [command, str(run)]
    assert main(words) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1
    assert not (tmp_path / "touched").exists()
    if command != "report":  # this run has no test_scores.csv, which comes first
        assert f"{checkpoint} is not a readable checkpoint" in error[0]
    with pytest.raises(Exception, match="weights_only"):  # it would do as it says
        torch.load(checkpoint, weights_only=True)
    torch.load(checkpoint, weights_only=False)
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["torch.hub.load", "torch.jit.load", "torchvision.models.get_model"])
def test_a_function_in_the_place_of_a_class_is_not_called(
    name: str, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    module, _, function = name.rpartition(".")
    called: list[Any] = []
    monkeypatch.setattr(f"{module}.{function}", lambda *args, **options: called.append(options))
    for net in ({"class_path": name}, {**content["hyper_parameters"]["net"]}):
        if "init_args" in net:
            net["init_args"] = {**net["init_args"], "activation": name}
        content["hyper_parameters"]["net"] = net
        torch.save(content, tmp_path / "net.ckpt")
        with pytest.raises(UserError, match="cannot be built"):
            load(tmp_path / "net.ckpt")
    assert called == []


def bomb() -> str:
    """Aliases of aliases: 10 lines that stand for ten billion words."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    return "data:\n" + "\n".join(f"  {line}" for line in lines)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        ("config.yaml", bomb(), "more than 100,000 values"),
        ("config.yaml", "a: " + "[" * 3000 + "]" * 3000, "config.yaml is n"),  # nested too deeply, or not YAML
        ("metrics.json", "[" * 100_000, "metrics.json is nested too deeply"),
    ],
)
def test_a_run_that_would_fill_the_memory_is_broken(file: str, content: str, reason: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "version_0", 0.5)
    (run / file).write_text(content)
    tracemalloc.start()
    try:
        found = read_run(run)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.status == "broken"
    assert reason in found.reason
    assert peak < 50e6


def test_no_cell_of_a_comparison_is_a_formula(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, name in enumerate(("=1+1", "@SUM(A1)")):
        run = make_run(tmp_path / f"version_{number}", 0.5 + number / 10)
        config = yaml.safe_load((run / "config.yaml").read_text())
        config["data"]["init_args"]["source"] = name
        (run / "config.yaml").write_text(yaml.dump(config))
    assert main(["compare", str(tmp_path), "--csv"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["data.source"] for row in rows] == ["'=1+1", "'@SUM(A1)"]
    assert float(rows[0]["test/auroc/kmeans"]) == 0.5


def test_an_archive_of_zeros_without_end_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aeanomaly.data.sources.delivery._MOST_BYTES", 1_000_000)
    with gzip.open(tmp_path / "images.gz", "wb") as stream:
        stream.write(bytes(50_000_000))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError, match="no intact images"):
            read_verified(tmp_path, {"images": "0" * 64})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10e6


def test_a_folder_that_leads_to_itself_is_walked_once(tmp_path: Path) -> None:
    fill(tmp_path, pictures_good=30)
    (tmp_path / "pictures" / "good" / "again").symlink_to(tmp_path / "pictures", target_is_directory=True)
    data = PictureFolder(str(tmp_path / "pictures"), size=8, split_seed=0, cache_dir=str(tmp_path / "cache"))
    data.prepare_data()
    data.setup()
    assert data.sizes()["train_images"] > 15
    assert not any("again" in path for part in ("train", "test") for path in data.paths[part])


def test_a_pipe_or_a_device_among_files_is_refused_not_waited_for(tmp_path: Path) -> None:
    fill(tmp_path, pictures_good=30)
    pipe = tmp_path / "pictures" / "good" / "pipe.png"
    os.mkfifo(pipe)
    options: dict[str, Any] = {"size": 8, "split_seed": 0, "cache_dir": str(tmp_path / "cache")}
    with pytest.raises(UserError, match=r"pipe\.png cannot be read \(it is a pipe or a device, not a file\)"):
        PictureFolder(str(tmp_path / "pictures"), **options).prepare_data()
    with pytest.raises(UserError, match=r"cannot read .*pipe\.png: it is a pipe"):
        prepared(pipe, Geometry(8, 8, "resize", 3))
    pipe.unlink()
    pipe.symlink_to("/dev/zero")
    with pytest.raises(UserError, match="it is a pipe or a device"):
        PictureFolder(str(tmp_path / "pictures"), **options).prepare_data()
    os.mkfifo(tmp_path / "list")
    for option in ("table", "exclude"):
        with pytest.raises(UserError, match="list: it is a pipe or a device"):
            data = PictureFolder(
                str(tmp_path / "pictures"), **options, on_error="skip", **{option: str(tmp_path / "list")}
            )
            data.setup()
