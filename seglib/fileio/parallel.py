"""Map a function over files in threads: reading, hashing and decoding release the GIL."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Work = TypeVar("Work")
Result = TypeVar("Result")

_ITEMS_PER_TASK = 16


def default_worker_count() -> int:
    """One worker per usable core, at most 8."""
    return max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def map_in_threads(
    count: Callable[[Work], Result], work: Sequence[Work], threads: int | None = None
) -> Iterator[Result]:
    """Yield results in order, computing a bounded number ahead; one thread per core measured best."""
    threads = threads if threads is not None else default_worker_count()
    tasks = iter([work[i : i + _ITEMS_PER_TASK] for i in range(0, len(work), _ITEMS_PER_TASK)])

    def count_task(task: Sequence[Work]) -> list[Result]:
        return [count(one) for one in task]

    with ThreadPoolExecutor(max(1, threads), "seglib-worker") as pool:
        ahead = [pool.submit(count_task, task) for task in islice(tasks, 2 * max(1, threads))]
        try:
            while ahead:
                yield from ahead.pop(0).result()
                ahead += [pool.submit(count_task, task) for task in islice(tasks, 1)]
        finally:
            for waiting in ahead:
                waiting.cancel()
