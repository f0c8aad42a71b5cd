"""Measure how long a run's model takes for one photo, with nothing else at work on the machine.

Unlike the time of the run itself, which has decoding, writing and several passes side by side in it, this is one photo
at a time: from the decoded photo at the model's input size to mask and measures.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from seglib.errors import SegError, StoreError, UsageError
from seglib.fileio.cpu_load import CpuLoad
from seglib.inference import config, predictor
from seglib.maintenance import cost_record
from seglib.maintenance.cost_record import Latency
from seglib.models import loading
from seglib.pipeline.reproduce import resolve_run_model
from seglib.progress import OnNote
from seglib.store.records import Run, utc_now
from seglib.store.store import Store

REPEATS = 15

MAX_BUSY_SHARE = 0.1
"""With a larger share of the machine's CPU time used by others, a time is not called measured alone."""

_ATTEMPTS = 3
_LISTEN_SECONDS = 0.3  # before and after, to see whether others are at work
_TRIED_PHOTOS = 20


def measure_cost(
    store: Store, run: Run, *, repeats: int = REPEATS, device: str = "auto", on_note: OnNote | None = None
) -> Latency:
    """Measure the run's model on one of its photos, count it if nobody has, and keep both in the store.

    The photo is the first of the most frequent size that can be opened. After one call to warm up, the median of
    `repeats` calls counts. If other processes use more than `MAX_BUSY_SHARE` of the machine, it is measured up to three
    times, and the quietest is kept and marked. Raises `SegError` if the model or the photos are not here.
    """
    if repeats < 1:
        raise UsageError(f"`repeats` is a whole number of at least 1, not {repeats}.")
    spec, settings = resolve_run_model(store, run, device=device)
    loading.ensure_weights(spec)
    image = _find_photo(store, run)
    pixels, grid_wh = predictor.prepare_image(image, spec, settings)
    predictor.warm_up(spec, settings)
    cost_record.count_once(store, run, spec, settings)

    def predict() -> None:
        predictor.predict_batch(pixels[None], spec, settings, grid_wh)

    ms, busy_share = measure_alone(predict, repeats, on_note)
    latency = Latency(
        ms=round(ms, 2),
        repeats=repeats,
        image_wh=image.size,
        device=config.device_of(settings),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        busy_share=busy_share,
        alone=None if busy_share is None else busy_share <= MAX_BUSY_SHARE,
        measured=utc_now(),
    )
    before = cost_record.read(store, run).latency
    if before is not None and before.alone and not latency.alone and before.device == latency.device:
        _notify(on_note, f"{run.run} was measured alone before ({before.ms:g} ms), which stays.")
        return before
    cost_record.keep(store, run, latency=latency)
    return latency


def _notify(on_note: OnNote | None, sentence: str) -> None:
    if on_note is not None:
        on_note(sentence)


def measure_alone(
    call: Callable[[], object], repeats: int, on_note: OnNote | None = None
) -> tuple[float, float | None]:
    """(median milliseconds of a call, share of the machine that others used), from the quietest of up to 3 attempts."""
    call()
    best: tuple[float, float | None] | None = None
    for attempt in range(1, _ATTEMPTS + 1):
        ms, busy_share = _measure_once(call, repeats)
        if best is None or (busy_share is not None and busy_share < (best[1] or 0)):
            best = ms, busy_share
        if busy_share is None or busy_share <= MAX_BUSY_SHARE:
            break
        if attempt < _ATTEMPTS:
            _notify(on_note, f"Other processes use {busy_share:.0%} of this machine: measuring again.")
    assert best is not None
    return best


def _measure_once(call: Callable[[], object], repeats: int) -> tuple[float, float | None]:
    with CpuLoad() as before:
        time.sleep(_LISTEN_SECONDS)
    with CpuLoad() as during:
        seconds = [_time(call) for _ in range(repeats)]
    with CpuLoad() as after:
        time.sleep(_LISTEN_SECONDS)
    loads = [load.others for load in (before, during, after)]
    return 1000 * statistics.median(seconds), max((one for one in loads if one is not None), default=None)


def _time(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _find_photo(store: Store, run: Run) -> Image:
    for dataset, path in _typical_photos(store, run):
        try:
            return store.image(dataset, path)
        except StoreError:
            continue
    raise SegError(f"None of the photos of {run.run} can be opened: say where their folder is now, and measure again.")


def _typical_photos(store: Store, run: Run) -> Iterator[tuple[str, str]]:
    """(dataset, path) of the first photos of the size that most photos of the run have."""
    table = store.table([run.run], with_tags=False, with_measures=False)[["dataset", "path", "width", "height"]]
    if table.empty:
        return
    sizes: NDArray[np.int64] = table[["width", "height"]].to_numpy(np.int64)
    _, place, counts = np.unique(sizes, axis=0, return_inverse=True, return_counts=True)
    frequent = table[place.ravel() == counts.argmax()]
    yield from frequent[["dataset", "path"]].head(_TRIED_PHOTOS).itertuples(index=False, name=None)
