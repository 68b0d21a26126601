"""Where run directories and their checkpoints lie, found without torch."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from aeanomaly.errors import UserError
from aeanomaly.runs.reading import CONFIG, METRICS, PREDICTIONS, read_record

LOGS = "lightning_logs"


def find_runs(paths: Iterable[Path]) -> list[Path]:
    """The run directories among and under ``paths``, each once, in natural order below each path.

    A run is a folder with metrics.json or config.yaml, or one called ``version_N`` even if nothing is in it yet. What
    lies below a run, and hidden folders, are not searched. A folder with predictions and no metrics is passed over
    unless it is named itself: there is nothing in it to compare.

    Raises:
        UserError: if a path does not exist, is a file, or has no run in it.
    """
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise UserError(f"there is no run or folder {str(path)!r}")
        if not path.is_dir():
            raise UserError(f"{path} is a file: name the folder of a run, or a folder of runs")
        below = _search(path)
        if not below:
            raise UserError(f"no run in {path}: a run is a folder with {METRICS} or {CONFIG}")
        for run in sorted(below, key=lambda run: natural_order(str(run))):
            found.setdefault(os.path.realpath(run), run)
    return list(found.values())


def _search(folder: Path) -> list[Path]:
    # A folder that cannot be listed counts as found: reading it will say why not.
    runs: list[Path] = []
    seen: set[str] = set()
    walk = os.walk(folder, followlinks=True, onerror=lambda error: runs.append(Path(error.filename)))
    for place, folders, files in walk:
        real = os.path.realpath(place)
        if real in seen:  # a link back up
            folders.clear()
            continue
        seen.add(real)
        if METRICS in files or CONFIG in files or re.fullmatch(r"version_\d+", Path(real).name):
            folders.clear()
            if METRICS in files or PREDICTIONS not in files or Path(place) == folder:
                runs.append(Path(place))
        folders[:] = [name for name in folders if not name.startswith(".")]
    return runs


def natural_order(text: str) -> list[tuple[int, str]]:
    """A sort key that puts version_2 before version_10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)]


def run_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A short, unique name for each run: its path from the deepest folder that holds them all."""
    if not paths:
        return {}
    # not resolved: a run that was named by a link keeps the name of the link
    absolute = {path: Path(os.path.normpath(path.absolute())) for path in paths}
    common = os.path.commonpath([path.parent for path in absolute.values()])
    return {path: os.path.relpath(full, common) for path, full in absolute.items()}


def run_of_checkpoint(path: Path) -> Path | None:
    """The run directory that a checkpoint lies in, going by the layout ``version_N/checkpoints/*.ckpt``, if any."""
    folder = path.absolute().parent  # not resolved: the run is where the folder lies, wherever a link points to
    return folder.parent if folder.name == "checkpoints" else None


def find_checkpoint(path: Path) -> Path:
    """The checkpoint at a path; of a run's directory the one that was tested, as its metrics.json says.

    In a directory that does not say so, as that of a run not yet tested, it is ``best*.ckpt``, else ``last.ckpt``.

    Raises:
        UserError: if there is none, or it is not clear which.
    """
    if not path.is_dir():
        if not path.is_file():
            raise UserError(f"there is no run or checkpoint {str(path)!r}")
        return path
    tested = read_record(path).get("checkpoint")
    if isinstance(tested, str):
        found = Path(os.path.normpath(path / tested))
        if not found.is_file():
            raise UserError(f"the checkpoint that was tested is not in {found.parent} any more: {found.name}")
        return found
    folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
    for pattern in ("best*.ckpt", "last.ckpt", "[!.]*.ckpt"):  # a hidden one is of a process that was killed
        files = sorted(folder.glob(pattern))
        if len(files) > 1:
            raise UserError(f"{folder} has several checkpoints, name one: {', '.join(file.name for file in files)}")
        if files:
            return files[0]
    raise UserError(f"no checkpoint in {path}: name one, or a run that has its checkpoints/")


def version_of(run: Path) -> int | None:
    """N if this is ``lightning_logs/version_N``, else None."""
    folder = run.resolve()
    match = re.fullmatch(r"version_(\d+)", folder.name)
    return int(match[1]) if match and folder.parent.name == LOGS else None
