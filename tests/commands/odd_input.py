"""What `test_bad_input` shares: where a command is run, how its end is judged, and every kind of file there is."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import torch
from PIL import Image

from aeanomaly.commands.main import main
from tests.commands.test_hostile import Touches
from tests.commands.test_hostile import bomb as aliases
from tests.conftest import DEBUG
from tests.data.test_pictures import bomb as huge_picture

_LONGEST = 100  # seconds of a command


class Place(NamedTuple):
    """Folders of this module: one to work in, which is empty, one with odd files, and a finished run."""

    here: Path
    files: Path
    run: Path


def content(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@contextlib.contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Raise in what hangs."""

    def hangs(*_: object) -> NoReturn:
        raise TimeoutError(f"not done after {seconds} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(words: Sequence[str], place: Place) -> None:
    """Run one command, and check what has to hold whatever it was."""
    root, environment = place.here.parent, dict(os.environ)
    before = content(root)
    said, complained = io.StringIO(), io.StringIO()
    try:
        with no_longer_than(_LONGEST), contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
            try:
                status = main(words)
            except SystemExit as leaving:  # --help, which is among what may be typed
                assert leaving.code == 0, words
                status = 0
        new = content(root) - before
        assert status in (0, 2), words
        if status == 2:
            *warnings, error = complained.getvalue().splitlines()
            assert error.startswith("aeanomaly: error: "), (words, error)
            assert len(error) > 25 and "Namespace(" not in error, (words, error)
            assert all(re.match(r"\w*[Ww]arning: ", line) for line in warnings), (words, warnings)
            assert not new, (words, new)
    finally:
        if {"--out", "--csv", "--json", "--heatmaps"} & {
            word.partition("=")[0] for word in words
        }:  # something may be written over
            shutil.rmtree(place.files / "kinds", ignore_errors=True)
        os.environ.clear()
        os.environ.update(environment)
        for path in content(root) - before:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def _hostile(folder: Path) -> None:
    """Files that would run something, fill the memory or lead elsewhere, if they were believed."""
    whole = {"state_dict": {}, "pytorch-lightning_version": "2.6", "callbacks": {}}
    torch.save({**whole, "hyper_parameters": Touches(folder / "touched")}, folder / "pickle.ckpt")
    torch.save({**whole, "state_dict": [1], "images": "x"}, folder / "odd_parts.ckpt")
    np.save(folder / "objects.npy", np.array([Touches(folder / "touched")], dtype=object))
    np.save(folder / "claims.npy", np.zeros((40, 8, 8), np.uint8))
    header = b"(40, 8, 8), }     ", b"(4000000, 8, 8), }"
    (folder / "claims.npy").write_bytes((folder / "claims.npy").read_bytes().replace(*header))
    (folder / "claims.idx3-ubyte").write_bytes(struct.pack(">4i", 0x803, 2**30, 2**15, 2**15) + bytes(64))
    (folder / "aliases.yaml").write_text(aliases())
    (folder / "huge.png").write_bytes(huge_picture())
    with zipfile.ZipFile(folder / "slip.zip", "w") as archive:
        archive.writestr("../../touched", "x")
    shutil.copy(folder / "slip.zip", folder / "slip.ckpt")


def odd_files(place: Place) -> dict[str, str]:
    """Every kind of file, by what it is; none of them is anybody else's, as it may be written to."""
    folder = place.files / "kinds"
    if not folder.exists():
        folder.mkdir()
        for name in ("empty", "empty.yaml", "empty.ckpt", "empty.npy", "empty.csv"):
            (folder / name).touch()
        for name in ("junk", "junk.yaml", "junk.ckpt", "junk.npy", "junk.png"):
            (folder / name).write_bytes(bytes(range(256)))
        for name in ("folder", "folder.yaml", "folder.ckpt", "folder.npy"):
            (folder / name).mkdir()
        (folder / "loop").symlink_to("loop")
        (folder / "dangling.yaml").symlink_to("nowhere")
        (folder / "list.yaml").write_text("- 1\n")
        (folder / "word.yaml").write_text("word\n")
        for name in ("debug.yaml", "callbacks.yaml"):  # copies: a command may be told to write there
            shutil.copy(Path(DEBUG).with_name(name), folder / name)
        (folder / "line\nfeed.yaml").write_text("[")
        for name, array in (
            ("images", np.zeros((40, 8, 8), np.uint8)),
            ("labels", np.arange(40) % 4),
            ("none", np.zeros((0, 8, 8), np.uint8)),
            ("last", np.zeros((40, 8, 8, 3), np.uint8)),
            ("nan", np.full((40, 8, 8), np.nan, np.float32)),
            ("below", np.arange(40) - 1),
            ("scalar", np.uint8(1)),
        ):
            np.save(folder / f"{name}.npy", array)
        _hostile(folder)
        (folder / "pictures").mkdir()
        Image.new("L", (8, 8)).save(folder / "pictures" / "a.png")
        for name, text in (("metrics.json", "{"), ("config.yaml", "["), ("test_scores.csv", "index,class\n1\n")):
            (folder / f"run_{name}").mkdir()
            (folder / f"run_{name}" / name).write_text(text)
        if os.geteuid():  # root reads everything
            (folder / "forbidden").write_text("a: 1")
            (folder / "forbidden").chmod(0)
        os.mkfifo(folder / "pipe")
    found = {path.name: str(path) for path in folder.iterdir()}
    found |= {
        "run": str(place.run),
        "checkpoint": str(next(place.run.glob("checkpoints/best*"))),
        "debug": str(folder / "debug.yaml"),
    }
    found |= {
        "cache": str(place.here / "cache"),
        "missing": "nowhere",
        "below a file": str(folder / "empty" / "x.csv"),
        "long": "x" * 300,
        "no name": "",
    }
    return found | {"NUL": "a\0b", "bytes": "a\udcffb", "memory": "/proc/self/mem"}
