"""What a run inside this process must not leave to the next."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def process_restored() -> Iterator[None]:
    """Restore the environment and the handling of Ctrl-C.

    One run's seed in the environment must not reach the next, and after Ctrl-C Lightning leaves a process deaf to
    another.
    """
    environment = dict(os.environ)
    main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main_thread else None
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(environment)
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
