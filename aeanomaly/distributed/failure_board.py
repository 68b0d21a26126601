"""Where the processes of a run read that one of them failed."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import torch

_PERIOD = 0.1  # seconds between two looks while waiting


@dataclass(frozen=True)
class Failure:
    """What is known of the process that failed first.

    Attributes:
        rank: its number among all processes.
        node: the number of its machine.
        status: the exit status of the run, 2 after a user's mistake.
        message: its error in one line.
        spoke: whether it has printed that error itself.
    """

    rank: int
    node: int
    status: int
    message: str
    spoke: bool = True


class FailureBoard:
    """One failure, the first, written into the store through which the processes found each other.

    Where there is no store, because they have not met yet or no longer hold it, nothing is known and nothing kept.

    Args:
        patience: seconds to wait for the store, and for others to read.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._store: Any = None

    def read(self) -> Failure | None:
        """The failure that was written down, None if there is none."""
        try:
            store = self._connect()
            return _parse(store.get(_key())) if store is not None and store.check([_key()]) else None
        except RuntimeError:
            self._store = None  # connect anew next time
            return None

    def write(self, failure: Failure) -> Failure | None:
        """Write a failure down unless there is one; returns the one that stands, None if there is no store."""
        try:
            store = self._connect()
            return _parse(store.compare_set(_key(), "", json.dumps(asdict(failure)))) if store is not None else None
        except RuntimeError:
            return None

    def acknowledge(self, rank: int) -> None:
        """Note that this process knows."""
        with contextlib.suppress(RuntimeError):
            store = self._connect()
            if store is not None:
                store.set(f"{_key()}/{rank}", "")

    def wait_for(self, ranks: Sequence[int]) -> None:
        """Wait until these processes have acknowledged, or patience is at an end."""
        deadline = time.monotonic() + self._patience
        with contextlib.suppress(RuntimeError):
            store = self._connect()
            while store is not None and ranks and time.monotonic() < deadline:
                if store.check([f"{_key()}/{rank}" for rank in ranks]):
                    return
                time.sleep(_PERIOD)

    def _connect(self) -> Any:
        # A connection of its own: a process that waits for a key blocks all others that use the same one.
        if self._store is None and torch.distributed.is_initialized():
            address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
            timeout = timedelta(seconds=self._patience)
            self._store = torch.distributed.TCPStore(address, port, timeout=timeout, wait_for_workers=False)  # type: ignore[attr-defined]
        return self._store


def _key() -> str:
    # torchrun may start all processes again, with the same store.
    return f"aeanomaly/failure/{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}"


def _parse(record: bytes) -> Failure:
    return Failure(**json.loads(record))
