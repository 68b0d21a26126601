"""What can be told from a checkpoint before anything is built, and which one of a run is tested."""

from __future__ import annotations

import io
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from aeanomaly.errors import UserError
from aeanomaly.runs.files import MOST_VALUES, write_whole
from aeanomaly.runs.finding import LOGS, run_of_checkpoint, version_of
from aeanomaly.runs.hyperparameters import count_values
from aeanomaly.runs.reading import read_run

# Options of the model that may differ from those in a checkpoint: two change nothing but the speed, and thresholds
# follow from the scores of normal images that the checkpoint holds.
FREE_OF_CHECKPOINT = ("steps_per_call", "cuda_graph", "thresholds")

# What whoever reads a checkpoint takes for granted: key, type of its value, and of what that holds.
_KINDS: tuple[tuple[str, type, type], ...] = (
    ("state_dict", dict, Tensor),
    ("hyper_parameters", dict, object),
    ("images", dict, object),
    ("val_metrics", dict, float),
    ("callbacks", dict, dict),
    ("loops", dict, dict),
    ("optimizer_states", list, dict),
    ("lr_schedulers", list, dict),
    ("global_step", int, object),
    ("epoch", int, object),
    ("threads", int, object),
)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds; its weights stay in the file until they are used.

    Besides Lightning's own keys there may be ``hyper_parameters``, the model's configuration, if it was trained from
    the command line; ``val_metrics``, the ``val/*`` values of these weights by tag; ``images``, the ``shape``
    of what the net takes and how pictures were brought to it; ``threads``, how many trained them.

    Raises:
        UserError: if the file is missing or not a checkpoint.
    """
    if not path.is_file():
        raise UserError(f"there is no checkpoint file {str(path)!r}")
    try:
        # mmap: only the structure is read here; the weights are read once, when the trainer loads them.
        content: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu", mmap=True)
        for key in ("state_dict", "pytorch-lightning_version"):
            content[key]
        for key, kind, inner in _KINDS:
            value = content.get(key)
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
            optional = value is None and key != "state_dict"
            if not optional and not (isinstance(value, kind) and all(isinstance(item, inner) for item in held)):
                raise TypeError(key)
        if count_values(content.get("hyper_parameters")) > MOST_VALUES:  # lists within lists, each of them ten times
            raise ValueError("hyper_parameters")
    except (OSError, EOFError, RuntimeError, LookupError, TypeError, ValueError, UnpicklingError, BadZipFile):
        raise UserError(f"{path} is not a readable checkpoint (damaged, or of another program)") from None
    return content


def checkpoint_to_resume(run: Path) -> Path | None:
    """The checkpoint that an unfinished run goes on from: ``last.ckpt``, else that of the most steps; None without any.

    Not the newest in any case: only ``last.ckpt`` is written when all others of its epoch are in their places.

    Raises:
        UserError: if a checkpoint cannot be read.
    """
    last = run / "checkpoints" / "last.ckpt"
    if last.is_file():
        return last
    found = _steps_by_checkpoint(run / "checkpoints")
    return max(found, key=lambda path: found[path], default=None)


def version_to_continue(checkpoint: Path, root: Path) -> int | None:
    """N of ``version_N`` under ``root`` if this is the checkpoint from which an unfinished run goes on there.

    Training a finished run further, or going back to an older checkpoint, makes a new run: nothing is overwritten.
    """
    run = run_of_checkpoint(checkpoint)
    if run is None or run.parent != (root / LOGS).resolve() or read_run(run).finished:
        return None
    latest = checkpoint_to_resume(run)
    return version_of(run) if latest is not None and latest.samefile(checkpoint) else None


def go_back_to(checkpoint: Path) -> None:
    """Remove what a run that goes on from a checkpoint makes again: later ones, and what a killed process left half."""
    steps = _steps_by_checkpoint(checkpoint.parent)
    later = [path for path, step in steps.items() if step > steps[checkpoint]]
    for path in [*later, *checkpoint.parent.glob(".*.ckpt")]:
        path.unlink()


def _steps_by_checkpoint(folder: Path) -> dict[Path, int]:
    return {path: int(read_checkpoint(path)["global_step"]) for path in sorted(folder.glob("[!.]*.ckpt"))}


def replace_state(path: Path, state: dict[str, Any], val_metrics: dict[str, float]) -> None:
    """Put weights and fitted scores, and the values of the validation they come from, into a checkpoint."""
    content = torch.load(path, weights_only=True, map_location="cpu") | {
        "state_dict": state,
        "val_metrics": val_metrics,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_whole(path, stream.getvalue())


def find_conflict(given: Any, saved: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first key, such as ``.net.code_size``, at which two configurations differ, with both values.

    None if they agree in all keys that both have. An ``image_shape`` of null agrees with any.
    """
    if given is None and name.endswith(".image_shape"):
        return None
    lists = isinstance(given, list) and isinstance(saved, list) and len(given) == len(saved)
    if lists and any(isinstance(item, (dict, list)) for item in given):
        given, saved = dict(enumerate(given)), dict(enumerate(saved))
    if isinstance(given, dict) and isinstance(saved, dict):
        both = (find_conflict(given[key], saved[key], f"{name}.{key}") for key in given if key in saved)
        return next(filter(None, both), None)
    return (name, given, saved) if given != saved else None


def refuse_conflict(given: Any, saved: Any, path: Path) -> None:
    """Compare the configuration of a model with that in a checkpoint.

    Raises:
        UserError: if they differ.
    """
    conflict = find_conflict(given, saved)
    if conflict:
        key, here, there = conflict
        advice = "its net is for such images" if key.endswith("image_shape") else "drop that option"
        raise UserError(f"model{key} is {here} here but {there} in {path}; {advice}")


def chosen_checkpoint(trainer: Trainer) -> Path | None:
    """The best checkpoint of the callback with a monitor, wherever it is listed; None if there is none."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.monitor and callback.best_model_path:
            return Path(callback.best_model_path)
    return None


def last_checkpoint(trainer: Trainer) -> Path | None:
    """Where the checkpoint to resume from lies, or would lie; None where no checkpoints are kept.

    The path is that which a user would type: relative below the working directory.
    """
    callback = trainer.checkpoint_callback
    if not isinstance(callback, ModelCheckpoint) or not callback.dirpath:
        return None
    path = Path(callback.dirpath, "last.ckpt")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def kept_checkpoint(trainer: Trainer) -> Path | None:
    """The checkpoint that a fit which ends here can go on from, ``last.ckpt`` or else the best; None without one."""
    paths = (last_checkpoint(trainer), chosen_checkpoint(trainer))
    return next((path for path in paths if path is not None and path.is_file()), None)


def checkpoint_to_test(trainer: Trainer) -> Path | None:
    """The checkpoint to test after a fit: the chosen one, or where nothing is monitored any that was kept.

    None stands for the weights at the end of training, where no checkpoints are kept.

    Raises:
        UserError: if nothing was validated, so that there is neither a checkpoint nor any fitted score.
    """
    if trainer.fast_dev_run:  # type: ignore[attr-defined]  # a batch of everything, of which nothing is kept
        return None
    kept = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, ModelCheckpoint)]
    best = chosen_checkpoint(trainer)
    if best is None and kept and not any(callback.monitor for callback in kept) and kept[0].best_model_path:
        best = Path(kept[0].best_model_path)
    if best is None and (kept or "val/loss" not in trainer.callback_metrics):
        limits = f"max_epochs {trainer.max_epochs}, max_steps {trainer.max_steps}"
        raise UserError(
            "not tested: no validation has come to its end, so there is no checkpoint and no score is fitted; see "
            f"trainer.{limits}, limit_val_batches {trainer.limit_val_batches}, "
            "val_check_interval, max_time"
        )
    return best
