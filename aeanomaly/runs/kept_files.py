"""What a checkpoint says of the files that ModelCheckpoint keeps, and may remove: true, and of its own folder."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from aeanomaly.errors import UserError

_NAMES = ("best_model_path", "kth_best_model_path", "last_model_path")


def rename_folder(checkpoint: dict[str, Any], folder: str) -> None:
    """Have the paths that callbacks noted in a checkpoint begin with the present name of their folder.

    Otherwise Lightning's ModelCheckpoint forgets what is the best so far, when a run goes on that was moved or is named
    from another working directory. The checkpoint, which was read from that folder, is changed in place.
    """
    for state in _states(checkpoint, folder):
        old = state["dirpath"]
        if old != folder:
            for key, value in state.items():
                if isinstance(value, str) and value.startswith(old):
                    state[key] = folder + value.removeprefix(old)
            kept = state["best_k_models"].items()
            state["best_k_models"] = {folder + path.removeprefix(old): score for path, score in kept}


def keep_to_own_files(checkpoint: dict[str, Any], folders: Collection[str], path: str) -> None:
    """Have ModelCheckpoint remove nothing but what lies in its folder, whatever a checkpoint says.

    Lightning removes the file, or the folder with all that is in it, that a checkpoint names as the worst of those
    kept. A checkpoint of others may name anything. The checkpoint is changed in place: what lies in the folder of
    another run is no file of this one.

    Args:
        checkpoint: as it was read.
        folders: those of the callbacks of this run.
        path: of the checkpoint, for the message.

    Raises:
        UserError: if it names a file outside the folder that it says to have kept it in.
    """
    for state in _states(checkpoint, path):
        folder = state["dirpath"]
        for name in [*(state.get(key) for key in _NAMES), *state["best_k_models"]]:
            if name and not _lies_in(str(name), folder):
                raise UserError(
                    f"{path} names {str(name)!r} as one of its files, which lies outside its folder {folder!r}: do not "
                    "go on from it"
                )
        if folder not in folders:
            state["best_model_path"] = ""


def _states(checkpoint: dict[str, Any], where: str) -> Iterator[dict[str, Any]]:
    states = checkpoint.get("callbacks") or {}
    for state in states.values() if isinstance(states, dict) else ():
        if isinstance(state, dict) and isinstance(state.get("dirpath"), str):
            kept = state.setdefault("best_k_models", {})
            if not isinstance(kept, dict) or not all(isinstance(name, str) for name in kept):
                raise UserError(f"{where}: what it says of the files that are kept is damaged: do not go on from it")
            yield state


def _lies_in(name: str, folder: str) -> bool:
    if "://" in name or "://" in folder:  # a store elsewhere, whose names are taken as they are
        return name.startswith(f"{folder.rstrip('/')}/") and ".." not in name.split("/")
    place, own = Path(name).resolve(), Path(folder).resolve()  # through links and `..`
    return place != own and place.is_relative_to(own)
