"""Threads that are ahead of who wants the results: in order, so many at a time, and no longer than they are wanted."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from aeanomaly.data.ahead import ahead
from aeanomaly.errors import UserError


@pytest.mark.parametrize(("depth", "workers"), [(1, 2), (12, 1), (12, 2), (100, 2), (100, 7)])
def test_no_more_than_the_depth_is_held_at_a_time(depth: int, workers: int) -> None:
    lock = threading.Lock()
    begun, used = 0, 0

    def items() -> Iterator[int]:
        nonlocal begun
        for number in range(500):
            with lock:
                begun += 1
                assert begun - used <= depth + 1  # and the one that was just used up
            yield number

    for number in ahead(lambda item: item * 2, items(), depth, workers):
        if number % 100 == 0:
            time.sleep(0.01)  # the threads have time to run ahead
        used += 1
        assert number == 2 * (used - 1)
    assert used == begun == 500


@pytest.mark.parametrize("depth", [1, 8, 64])
def test_an_error_in_the_middle_ends_it(depth: int) -> None:
    def fail(item: int) -> int:
        if item == 20:
            raise UserError("twenty")
        return item

    with pytest.raises(UserError, match="twenty"):
        list(ahead(fail, iter(range(10**9)), depth))


def test_who_stops_asking_does_not_wait_for_the_rest() -> None:
    done: list[int] = []

    def work(item: int) -> int:
        time.sleep(0.005)
        done.append(item)
        return item

    results = ahead(work, iter(range(10**9)), depth=400, workers=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    results.close()
    assert len(done) < 60
