"""Count masks in threads and append the counts to the store: shared by compare and evaluate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from seglib.classes import VOID, Mask
from seglib.errors import StoreError, UsageError
from seglib.fileio.parallel import map_in_threads
from seglib.progress import OnProgress, Progress
from seglib.store.pair_counts import CountsWriter
from seglib.store.records import Run
from seglib.store.store import Store

FILE_COLUMNS = ["dataset", "path", "split", "label", "width", "height", "image_id"]
EVALUATED_COLUMNS = [*FILE_COLUMNS, "truth"]
"""With the id of the ground truth mask."""

Work = TypeVar("Work")


@dataclass(frozen=True, kw_only=True)
class ComparisonReport:
    """Result of one call of `update_counts`, in images."""

    images: int
    """Images that all runs have computed."""
    computed: int
    reused: int
    failed: tuple[str, ...]
    """Ids of images with a missing or damaged mask."""
    seconds: float


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
    if (beyond := mask[(mask >= classes) & (mask != VOID)]).size:  # void only occurs in imported masks
        raise StoreError(f"The mask of {image_id} in {run} holds class {beyond.max()} of {classes}.")
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
