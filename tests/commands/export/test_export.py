"""The exported file against what the run itself wrote, and what is refused."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageFilter
from torch import Tensor

from aeanomaly.commands.main import main
from aeanomaly.outputs import Output
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.scores.reconstruction import ReconstructionError
from tests.commands.export.conftest import Scored, opened
from tests.conftest import REPOSITORY
from tests.pages import blocks

BLOCKED = "import sys; sys.modules['aeanomaly'] = None"  # importing it fails


def export(*words: str) -> int:
    return main(["export", *words])


def test_scores_and_decisions_are_those_of_the_run(onnx_file: Path, scored: Scored, run_dir: Path) -> None:
    found = opened(onnx_file)(scored.images)
    record = json.loads((run_dir / "metrics.json").read_text())
    for name in ("reconstruction", "kmeans"):
        expected = scored.columns[name]
        # After two epochs codes lie so close together that distances are rounding errors, all but.
        tolerance = 1e-3 * (expected + expected.std())
        assert (abs(found[name] - expected) <= tolerance).all()
        assert found[name].dtype == np.float32
        threshold = record[f"threshold/{name}@alarm5"]
        flags, sure = found[f"{name}@alarm5"], abs(expected - threshold) > tolerance
        assert np.array_equal(flags[sure], expected[sure] > threshold)
        assert sure.mean() > 0.95
        assert 0 < flags.sum() < len(flags)
        # The higher the score the lower the p-value, and the threshold is the score of a p-value.
        p_values = found[f"{name}.p_value"]
        assert (np.diff(p_values[np.argsort(found[name])]) <= 0).all()
        assert np.array_equal(flags, p_values <= 0.05)
    assert np.array_equal(found["reconstruction@fixed"], scored.columns["reconstruction"] > 3)
    assert "kmeans@fixed" not in found


def test_any_number_of_images_gives_the_same(onnx_file: Path, scored: Scored) -> None:
    score = opened(onnx_file)
    whole = score(scored.images[:40])
    for size in (1, 7, 39):
        for name, values in score(scored.images[:size]).items():
            assert values.shape == (size,)
            np.testing.assert_allclose(values, whole[name][:size], rtol=1e-5, err_msg=name)


def test_the_example_of_the_documentation_scores_a_photograph(onnx_file: Path, scored: Scored, tmp_path: Path) -> None:
    """With nothing but ONNX Runtime, numpy and PIL."""
    _, example = blocks(REPOSITORY / "docs" / "export.md", "python")[0]
    assert len(example.splitlines()) <= 15
    assert set(re.findall(r"^(?:import|from) ([\w, ]+?)(?: import .*| as .*)?$", example, flags=re.MULTILINE)) == {
        "json, sys",
        "numpy",
        "onnxruntime",
        "PIL",
    }
    (tmp_path / "score.py").write_text(f"{BLOCKED}; sys.modules['torch'] = None\n{example}")
    (tmp_path / "model.onnx").symlink_to(onnx_file)
    Image.fromarray(scored.images[3, 0]).save(tmp_path / "photograph.png")
    words = [sys.executable, "score.py", "photograph.png"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    printed = dict(line.split() for line in done.stdout.splitlines())
    assert float(printed["reconstruction"]) == pytest.approx(scored.columns["reconstruction"][3], rel=1e-4)
    assert printed["kmeans@alarm5"] in ("True", "False")


@pytest.mark.parametrize("how", ["resize", "crop"])
def test_the_example_makes_of_a_picture_what_predict_makes_of_it(
    how: str, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript", reason="pip install 'aeanomaly[export]'")
    _, example = blocks(REPOSITORY / "docs" / "export.md", "python")[0]
    monkeypatch.chdir(tmp_path)
    checkpoint = changed(run_dir, tmp_path / "net.ckpt", images={"fit": how})
    # Each is another picture to whoever does not cut, turn, or put white below: dark only here and there.
    wide = Image.new("L", (160, 80), 0)
    wide.paste(255, (20, 0, 60, 60))
    wide = wide.filter(ImageFilter.GaussianBlur(8))  # a JPEG is decoded smaller by predict
    wide.save("wide.png")
    turned = Image.Exif()
    turned[0x0112] = 6  # lies on its side
    wide.save("lying.jpg", exif=turned, quality=95)
    wide.putalpha(wide.copy())
    wide.save("clear.png")
    words = ["--ckpt_path", str(checkpoint), "--scores", "reconstruction"]
    assert export(*words, "--out", "model.onnx") == 0
    assert main(["predict", *words[:2], "--images", ".", "--device", "cpu"]) == 0
    capsys.readouterr()
    with Path("scores.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["path"] for row in rows] == ["clear.png", "lying.jpg", "wide.png"]
    assert len({row["reconstruction"] for row in rows}) == 3
    for row in rows:
        monkeypatch.setattr("sys.argv", ["score.py", row["path"]])
        exec(example, {})
        found = dict(line.split() for line in capsys.readouterr().out.splitlines())
        assert float(found["reconstruction"]) == pytest.approx(float(row["reconstruction"]), rel=0.02)
        for name in ("reconstruction@alarm5", "reconstruction@fixed"):
            assert found[name] == str(row[name] == "1")


def test_a_torch_program_needs_no_aeanomaly(
    run_dir: Path, scored: Scored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "detector.pt2"
    words = ["--ckpt_path", str(run_dir), "--format", "torch", "--scores", "kmeans", "--input", "float32"]
    assert export(*words, "--out", str(path)) == 0
    assert "Outputs: kmeans, kmeans.p_value, kmeans@alarm5.\n" in capsys.readouterr().out
    np.save(tmp_path / "images.npy", scored.images[:9].astype(np.float32) / 255)
    script = (
        f"{BLOCKED}; import json, numpy, torch; judge = torch.export.load('detector.pt2').module();"
        "found = judge(torch.from_numpy(numpy.load('images.npy')));"
        "print(json.dumps({name: values.tolist() for name, values in found.items()}))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert list(found) == ["kmeans", "kmeans.p_value", "kmeans@alarm5"]
    assert found["kmeans"] == pytest.approx(scored.columns["kmeans"][:9].tolist(), rel=1e-5)


def test_a_graph_that_differs_is_refused_and_nothing_is_written(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = ReconstructionError.forward

    def tampered(self: ReconstructionError, output: Output) -> Tensor:
        return right(self, output) * (1.01 if torch.compiler.is_compiling() else 1)

    monkeypatch.setattr(ReconstructionError, "forward", tampered)
    words = ["--ckpt_path", str(run_dir), "--format", "torch", "--scores", "reconstruction"]
    assert export(*words, "--out", str(tmp_path / "detector.pt2")) == 2
    error = capsys.readouterr().err
    assert "the graph is refused, and nothing was written: reconstruction of an image is" in error
    assert list(tmp_path.iterdir()) == []


def test_a_missing_extra_is_named(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxscript" else there(name))
    assert export("--ckpt_path", str(run_dir)) == 2
    assert "export to ONNX needs onnxscript: pip install 'aeanomaly[export]'" in capsys.readouterr().err


def changed(run_dir: Path, path: Path, **parts: object) -> Path:
    """A copy of the run's checkpoint, alone in a folder, with other parts."""
    content = torch.load(find_checkpoint(run_dir), weights_only=True)
    torch.save({**content, **parts}, path)
    return path


def test_an_unfitted_checkpoint_is_refused(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = torch.load(find_checkpoint(run_dir), weights_only=True)["state_dict"]
    key = next(key for key in state if key.endswith("scores.kmeans.centres"))
    path = changed(run_dir, tmp_path / "unfitted.ckpt", state_dict={**state, key: torch.empty(0)})
    assert export("--ckpt_path", str(path), "--format", "torch") == 2
    assert "score 'kmeans' of" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["unfitted.ckpt"]


def test_a_checkpoint_of_others_imports_nothing_unasked(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = torch.load(find_checkpoint(run_dir), weights_only=True)["hyper_parameters"]
    evil = {**content, "net": {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path / 'here'}"}}}
    path = changed(run_dir, tmp_path / "evil.ckpt", hyper_parameters=evil)
    assert export("--ckpt_path", str(path), "--format", "torch") == 2
    assert "names os.system, which is not imported unasked" in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["evil.ckpt"]


def test_data_of_others_are_not_imported_for_a_check(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The config of a run may come from others with its checkpoint."""
    run = tmp_path / "version_0"
    shutil.copytree(run_dir, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["class_path"] = "evil_data.Digits"
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    source = "import pathlib\nfrom aeanomaly.data.sources.digits import Digits\npathlib.Path('made').touch()\n"
    (tmp_path / "evil_data.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    words = ["--ckpt_path", str(run), "--format", "torch", "--scores", "reconstruction"]
    try:
        assert export(*words) == 0
        assert "random images (test images cannot be had:" in " ".join(capsys.readouterr().out.split())
        assert not (tmp_path / "made").exists()
        assert export(*words, "--allow-import", "evil_data") == 0
        assert "test images of its run" in " ".join(capsys.readouterr().out.split())
    finally:
        sys.modules.pop("evil_data", None)


def test_without_its_data_random_images_check_it(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(run_dir, tmp_path / "alone.ckpt")
    assert export("--ckpt_path", str(path), "--format", "torch", "--scores", "reconstruction") == 0
    out = capsys.readouterr().out
    assert "random images (test images cannot be had: there is no config.yaml of its run)" in " ".join(out.split())
    assert (tmp_path / "model.pt2").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scores", "kmean"], "the checkpoint has no score 'kmean'; did you mean 'kmeans'?"),
        (["--out", "model.pt2"], "--out must be a file that ends in .onnx"),
        (["--format", "tf"], "invalid choice: 'tf'"),
    ],
)
def test_mistakes_are_one_line(
    words: list[str], message: str, run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export("--ckpt_path", str(run_dir), *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
