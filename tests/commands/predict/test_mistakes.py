"""Every mistake is one line, and leaves no file."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_checkpoint
from tests.commands.predict.conftest import read_rows


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--images", "nowhere"], "--images: there is no folder or file 'nowhere'"),
        (["--images", "nowhere/*.png"], "--images: no picture matches 'nowhere/*.png'"),
        (["--images", "empty"], "--images: no picture in empty"),
        (["--images", "colour.npy"], "colour.npy: an array of shape [2, 3, 8, 8] holds no images of 1 channel"),
        (["--images", "whole.npy"], "pixels must be uint8 from 0 to 255 or floating-point from 0 to 1, not int64"),
        (["--images", "text.npy"], "text.npy is neither .npy nor idx"),
        (["--images", "colour.npy", "pictures"], "--images takes one array at a time"),
        (["--images", "pictures", "--threshold", "alarm"], "'alarm' is neither a number nor a threshold"),
        (["--images", "pictures", "--threshold", "alarm"], "did you mean 'alarm5'?"),
        (["--images", "pictures", "--threshold", "kmean=3"], "there is no score 'kmean'; did you mean 'kmeans'?"),
        (["--images", "pictures", "--score", "kmean"], "--score: there is no score 'kmean'; did you mean 'kmeans'?"),
        (["--images", "pictures", "--threshold", "nan"], "'nan' is neither a number"),
        (["--images", "pictures", "--out", "scores.txt"], "--out must end in .csv or .parquet, got 'scores.txt'"),
        (["--images", "pictures", "--out", "folder.csv"], "--out folder.csv is a folder"),
        (["--images", "pictures", "--batch", "0"], "expected a number from 1 to 999,999,999, got '0'"),
        (["--images", "pictures", "--device", "cuba"], "there is no device 'cuba' here"),
        (
            ["--images", "pictures", "--device", "gpu"],
            "no device 'gpu' here: there are cpu, cuda, cuda:1, ...",
        ),
        (["--images", "pictures", "--device", "vulkan"], "'vulkan' here: Could not run 'aten::empty.memory_format'"),
        (["--images", "pictures", "--device", "hpu"], "there is no device 'hpu' here"),
        (["--images", "pictures", "--threshold", "-1e3x"], "one that begins with - is given as --threshold=-1e3x"),
        (["--images", "pictures", "--threshold", "--resume"], "one that begins with - is given as --threshold=VALUE"),
        (["--image", "pictures"], "there is no option --image; did you mean '--images'?"),
        (["--images", "pictures", "--allow-import", "no name"], "takes the name of a package or module, got 'no name'"),
        (["--images", "pictures", "--on-error", "cry"], "--on-error: invalid choice: 'cry'"),
        (["--images", "text.png"], "text.png is no picture that Pillow reads"),
        (["--images", "text.png", "--on-error", "skip"], "none of the 1 pictures can be read"),
        (["--out", "scores.csv"], "the following arguments are required: --images"),
    ],
)
def test_one_line(
    words: list[str], says: str, predict: Callable[..., int], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("empty", "folder.csv"):
        Path(folder).mkdir()
    np.save("colour.npy", np.zeros((2, 3, 8, 8), np.uint8))
    np.save("whole.npy", np.zeros((2, 8, 8), np.int64))
    for file in ("text.npy", "text.png"):
        Path(file).write_text("this is text")
    assert predict(*words) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("skipped: ")]
    assert len(error) == 1
    assert error[0].startswith("aeanomaly: error: ")
    assert says in error[0]
    assert len(error[0]) < 250
    assert not list(Path().glob("scores*"))


def test_a_picture_that_cannot_be_read_stops_or_is_skipped(
    predict: Callable[..., int], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, content in (("07.png", b"no picture"), ("11.png", b"")):
        (pictures / "a" / name).write_bytes(content)
    assert predict("--images", "pictures") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "pictures/a/07.png is no picture that Pillow reads" in error
    assert "--on-error skip" in error
    assert not list(Path().glob("scores*"))
    assert predict("--images", "pictures", "--on-error", "skip") == 0
    said = capsys.readouterr()
    assert [line.split()[1] for line in said.err.splitlines()] == ["pictures/a/07.png", "pictures/a/11.png"]
    assert "Skipped: 2" in said.out
    assert len(read_rows(Path("scores.csv"))) == 38


def test_checkpoints_that_cannot_serve(
    pictures: Path,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    content = torch.load(find_checkpoint(run_dir), weights_only=True)
    unfitted = {name: torch.empty(0) if ".centres" in name else value for name, value in content["state_dict"].items()}
    torch.save({**content, "state_dict": unfitted}, "unfitted.ckpt")
    content["hyper_parameters"]["net"]["class_path"] = "os.system"
    torch.save(content, "evil.ckpt")
    for checkpoint, says in (
        ("nowhere.ckpt", "there is no run or checkpoint 'nowhere.ckpt'"),
        ("pictures", "no checkpoint in pictures"),
        ("unfitted.ckpt", "score 'kmeans' of unfitted.ckpt was never fitted"),
        ("evil.ckpt", "evil.ckpt names os.system, which is not imported unasked"),
    ):
        assert main(["predict", "--ckpt_path", checkpoint, "--images", "pictures"]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert says in error
    assert not list(Path().glob("scores*"))


def test_parquet_without_its_package(
    predict: Callable[..., int], pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "pyarrow" else find(name, *rest)
    )
    assert predict("--images", "pictures", "--out", "scores.parquet") == 2
    assert "needs pyarrow: pip install 'aeanomaly[parquet]'" in capsys.readouterr().err
