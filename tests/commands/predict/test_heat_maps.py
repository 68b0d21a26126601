"""A PNG for each picture that is scored, in the place that the picture has among the others."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from aeanomaly.commands.main import main
from aeanomaly.runs.finding import find_checkpoint
from tests.commands.predict.conftest import read_rows


def below(folder: str) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file()}


def test_every_picture_is_drawn_with_its_heat(
    predict: Callable[..., int], pictures: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As bright as the score says: one that half of the normal pictures exceed is drawn as it is."""
    assert predict("--images", "pictures", "--heatmaps", "new/maps") == 0
    rows = read_rows(Path("scores.csv"))
    names = {f"{row['path'].removeprefix('pictures/')}.reconstruction.png" for row in rows}
    assert below("new/maps") == names
    state = torch.load(find_checkpoint(run_dir), weights_only=True)["state_dict"]
    median = float(state["detector.calibrations.reconstruction.normal_scores"].median())
    coloured = []
    for row in rows:
        drawn = Image.open(Path("new/maps", f"{row['path'].removeprefix('pictures/')}.reconstruction.png"))
        assert (drawn.mode, drawn.size) == ("RGB", (8, 8))
        plain = np.asarray(Image.open(row["path"]))[..., None]
        coloured.append(bool((np.asarray(drawn) != plain).any()))
        assert coloured[-1] == (float(row["reconstruction"]) > median) or float(row["p_value/reconstruction"]) > 0.45
    assert 0 < sum(coloured) < 40
    said = capsys.readouterr().out
    assert "Heat maps: 40 in new/maps\n" in said
    assert f"Colours of reconstruction: none up to {median:.4g}," in said


def test_no_two_files_share_a_place(predict: Callable[..., int], pictures: Path) -> None:
    """However they are named, and whatever their names end in."""
    image = Image.open("pictures/a/00.png")
    for name in ("pictures/b/00.png", "pictures/a/00.bmp", "other/a/00.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        image.save(name)
    words = ["pictures/a/00.*", str(pictures / "b" / "00.png"), "pictures/../other/a/00.png"]
    assert predict("--images", *words, "--heatmaps", "maps") == 0
    places = ["pictures/a/00.png", "pictures/a/00.bmp", "pictures/b/00.png", "other/a/00.png"]
    assert below("maps") == {f"{place}.reconstruction.png" for place in places}
    np.save("images.npy", np.zeros((2, 8, 8), np.uint8))
    assert predict("--images", "images.npy", "--heatmaps", "rows") == 0
    assert below("rows") == {f"images.npy[{number}].reconstruction.png" for number in range(2)}


def test_what_is_drawn_is_not_drawn_again_and_what_is_not_is(
    predict: Callable[..., int],
    pictures: Path,
    interrupted: Callable[[str], list[int]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--images", "pictures", "--batch", 8]
    (pictures / "b" / "39.png").write_bytes(b"no picture")
    assert predict(*words) == 2  # 32 rows are kept, of pictures without a heat map
    seen = interrupted("explain_batch")
    assert predict(*words, "--heatmaps", "maps", "--resume") == 130
    assert len(below("maps")) == 16
    shutil.rmtree("maps")
    seen[0] = -100
    assert predict(*words, "--heatmaps", "maps", "--resume", "--on-error", "skip") == 0
    assert len(below("maps")) == 39 - 16
    assert len(read_rows(Path("scores.csv"))) == 39
    assert "Heat maps: 23 in maps\n" in capsys.readouterr().out


def test_mistakes_are_told_before_anything_is_scored(
    predict: Callable[..., int], pictures: Path, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(find_checkpoint(run_dir), weights_only=True)
    del content["hyper_parameters"]["scores"]["reconstruction"]
    content["state_dict"] = {key: v for key, v in content["state_dict"].items() if ".reconstruction." not in key}
    torch.save(content, "blind.ckpt")
    Path("file").write_text("")
    for words, says in (
        (["--heatmaps", "pictures/maps"], "--heatmaps pictures/maps lies in a folder of --images"),
        (["--heatmaps", "pictures"], "--heatmaps pictures lies in a folder of --images"),
        (["--heatmaps", "file"], "--heatmaps: cannot make the folder file: File exists"),
        (["--heatmaps", "maps", "--ckpt_path", "blind.ckpt"], "no score of the checkpoint gives a map (it has kmeans)"),
        (["--heatmaps", "maps", "--ckpt_path", "blind.ckpt"], "--config configs/scores/where.yaml"),
    ):
        assert predict("--images", "pictures", *words) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert says in error
    assert not Path("maps").exists()
    assert not list(Path().glob("scores*"))
    assert main(["predict", "--heatmaps", "maps", "--ckpt_path", "blind.ckpt"]) == 2
    assert "required: --images" in capsys.readouterr().err
