"""A process and those that it has started end together."""

from __future__ import annotations

import atexit
import functools
import os
import signal
import subprocess
import threading
import time
from multiprocessing.process import BaseProcess

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from aeanomaly.errors import Terminated

_PERIOD = 1.0  # seconds between two looks at the parent
_GRACE = 5.0  # seconds for a child to end, and to say why, by itself


def end_together(trainer: Trainer) -> None:
    """See to it that no process of a run on this machine outlives the one that started it; children may start later.

    The other direction, a child that fails, is Lightning's observer of child processes, or torchrun. Lightning leaves
    two cases: a first process that fails does not end its children, and children do not notice that it was killed.
    Those in a collective of gloo get an error then; those in one of NCCL wait for a timeout of ten minutes or more.
    """
    if trainer.local_rank == 0:
        atexit.register(_end_children, trainer)  # after the error has been printed
    else:
        end_with(os.getppid())


def ending(leaving: SystemExit, trainer: Trainer | None) -> BaseException:
    """How a process ends that a signal stopped, and that Lightning therefore leaves by ``leaving``.

    After Ctrl-C by a `KeyboardInterrupt`, which the caller of a library expects, after SIGTERM with the status 143.
    A process that Lightning started ends with 0: after any other status its observer kills all, the first process too,
    before that could end with the status that counts.
    """
    cause = leaving.__context__
    terminated = isinstance(cause, Terminated) or isinstance(leaving, SIGTERMException)
    interrupted = leaving.code == 128 + signal.SIGINT or (isinstance(cause, KeyboardInterrupt) and not terminated)
    if not interrupted and not terminated and leaving.code != 128 + signal.SIGTERM:
        return leaving
    if trainer is not None and trainer.local_rank > 0:
        environment = getattr(trainer.strategy, "cluster_environment", None)
        if isinstance(environment, LightningEnvironment):
            return SystemExit(0)
    if interrupted:
        return KeyboardInterrupt("the run has said how to go on")
    return SystemExit(128 + signal.SIGTERM)


def _end_children(trainer: Trainer) -> None:
    for child in getattr(trainer.strategy.launcher, "procs", ()):  # Lightning's public list of what it has started
        if isinstance(child, BaseProcess):  # of the strategies that spawn or fork
            child.join(_GRACE)
            if child.is_alive():
                child.kill()
            continue
        try:
            child.wait(_GRACE)
        except subprocess.TimeoutExpired:
            child.kill()  # a process in a collective does not hear a gentler signal
            child.wait()


@functools.cache  # one thread is enough
def end_with(parent: int) -> None:
    """Have this process end within about a second after its parent, whose number is given, however that ends."""
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_PERIOD)
    os._exit(1)  # the main thread may wait in a collective and cannot be woken
