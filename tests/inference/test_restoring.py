"""What is restored from a checkpoint, and what a checkpoint may not have imported or called."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonargparse
import lightning as L
import numpy as np
import pytest
import torch

from aeanomaly.data.pictures import Geometry
from aeanomaly.data.sources.digits import Digits
from aeanomaly.errors import UserError
from aeanomaly.inference.anomaly_detector import load
from aeanomaly.inference.restoring import restore
from aeanomaly.models.dense import DenseAutoencoder
from aeanomaly.runs.finding import find_checkpoint
from aeanomaly.training.module import LitAutoencoder

Change = Callable[[dict[str, Any]], object]
EVIL = {"class_path": "aeanomaly.scores.estimator.Estimator", "init_args": {"estimator": "evil_module.Net"}}


@pytest.fixture
def changed(run_dir: Path, tmp_path: Path) -> Callable[[Change], Path]:
    """A copy of the checkpoint of the shared run, with a change."""

    def make(change: Change) -> Path:
        content = torch.load(find_checkpoint(run_dir), weights_only=True)
        change(content)
        path = tmp_path / "changed.ckpt"
        torch.save(content, path)
        return path

    return make


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported, and the file that it then makes."""
    made = tmp_path / "made"
    (tmp_path / "evil_module.py").write_text(
        f"import pathlib\nfrom aeanomaly.models.dense import DenseAutoencoder\npathlib.Path({str(made)!r}).touch()\n"
        "class Net(DenseAutoencoder): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evil_module", raising=False)
    return made


def net(**changes: Any) -> Change:
    return lambda content: content["hyper_parameters"]["net"].update(changes)


def argument(**changes: Any) -> Change:
    return lambda content: content["hyper_parameters"]["net"]["init_args"].update(changes)


def score(class_path: str, **init_args: Any) -> Change:
    part = {"class_path": class_path, "init_args": init_args}
    return lambda content: content["hyper_parameters"]["scores"].update(extra=part)


def test_detector_shape_and_the_callers_random_numbers(run_dir: Path) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    restored = restore(run_dir)
    assert torch.equal(torch.rand(3), expected)
    assert restored.image_shape == (1, 8, 8)
    assert not restored.detector.training
    assert list(restored.detector.score_modules) == ["reconstruction", "kmeans"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (net(class_path="evil_module.Net"), "evil_module.Net"),
        (net(class_path="aeanomaly_evil.Net"), "aeanomaly_evil.Net"),
        (argument(activation="evil_module.Net"), "evil_module.Net"),
        (argument(activation={"class_path": "evil_module.Net"}), "evil_module.Net"),
        (argument(activation='{class_path: "evil\\x5fmodule.Net"}'), "evil_module.Net"),
        (argument(activation="torch.os.system"), "torch.os.system"),
        (score("os.system", command="touch made"), "os.system"),
        (score("aeanomaly.scores.estimator.Estimator", estimator="evil_module.Net"), "evil_module.Net"),
        (score("aeanomaly.scores.estimator.Estimator", estimator="os.mkdir", options={"path": "made"}), "os.mkdir"),
        (lambda content: content["hyper_parameters"].update(scores=json.dumps({"a": EVIL})), "evil_module.Net"),
        (argument(activation=json.dumps(EVIL)), "evil_module.Net"),  # a score is a module, too
    ],
)
def test_other_classes_are_refused_before_they_are_imported(
    change: Change, named: str, changed: Callable[[Change], Path], evil: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(evil.parent)
    with pytest.raises(UserError) as refusal:
        restore(changed(change))
    assert "\n" not in str(refusal.value)
    assert "--allow-import" in str(refusal.value)
    assert named.rpartition(".")[2] in str(refusal.value)
    assert not evil.exists()
    assert "evil_module" not in sys.modules


def test_a_score_that_is_written_as_text_imports_nothing(changed: Callable[[Change], Path], evil: Path) -> None:
    with pytest.raises(UserError, match="cannot be built"):
        restore(changed(lambda content: content["hyper_parameters"]["scores"].update(a=json.dumps(EVIL))))
    assert not evil.exists()


def test_what_is_allowed_is_built(changed: Callable[[Change], Path], evil: Path) -> None:
    restored = restore(changed(net(class_path="evil_module.Net")), ["evil_module"])
    assert type(restored.detector.net).__name__ == "Net"
    assert evil.exists()


def test_an_estimator_is_made_only_if_it_is_a_detector(changed: Callable[[Change], Path], tmp_path: Path) -> None:
    made = tmp_path / "made"
    change = score("aeanomaly.scores.estimator.Estimator", estimator="os.mkdir", options={"path": str(made)})
    with pytest.raises(UserError, match="mkdir is no outlier detector"):
        restore(changed(change), ["os"])
    assert not made.exists()


def test_what_else_the_program_parses_is_left_alone(changed: Callable[[Change], Path]) -> None:
    with pytest.raises(UserError):
        restore(changed(net(class_path="os.system")))
    parser = jsonargparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--kind", type=Callable)
    assert parser.parse_args(["--kind=math.sqrt"]).kind(4) == 2


@pytest.mark.parametrize("name", ["no name", "", "jsonargparse", "../x"])
def test_only_names_can_be_allowed(name: str, run_dir: Path) -> None:
    with pytest.raises(UserError, match="takes the name of a package"):
        restore(run_dir, [name])


def test_a_pickled_object_is_not_read(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "made",))

    torch.save({"state_dict": {}, "pytorch-lightning_version": "2", "hyper_parameters": Evil()}, tmp_path / "e.ckpt")
    with pytest.raises(UserError, match="is not a readable checkpoint"):
        restore(tmp_path / "e.ckpt")
    assert not (tmp_path / "made").exists()


def without(*keys: str) -> Change:
    return lambda content: [content.pop(key) for key in keys]


def unfitted(content: dict[str, Any]) -> None:
    for name in content["state_dict"]:
        if "scores" in name:
            content["state_dict"][name] = torch.empty(0)


def test_a_checkpoint_that_cannot_serve_says_why(changed: Callable[[Change], Path]) -> None:
    for change, says in (
        (without("hyper_parameters"), "does not say how its net is made"),
        (unfitted, "score 'reconstruction' of .* was never fitted"),
        (argument(code_size=3), "is of another net, or of another program: size mismatch"),
        (argument(code_size="many"), "cannot be built"),
    ):
        with pytest.raises(UserError, match=says):
            restore(changed(change))


def test_an_older_checkpoint_serves_where_its_net_knows_the_shape(
    changed: Callable[[Change], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old = changed(without("images"))
    assert restore(old).image_shape == (1, 8, 8)
    monkeypatch.setattr("aeanomaly.models.base.Autoencoder.__setattr__", _without_shape, raising=False)
    with pytest.raises(UserError, match="does not know the shape of its images"):
        restore(old)


def _without_shape(self: Any, name: str, value: Any) -> None:
    if name != "image_shape":
        torch.nn.Module.__setattr__(self, name, value)


class CroppedDigits(Digits):
    """Digits as if they came from pictures."""

    geometry = Geometry(8, 8, "crop", 1)


def test_pictures_are_brought_to_shape_as_in_training(tmp_path: Path) -> None:
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = L.Trainer(max_epochs=1, accelerator="cpu", devices=1, default_root_dir=tmp_path, **quiet)
    trainer.fit(LitAutoencoder(DenseAutoencoder((1, 8, 8), (24,), 3)), CroppedDigits(anomaly_classes=[0]))
    trainer.save_checkpoint(tmp_path / "cropped.ckpt")
    detector = load(tmp_path / "cropped.ckpt", device="cpu")
    assert detector.geometry == CroppedDigits.geometry
    wide = np.zeros((8, 16), np.uint8)
    wide[:, 4:12] = np.arange(8) * 30
    assert detector.score(wide) == pytest.approx(detector.score(wide[:, 4:12]), rel=1e-5)
