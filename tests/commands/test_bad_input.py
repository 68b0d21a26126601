"""Whatever is typed, `main` gives 0 or 2; 2 comes with one line on stderr, and leaves nothing behind.

hypothesis makes the words. HYPOTHESIS_PROFILE says how many: quick by default; ci for two minutes and long for eleven,
which are slow tests (``-m slow``).
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from aeanomaly.commands.fit.early import options_of_trainer
from tests.commands.odd_input import Place, odd_files, run
from tests.conftest import DEBUG, REPOSITORY

hypothesis = pytest.importorskip("hypothesis", reason="it makes the odd words: pip install -e '.[dev]'")
st = pytest.importorskip("hypothesis.strategies")

_EXAMPLES = {"quick": 1, "ci": 10, "long": 100}  # times those of a property below
_PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
pytestmark = [pytest.mark.slow] if _PROFILE != "quick" else []
# The last words win: a command that happens to be right is over in a second, in this process alone.
_SHORT = ["--trainer.fast_dev_run", "true", "--trainer.devices", "1", "--trainer.num_nodes", "1"]
# What would outlive the command in this process, start others, or make it long.
_LEFT_OUT = {"fast_dev_run", "deterministic", "benchmark", "detect_anomaly", "sync_batchnorm"}


def odd(examples: int) -> Callable[[Any], Any]:
    """Settings of a property with so many examples in the quick profile."""
    return hypothesis.settings(
        max_examples=examples * _EXAMPLES[_PROFILE],
        derandomize=_PROFILE == "quick",
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        print_blob=False,
    )


@pytest.fixture(scope="module")
def place(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """The folders, and the working directory in the first of them."""
    root = tmp_path_factory.mktemp("odd")
    place = Place(root / "here", root / "files", root / "run")
    for folder in (place.here, place.files):
        folder.mkdir()
    shutil.copytree(run_dir, place.run)
    before = Path.cwd()
    os.chdir(place.here)
    yield place
    os.chdir(before)


# -- odd values of options ---------------------------------------------------------------------------------------------


def keys_of(value: Any, above: str = "") -> Iterator[str]:
    """The dotted keys of a config, as options name them."""
    for name, item in value.items() if isinstance(value, dict) else ():
        key = above if name == "init_args" else f"{above}.{name}".lstrip(".")
        if name not in ("init_args", "class_path"):
            yield key
        yield from keys_of(item, key)


def known_keys() -> list[str]:
    """Those of debug.yaml and base.yaml, and every option of the Trainer."""
    files = (DEBUG, REPOSITORY / "configs" / "base.yaml")
    found = {key for file in files for key in keys_of(yaml.safe_load(Path(file).read_text()))}
    found |= {f"trainer.{name}" for name in options_of_trainer()}
    return sorted(key for key in found if key.rpartition(".")[2] not in _LEFT_OUT)


KEYS = st.sampled_from(known_keys())
LISTS = ["[]", "[1]", "[-1]", "[null]", "[[]]", "[a, b]", "[0, 1, 2]", "[.nan]", "{}", "{a: 1}", "{1: 2}", "{'': x}"]
CLASSES = ["{class_path: x}", "{class_path: 3}", "{class_path: torch.nn.Linear}", "{init_args: 3}", "os.system", "x.y"]
CLASSES += ["aeanomaly", "torch.optim.SGD", "aeanomaly.scores.kmeans.KMeans", "aeanomaly.models.dense.DenseAutoencoder"]
NUMBERS = ["-1", "0", "1", "1.5", "-0.0", "1e400", "nan", ".nan", ".inf", "-.inf", "-inf", str(2**31), str(10**20)]
WORDS = ["", " ", "null", "~", "true", "no", "x", "none", "auto", "/proc", ".", "2020-13-45", "1:30", "0x", "0b_"]
BROKEN = ["[", "{", "}", "a: b: c", "!!int x", "!x y", "&a [*a]", "*a", "%", "@", "|", "'", '"', "\t", "\n", "é", "😀"]
VALUES = st.sampled_from([*LISTS, *CLASSES, *NUMBERS, *WORDS, *BROKEN])
VALUES |= st.text(st.characters(exclude_characters="/"), max_size=5)  # no path out of the folder


@st.composite
def odd_option(draw: Callable[[Any], Any]) -> list[str]:
    """One option, mostly known, with a value of any kind."""
    key, value = draw(KEYS), draw(VALUES)
    change = draw(st.sampled_from(["", "", "", "letter", "more"]))
    if change == "letter":
        at = draw(st.integers(0, len(key) - 1))
        key = key[:at] + key[at + 1 :]
    elif change == "more":
        key += draw(st.sampled_from(["+", ".x", ".class_path", ".init_args", ".", "=", ".help"]))
    if key.startswith(("trainer.devices", "trainer.num_nodes")):
        with contextlib.suppress(yaml.YAMLError):  # several processes, which wait for each other: 1:30 is 90 in YAML
            number = yaml.safe_load(value)
            hypothesis.assume(not isinstance(number, (int, float)) or number < 2)
    return [f"--{key}={value}"] if draw(st.booleans()) else [f"--{key}", value]


@odd(25)
@hypothesis.given(options=st.lists(odd_option(), min_size=1, max_size=2))
def test_odd_values_of_options(options: list[list[str]], place: Place) -> None:
    run(["fit", "--config", DEBUG, *_SHORT, *(word for words in options for word in words)], place)


@odd(25)
@hypothesis.given(
    command=st.sampled_from(["fit", "test", "predict", "compare", "report", "benchmark", "export", "sweep", "x", "-x"]),
    words=st.lists(
        st.sampled_from(
            ["--config", "-c", "--ckpt_path", "--images", "--out", "--csv", "--json", "--sort", "--metrics"]
        )
        | st.sampled_from(
            ["--group-by", "--scores", "--format", "--threshold", "--batch", "--resume", "--trials", "--"]
        )
        | st.sampled_from(
            ["{run}", "{debug}", "-h", "--help=x", "--version", "-", "a,b", "torch", "--images=0", "é", "-5"]
        )
        | VALUES,
        max_size=5,
    ),
)
def test_odd_words(command: str, words: list[str], place: Place) -> None:
    filled = {"{run}": str(place.run), "{debug}": odd_files(place)["debug"]}
    run([command, *(filled.get(word, word) for word in words)], place)


# -- odd configs, stacked ----------------------------------------------------------------------------------------------

LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.dates()
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def fragment(draw: Callable[[Any], Any]) -> bytes:
    """The content of a config: a known key with anything below it, debug.yaml with a cut, or no config at all."""
    kind = draw(st.sampled_from(["key", "key", "key", "cut", "text", "bytes", "deep", "tree"]))
    if kind == "key":
        value = draw(TREES)
        for name in reversed(draw(KEYS).split(".")):
            value = {name: value}
        return yaml.safe_dump(value, allow_unicode=True).encode(errors="replace")
    if kind == "cut":
        whole = Path(DEBUG).read_bytes()
        start = draw(st.integers(0, len(whole)))
        return (
            whole[:start]
            + draw(st.sampled_from([b"", b"\t", b"[", b": ", b"\0"]))
            + whole[start + draw(st.integers(0, 30)) :]
        )
    if kind == "deep":
        depth = draw(st.sampled_from([20, 200, 2000]))
        return (draw(st.sampled_from(["model: {net: ", "x: ", ""])) + "{a: " * depth + "1" + "}" * depth).encode()
    if kind == "tree":
        return yaml.safe_dump(draw(TREES), allow_unicode=True).encode(errors="replace")
    return draw(st.binary(max_size=20)) if kind == "bytes" else draw(st.text(max_size=30)).encode(errors="replace")


@odd(25)
@hypothesis.given(
    command=st.sampled_from(["fit", "fit", "fit", "fit", "benchmark", "sweep"]),
    fragments=st.lists(fragment(), min_size=1, max_size=3),
    complete=st.integers(-1, 3),
)
def test_odd_configs_stacked(command: str, fragments: list[bytes], complete: int, place: Place) -> None:
    files = [place.files / f"{number}.yaml" for number in range(len(fragments))]
    try:
        for file, text in zip(files, fragments, strict=True):
            file.write_bytes(text)
        names = [str(file) for file in files]
        if complete >= 0:
            names.insert(complete, DEBUG)
        words = [word for name in names for word in ("--config", name)]
        run([command, *words, *(_SHORT if command == "fit" else ["--dry-run"] * (command == "benchmark"))], place)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


# -- odd files, wherever a path is taken -------------------------------------------------------------------------------


_ARRAYS = ["fit", "--config", DEBUG, *_SHORT, "--data", "aeanomaly.data.sources.arrays.ArrayFiles"]
_ARRAYS += [f"--data.{part}_{what}={{{what}.npy}}" for part in ("train", "test") for what in ("images", "labels")]
_FOLDER = ["fit", "--config", DEBUG, "--config", str(REPOSITORY / "configs" / "data" / "folder.yaml"), *_SHORT]
_FOLDER += ["--data.size", "8", "--data.channels", "1", "--data.folder={pictures}", "--data.cache_dir={cache}"]
PLACES = [
    *([*_FOLDER, f"--data.{name}", "{}"] for name in ("folder", "table", "exclude", "cache_dir")),
    ["fit", "--config", DEBUG, "--config", "{}", *_SHORT],
    ["fit", "--config", "{}", *_SHORT],
    ["fit", "--config", DEBUG, "--ckpt_path", "{}", *_SHORT],
    ["fit", "--config", DEBUG, "--trainer.callbacks", "{}", *_SHORT],
    ["fit", "--config", DEBUG, "--model", "{}", *_SHORT],
    ["fit", "--config", DEBUG, "--data", "{}", *_SHORT],
    ["fit", "--config", DEBUG, "--trainer.default_root_dir", "{}", *_SHORT],
    ["fit", "--resume", "{}", *_SHORT],
    *([*_ARRAYS, f"--data.{name}={{}}"] for name in ("train_images", "train_labels", "test_images", "test_labels")),
    ["test", "--ckpt_path", "{}", "--trainer.fast_dev_run", "true"],
    ["test", "--config", "{}", "--ckpt_path", "{checkpoint}", "--trainer.fast_dev_run", "true"],
    ["predict", "--ckpt_path", "{}", "--trainer.fast_dev_run", "true"],
    ["predict", "--ckpt_path", "{}", "--images", "{pictures}"],
    ["predict", "--ckpt_path", "{run}", "--images", "{pictures}", "--out", "{}"],
    ["predict", "--ckpt_path", "{run}", "--images", "{pictures}", "--heatmaps", "{}"],
    ["predict", "--ckpt_path", "{run}", "--images", "{}"],
    ["compare", "{}"],
    ["compare", "{run}", "--csv", "{}"],
    ["compare", "{run}", "--json={}"],
    ["report", "{}", "--images", "0"],
    ["report", "{run}", "--images", "0", "--out", "{}"],
    ["export", "--ckpt_path", "{}", "--format", "torch", "--scores", "x"],
    ["export", "--ckpt_path", "{run}", "--format", "torch", "--out", "{}", "--scores", "x"],
    ["benchmark", "--config", "{}", "--dry-run"],
    ["benchmark", "--config", "{}", "--out", "{}"],
    ["sweep", "--config", "{}"],
]


@odd(22)
@hypothesis.given(data=st.data())
def test_odd_files_wherever_a_path_is_taken(data: Any, place: Place) -> None:
    files = odd_files(place)
    words = data.draw(st.sampled_from(PLACES))
    kind = data.draw(st.sampled_from(sorted(files)))
    # As with any program, a pipe is waited for wherever one with something in it is right.
    option = words[words.index("{}") - 1] if "{}" in words else ""
    hypothesis.assume(kind != "pipe" or option not in ("--images", "--trainer.callbacks", "--model", "--data"))
    filled = [re.sub(r"\{([\w.]*)\}", lambda match: files[match[1] or kind], word) for word in words]
    run(filled, place)
