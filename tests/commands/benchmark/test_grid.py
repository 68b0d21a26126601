"""From a benchmark's YAML to its cells."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from aeanomaly.commands.benchmark.grid import read_grid
from aeanomaly.errors import UserError
from tests.conftest import DEBUG, REPOSITORY

ONE = {"protocol": "one-class", "classes": [7]}


def written(tmp_path: Path, **content: Any) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(yaml.safe_dump({"base": [DEBUG], **content}))
    return path


def test_every_combination_once(tmp_path: Path) -> None:
    methods = {"small": {"model.net.code_size": 3}, "large": {"model.net.code_size": 8}}
    axes = {"data.batch_size": [32, 64], "trainer.max_epochs": [1, 2, 3]}
    path = written(tmp_path, protocol="leave-one-out", classes=[0, 1], methods=methods, axes=axes, seeds=[5, 6])
    cells = read_grid(path).cells
    assert len(cells) == 2 * 2 * 2 * 3 * 2
    assert len({cell.name for cell in cells}) == len(cells)
    assert len({cell.options for cell in cells}) == len(cells)
    assert [cell.seed for cell in cells] == [5] * 24 + [6] * 24


def test_options_of_a_cell(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        overrides={"trainer.precision": "bf16-mixed"},
        protocol="one-class",
        classes=[7],
        methods={"m": {"config": ["more.yaml"], "model.net.hidden": [30, 20]}},
        seeds=[4],
    )
    (cell,) = read_grid(path).cells
    assert cell.options == (
        *("--config", DEBUG, "--config", "more.yaml", "--trainer.precision=bf16-mixed"),
        *("--model.net.hidden=[30, 20]", "--data.normal_classes=[7]", "--data.anomaly_classes=null"),
        "--seed_everything=4",
    )
    assert cell.columns() == {"method": "m", "class": 7, "seed": 4}


@pytest.mark.parametrize("more", ["more.yaml", ["more.yaml"]])
def test_one_config_of_a_method_needs_no_list(more: object, tmp_path: Path) -> None:
    (cell,) = read_grid(written(tmp_path, base=[], methods={"m": {"config": more}})).cells
    assert cell.options[:2] == ("--config", "more.yaml")


def test_without_protocol_the_classes_stay_those_of_the_base(tmp_path: Path) -> None:
    (cell,) = read_grid(written(tmp_path)).cells
    assert cell.class_ is None
    assert not [word for word in cell.options if "classes" in word]
    (cell,) = read_grid(written(tmp_path, methods={"two": {"data.anomaly_classes": [1, 2]}})).cells
    assert "--data.anomaly_classes=[1, 2]" in cell.options


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"protocl": "one-class"}, "unknown key 'protocl'; did you mean 'protocol'"),
        ({"protocol": "both"}, "protocol: expected one of leave-one-out, one-class or nothing, got .both."),
        ({"protocol": "one-class"}, "needs the list `classes`"),
        ({"base": ["nowhere.yaml"]}, "'nowhere.yaml' does not exist"),
        ({"base": []}, "neither `base` nor `config` of the method 'base' names a config"),
        ({"base": [], "methods": {"a": {"config": [DEBUG]}, "b": {}}}, "of the method 'b' names"),
        ({"seeds": 3}, "seeds: expected list or nothing, got .3."),
        ({"methods": ["a"]}, "methods: expected keys and values or nothing, got "),
        ({"scores": []}, "`scores` must name at least one score"),
        ({"seeds": [1, 1]}, "a value stands twice"),
        ({"classes": [0, 1]}, "`classes` needs a protocol: leave-one-out or one-class"),
        ({"axes": {"seed_everything": [4, 5]}}, "axes: seed_everything is set by the benchmark itself, .* `seeds`"),
        ({"overrides": {"seed_everything": 4}}, "overrides: seed_everything is set by the benchmark itself"),
        (
            {**ONE, "methods": {"a": {"data.anomaly_classes": [3]}}},
            "method a: data.anomaly_classes is set by .* `class",
        ),
        ({**ONE, "overrides": {"data.init_args.normal_classes": [3]}}, "overrides: data.normal_classes is set by"),
        (
            {"overrides": {"ckpt_path": "last.ckpt"}},
            "overrides: ckpt_path is set by the benchmark itself, leave it out",
        ),
        ({"overrides": {"config": DEBUG}}, "overrides: config is set by the benchmark itself"),
        ({"methods": {"a": {"trainer.default_root_dir": "x"}}}, "method a: trainer.default_root_dir is set by"),
        ({"axes": {"trainer.logger": [True, False]}}, "axes: trainer.logger is set by the benchmark itself"),
        (
            {"methods": {"wide": {"model.net.init_args.code_size": 9}}, "axes": {"model.net.code_size": [3, 4]}},
            "method wide: model.net.code_size is varied under `axes`, too",
        ),
    ],
)
def test_mistakes_are_named(content: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=says):
        read_grid(written(tmp_path, **content))


@pytest.mark.parametrize("path", sorted((REPOSITORY / "configs" / "benchmark").glob("*.yaml")), ids=lambda p: p.stem)
def test_benchmarks_of_the_project_are_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    grid = read_grid(path)
    assert grid.name == path.stem
    axes = math.prod(map(len, (grid.axes or {}).values()))
    assert len(grid.cells) == len(grid.classes or []) * len(grid.methods or {}) * axes * len(grid.seeds or [])
    assert len(grid.cells) >= 8
    for cell in grid.cells:
        assert all(Path(file).is_file() for word, file in pairwise(cell.options) if word == "--config")
