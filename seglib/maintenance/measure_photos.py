"""Measure the photos of a store that are not measured yet, without a model: those that older versions computed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from seglib.data.decode_pool import DecodePool
from seglib.data.image import Extras
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.errors import BadImage
from seglib.fileio.parallel import default_worker_count
from seglib.maintenance import compact
from seglib.maintenance.status import live_image_ids
from seglib.progress import OnProgress, Progress
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset
from seglib.store.store import Store
from seglib.store.writer import FilesWriter


@dataclass(frozen=True, kw_only=True)
class MeasureReport:
    """Result of `measure_photos`, in images: `images == measured + known + failed`."""

    images: int
    measured: int
    known: int
    failed: int
    """Images whose files cannot be read, are gone, or have changed since their scan."""
    coarsened: int
    """Positions that were stored more precisely, and were rounded or removed."""
    gps: GpsPrecision


def measure_photos(
    store: Store,
    *,
    gps: GpsPrecision | None = None,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
) -> MeasureReport:
    """Read and measure every photo of the store that is not measured yet.

    `gps` says how precisely positions are kept, by default as the last time. If given, it applies to all photos: stored
    positions that are more precise are rounded or removed, and photos whose positions were kept less precisely are read
    again.
    """
    with store.atomic.register_writer():
        coarsened = photo_measures.coarsen_positions(store, gps) if gps is not None else 0
        kept = gps or photo_measures.newest_precision(store)
        alive = sorted(live_image_ids(store))
        wanted = set(alive) - photo_measures.current_ids(store)
        if gps is not None:
            wanted |= photo_measures.imprecise_ids(store, alive, gps)
        progress = Progress(title="measure", total=len(alive), done=len(alive) - len(wanted))
        measured = set[str]()
        for dataset in store.datasets():
            measured |= _measure_dataset(
                store,
                dataset,
                wanted - measured,
                gps=kept,
                workers=workers,
                progress=progress,
                on_progress=on_progress,
            )
    compact.try_merge_parts(store)
    return MeasureReport(
        images=len(alive),
        measured=len(measured),
        known=len(alive) - len(wanted),
        failed=len(wanted - measured),
        coarsened=coarsened,
        gps=kept,
    )


def _measure_dataset(
    store: Store,
    dataset: Dataset,
    wanted: set[str],
    *,
    gps: GpsPrecision,
    workers: int | None,
    progress: Progress,
    on_progress: OnProgress | None,
) -> set[str]:
    """Measure the wanted images that this dataset holds; return those that were measured."""
    tasks = list(_find_files(store, dataset, wanted))
    writer, measured = FilesWriter(store, dataset, time.time_ns()), set[str]()
    count = min(default_worker_count() if workers is None else workers, -(-len(tasks) // 2))
    with DecodePool(count, None) as pool:
        try:
            for image_id, outcome in pool.decode((image_id, path, Extras(measures=gps)) for image_id, path in tasks):
                if isinstance(outcome, BadImage) or outcome.image_id != image_id or outcome.measures is None:
                    progress.failed += 1
                else:
                    writer.add_measures(image_id, outcome.measures)
                    measured.add(image_id)
                progress.done += 1
                if on_progress is not None:
                    on_progress(progress)
        finally:  # also on interruption: keep what was read
            writer.commit()
    return measured


def _find_files(store: Store, dataset: Dataset, wanted: set[str]) -> Iterator[tuple[str, Path]]:
    """Yield one file for each wanted image of the dataset."""
    files = store.files(dataset)
    files = files[files["reason"].isna() & files["image_id"].isin(wanted)].drop_duplicates("image_id")
    for image_id, path in zip(files["image_id"], files["path"], strict=True):
        yield image_id, dataset.root / path
