"""Ends all processes of a run when one of them fails, with its error and without a hang.

A process that fails leaves the others waiting in a collective: over gloo until its connections close, over NCCL for
ever or until a timeout of half an hour. So the first one to fail writes this down where all can read it, in the store
through which they found each other, and every process looks there from a thread of its own. Only the first one speaks.

Lightning's observer of child processes does not do: it kills the first process within five seconds, before it could
remove a run directory that holds nothing, and it knows nothing of processes that it has not started (torchrun, Slurm)
nor of a first process that fails itself.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from lightning.pytorch import Trainer

from aeanomaly.distributed.failure_board import Failure, FailureBoard
from aeanomaly.distributed.gather import ElsewhereError

_PERIOD = 0.3  # seconds between two looks
_GRACE = 5.0  # seconds for a process to come out of what it does by itself


class StoppedError(Exception):
    """This process did not fail: it stops because another one did."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"stopped, because process {failure.rank} of the run failed: {failure.message}")
        self.failure = failure


class FailureWatch(threading.Thread):
    """Watches over the other processes of a run, from before they are started until `close`.

    Args:
        trainer: of the run.
        discard: removes the directory of a run without any result.
    """

    def __init__(self, trainer: Trainer, discard: Callable[[], None]) -> None:
        super().__init__(daemon=True, name="failure-watch")
        self._trainer, self._discard = trainer, discard
        self._children: list[subprocess.Popen[bytes]] = []
        self._board = FailureBoard(_GRACE)
        self._known: Failure | None = None  # by this thread; the store may be gone when the main thread asks
        self._over = threading.Event()
        self._parent = os.getppid()

    # -- in the main thread --------------------------------------------------------------------------------------------

    def settle(self, error: Exception, mistake: bool) -> StoppedError | None:
        """What to raise instead of an exception of this process: nothing if it is the first to fail.

        Child processes are ended, and after a user's mistake on another device the directory of a run without any
        result is removed.
        """
        self.close()
        own = self._failure(error, 2 if mistake else 1)
        first = self._first_failure(own, not isinstance(error, ElsewhereError))
        self._board.acknowledge(self._trainer.global_rank)
        self._end_children(0.0 if first == own else _GRACE)
        self._stay_for_others()
        if first == own:
            return None
        if first.status == 2:
            self._discard()
        return StoppedError(first)

    def close(self) -> None:
        """Stop watching."""
        self._over.set()

    def _failure(self, error: Exception, status: int) -> Failure:
        message = " ".join(f"{type(error).__name__}: {error}".split())
        return Failure(self._trainer.global_rank, self._trainer.node_rank, status, message)

    def _first_failure(self, own: Failure, may_be_first: bool) -> Failure:
        """The failure to blame: ``own``, or one that another process wrote down or died of."""
        known, patience = self._known, _GRACE
        if may_be_first and known is None:
            known, patience = self._board.write(own), 3 * _PERIOD if self._children else 0.0
        deadline = time.monotonic() + patience
        while True:  # a connection closes a little before a killed process is seen to have ended
            killed = self._ended_child(by_signal=True)
            if killed is not None:
                return killed
            known = known or self._board.read()
            if known not in (None, own) or time.monotonic() >= deadline:
                return known or own
            time.sleep(_PERIOD / 3)

    # -- in the watching thread ----------------------------------------------------------------------------------------

    def run(self) -> None:
        """Look until the run is over or a process failed; then see to it that this one ends."""
        failure = None
        while failure is None:
            if self._over.wait(_PERIOD):
                return
            self._adopt_children()
            killed = self._ended_child(by_signal=True)  # before what others wrote down: they suffer from it
            failure = killed or self._board.read() or self._ended_child() or self._lost_parent()
        if failure.rank == self._trainer.global_rank:
            return
        self._known = failure
        self._board.acknowledge(self._trainer.global_rank)
        # The main thread usually gets an error of its own now, and ends in order.
        if self._over.wait(_GRACE):
            return
        self._end_children(_GRACE)
        self._stay_for_others()
        if failure.status == 2:
            self._discard()
        report(failure, self._trainer)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(failure.status)  # the main thread waits in a collective and cannot be woken

    def _adopt_children(self) -> None:
        launcher = getattr(self._trainer.strategy, "launcher", None)
        children = getattr(launcher, "procs", None)
        if children and not self._children:
            # Lightning's observer looks at this very list, and ends when there is nobody left to observe.
            self._children = launcher.procs = list(children)  # type: ignore[union-attr]
            children.clear()

    def _ended_child(self, by_signal: bool = False) -> Failure | None:
        """A process started by this one that failed without a word to the others, by a signal for instance."""
        for local_rank, child in enumerate(self._children, start=1):
            status = child.poll()
            if status and (status < 0 or not by_signal):
                said = f"killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
                rank = self._trainer.global_rank + local_rank
                return Failure(rank, self._trainer.node_rank, max(status, 1), said, spoke=False)
        return None

    def _lost_parent(self) -> Failure | None:
        """The process that started this one, if it was killed; only the first of a machine may outlive its own."""
        trainer = self._trainer
        if trainer.local_rank == 0 or os.getppid() == self._parent:
            return None
        return Failure(trainer.global_rank - trainer.local_rank, trainer.node_rank, 1, "killed", spoke=False)

    # -- both ----------------------------------------------------------------------------------------------------------

    def _end_children(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        for child in self._children:
            try:
                child.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()  # a process in a collective does not hear a gentler signal
                child.wait()

    def _stay_for_others(self) -> None:
        """The first process may hold the store: it stays until the others have read there what happened."""
        if self._trainer.global_rank == 0:
            self._board.wait_for(range(len(self._children) + 1, self._trainer.world_size))


def report(failure: Failure, trainer: Trainer) -> None:
    """Say why the run stops, once for each machine where the failed process has not said it itself."""
    if trainer.local_rank == 0 and not (failure.spoke and failure.node == trainer.node_rank):
        print(f"aeanomaly: error: {StoppedError(failure)}", file=sys.stderr, flush=True)
