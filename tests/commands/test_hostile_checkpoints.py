"""Checkpoints and runs of others that name files to be removed, are malformed, or whose YAML unfolds without end."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aeanomaly.commands.main import main
from aeanomaly.errors import UserError
from aeanomaly.inference.anomaly_detector import load
from aeanomaly.runs.checkpoints import read_checkpoint
from aeanomaly.runs.kept_files import keep_to_own_files
from aeanomaly.runs.whole_checkpoints import WholeCheckpoints
from tests.commands.test_hostile import bomb
from tests.conftest import PLAIN

Change = Callable[[dict[str, Any]], None]


def changed(run_dir: Path, place: Path, change: Change) -> Path:
    """The last checkpoint of a run with something else in it."""
    content = torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
    change(content)
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, place)
    return place


def keeping(name: str, folder: str) -> Change:
    """Have ModelCheckpoint think that it keeps this file, which any other is better than."""

    def change(content: dict[str, Any]) -> None:
        for state in content["callbacks"].values():
            if "best_k_models" in state:
                worst = torch.tensor(float("inf"))
                state |= {"dirpath": folder, "best_k_models": {name: worst}, "kth_value": worst}
                state |= dict.fromkeys(("best_model_path", "kth_best_model_path"), name) | {"best_model_score": worst}

    return change


def test_a_run_that_goes_on_removes_no_folder_that_its_checkpoint_names(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    treasure = tmp_path / "victim" / "treasure.txt"
    treasure.parent.mkdir()
    treasure.touch()
    run = tmp_path / "lightning_logs" / "version_0"
    (run / "checkpoints").mkdir(parents=True)
    shutil.copy(run_dir / "config.yaml", run)
    forged = "/anywhere/../../../victim"
    changed(run_dir, run / "checkpoints" / "last.ckpt", keeping(forged, "/anywhere"))
    assert main(["fit", "--resume", str(run), "--trainer.max_epochs", "4"]) == 2
    assert "lies outside its folder" in capsys.readouterr().err
    assert treasure.is_file()


@pytest.mark.parametrize("way", ["above", "link", "scheme", "folder itself"])
def test_ways_out_of_a_folder(way: str, run_dir: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    names = {
        "above": f"{folder}/../victim",
        "link": f"{folder}/link/victim",
        "scheme": f"local://{tmp_path}/victim",
        "folder itself": f"{folder}/.",
    }
    content: dict[str, Any] = {"callbacks": {}}
    content["callbacks"]["ModelCheckpoint{}"] = {"dirpath": str(folder), "best_k_models": {names[way]: 1.0}}
    with pytest.raises(UserError, match="lies outside its folder"):
        keep_to_own_files(content, [str(folder)], "last.ckpt")
    content["callbacks"]["ModelCheckpoint{}"]["best_k_models"] = {f"{folder}/best.ckpt": 1.0}
    keep_to_own_files(content, [str(folder)], "last.ckpt")


@pytest.mark.parametrize("kept", [None, ["/folder/best.ckpt"], {1: 0.5}])
def test_what_is_no_account_of_kept_files_is_refused(kept: Any) -> None:
    content = {"callbacks": {"ModelCheckpoint{}": {"dirpath": "/folder", "best_k_models": kept}}}
    with pytest.raises(UserError, match="is damaged"):
        keep_to_own_files(content, ["/folder"], "last.ckpt")


def test_what_lies_in_the_folder_of_another_run_is_no_file_of_this_one() -> None:
    state = {"dirpath": "local:///other", "best_model_path": "local:///other/best.ckpt", "best_k_models": {}}
    keep_to_own_files({"callbacks": {"ModelCheckpoint{}": state}}, ["/this"], "last.ckpt")
    assert state["best_model_path"] == ""


def test_no_folder_is_removed_for_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(OSError, match="folder"):
        WholeCheckpoints().remove_checkpoint(tmp_path / "folder")
    assert (tmp_path / "folder" / "inner").is_dir()


def nested(depth: int) -> list[Any]:
    """Ten times the same list, and so on: a few bytes that stand for ten to the power of depth values."""
    inner: list[Any] = ["x"]
    for _ in range(depth):
        inner = [inner] * 10
    return inner


def setting(key: str, value: Any) -> Change:
    return lambda content: content.update({key: value})


def of_net(**options: Any) -> Change:
    return lambda content: content["hyper_parameters"]["net"]["init_args"].update(options)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        *((setting("state_dict", value), "not a readable checkpoint") for value in ([1], None, {"a": 1}, "x")),
        *((setting("hyper_parameters", value), "not a readable checkpoint") for value in ([1], "x")),
        *((setting("callbacks", value), "not a readable checkpoint") for value in ([1], {"a": 1})),
        (setting("loops", 1), "not a readable checkpoint"),
        (setting("optimizer_states", 5), "not a readable checkpoint"),
        (setting("global_step", "x"), "not a readable checkpoint"),
        (setting("images", "abc"), "not a readable checkpoint"),
        *((setting("images", {"shape": s}), "the shape of its images") for s in (5, "abc", [1, -1, 8], [1, 9**9, 8])),
        (setting("images", {"shape": [1, 8, 8], "fit": "x"}), "fitted by 'x'"),
        (of_net(hidden=nested(12)), "not a readable checkpoint"),
        (of_net(code_size=10**12), "cannot be built"),
        (of_net(code_size=10**30), "cannot be built"),
    ],
)
def test_a_malformed_checkpoint_is_told_in_a_line(change: Change, says: str, run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says) as caught:
        load(changed(run_dir, tmp_path / "odd.ckpt", change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("command", ["fit", "test", "predict"])
def test_so_do_commands(command: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = changed(run_dir, tmp_path / "odd.ckpt", setting("callbacks", [1, 2]))
    np.save(tmp_path / "images.npy", np.zeros((2, 8, 8), np.uint8))
    words = ["--images", str(tmp_path / "images.npy")] if command == "predict" else PLAIN
    assert main([command, "--ckpt_path", str(odd), *words]) == 2
    assert capsys.readouterr().err.strip() == f"aeanomaly: error: {odd} is not a readable checkpoint " + (
        "(damaged, or of another program)"
    )
    assert read_checkpoint(run_dir / "checkpoints" / "last.ckpt")["callbacks"]


@pytest.mark.parametrize("option", ["--trainer.callbacks", "--model", "--data", "--model.scores"])
def test_so_is_a_file_that_an_option_names(option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bomb.yaml").write_text(bomb())
    assert main(["fit", *PLAIN, option, str(tmp_path / "bomb.yaml")]) == 2
    (error,) = capsys.readouterr().err.splitlines()
    assert option.removeprefix("--") in error


@pytest.mark.parametrize("command", ["fit", "test", "report"])
def test_yaml_that_unfolds_without_end_is_refused_at_once(
    command: str, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "version_0"
    shutil.copytree(run_dir, run)
    config = run / "config.yaml"
    text = config.read_text()
    inner = bomb().partition("\n")[2].replace("  a", "      a")
    config.write_text(text.replace("    init_args:\n", f"    init_args:\n{inner}\n", 1))
    assert "*a8" in config.read_text()
    words = {
        "fit": ["--config", str(config)],
        "test": ["--ckpt_path", str(run / "checkpoints" / "last.ckpt")],
        "report": [str(run)],
    }
    status = main([command, *words[command]])
    told = capsys.readouterr()
    assert status == (0 if command == "report" else 2)  # a page without pictures
    assert "unfold to more than 100,000 values" in told.err + told.out
