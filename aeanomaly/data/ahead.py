"""Work on pictures by threads that are ahead of who wants the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from threading import Event
from typing import TypeVar

from joblib import cpu_count

T = TypeVar("T")
R = TypeVar("R")

_CHUNK = 8  # items that a thread takes at a time: at each handing over, threads wait for Python's lock


def ahead(function: Callable[[T], R], items: Iterable[T], depth: int, workers: int | None = None) -> Generator[R]:
    """As ``map``, in order, by threads that are at most ``depth`` items ahead of who asks for the results.

    Decoders of pictures let other threads work. No more than ``depth`` items and results exist at a time, however many
    there are. Processes would take longer to start than two thousand pictures to read.

    Args:
        workers: threads; by default one for each processor that may be used.
    """
    workers, items, stopped = workers or cpu_count(), iter(items), Event()
    size = max(1, min(_CHUNK, depth // (2 * workers)))
    with ThreadPoolExecutor(workers, "pictures") as pool:
        chunks = (pool.submit(_each, function, chunk, stopped) for chunk in iter(lambda: list(islice(items, size)), []))
        waiting = deque(islice(chunks, max(1, depth // size)))
        try:
            while waiting:
                yield from waiting.popleft().result()
                waiting.extend(islice(chunks, 1))
        finally:  # whoever stops asking does not wait for what was about to be begun
            stopped.set()
            for future in waiting:
                future.cancel()


def _each(function: Callable[[T], R], chunk: list[T], stopped: Event) -> list[R]:
    return [function(item) for item in chunk if not stopped.is_set()]
