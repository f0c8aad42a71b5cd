"""Count masks in threads and append the counts to the store: shared by compare, evaluate and import-masks."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from seglib.classes import Mask
from seglib.data import decode_pool
from seglib.errors import StoreError, UsageError
from seglib.progress import OnProgress, Progress
from seglib.store.pair_counts import CountsWriter
from seglib.store.records import Run
from seglib.store.store import Store

FILE_COLUMNS = ["dataset", "path", "split", "label", "width", "height", "image_id"]
EVALUATED_COLUMNS = [*FILE_COLUMNS, "truth"]
"""With the id of the ground truth mask."""

Work = TypeVar("Work")

Result = TypeVar("Result")

_IMAGES_PER_TASK = 16


def resolve_runs(store: Store, names: Sequence[str], minimum: int = 2) -> list[Run]:
    """The runs with these names, without duplicates. Raises `UsageError` if there are fewer than `minimum`."""
    runs = [store.run(name) for name in dict.fromkeys(names)]
    if len(runs) < minimum:
        raise UsageError("A comparison needs two different runs.")
    return runs


def default_runs(store: Store) -> list[str]:
    """Names of the run used last and of all others that have computed some of its images, the last one last."""
    runs = store.runs()
    if not runs:
        return []
    ids = store.computed_ids(runs[-1])
    return [run.run for run in runs if run is runs[-1] or ids & store.computed_ids(run)]


def read_valid_mask(store: Store, run: str, image_id: str, classes: int) -> Mask:
    """Read a mask. Raises `StoreError` if it is missing, damaged, or contains an index outside the run's classes."""
    mask = store.mask(run, image_id)
    if mask.size and mask.max() >= classes:
        raise StoreError(f"The mask of {image_id} in {run} holds class {mask.max()} of {classes}.")
    return mask


def count_all(
    count: Callable[[Work], tuple[str, dict[Path, dict[str, Any]] | None]],
    work: Sequence[Work],
    appender: CountsWriter,
    progress: Progress,
    *,
    on_progress: OnProgress | None,
    threads: int | None,
) -> list[str]:
    """Count each work item and append its rows to the store; returns the ids of images that could not be counted."""
    failed = []
    try:
        for image_id, rows in map_in_threads(count, work, threads):
            if rows is None:
                failed.append(image_id)
                progress.failed += 1
            else:
                appender.add(image_id, rows)
            progress.done += 1
            if on_progress is not None:
                on_progress(progress)
    finally:  # also on interruption: keep what was counted
        appender.commit()
    return failed


def map_in_threads(
    count: Callable[[Work], Result], work: Sequence[Work], threads: int | None = None
) -> Iterator[Result]:
    """Yield results in order, computing a bounded number ahead.

    PNG decoding releases the GIL; one thread per core measured best.
    """
    threads = threads if threads is not None else decode_pool.default_worker_count()
    tasks = iter([work[i : i + _IMAGES_PER_TASK] for i in range(0, len(work), _IMAGES_PER_TASK)])

    def count_task(task: Sequence[Work]) -> list[Result]:
        return [count(one) for one in task]

    with ThreadPoolExecutor(max(1, threads), "seglib-counter") as pool:
        ahead = [pool.submit(count_task, task) for task in islice(tasks, 2 * max(1, threads))]
        try:
            while ahead:
                yield from ahead.pop(0).result()
                ahead += [pool.submit(count_task, task) for task in islice(tasks, 1)]
        finally:
            for waiting in ahead:
                waiting.cancel()
