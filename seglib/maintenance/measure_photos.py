"""Measure the photos of a store that are not measured yet, without a model: those that older versions computed."""

import time
from dataclasses import dataclass

import pyarrow as pa

from seglib.data.decode_pool import DecodePool
from seglib.data.image import Extras
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.photo_root import open_photos
from seglib.data.scan import Record
from seglib.errors import BadImage
from seglib.fileio.parallel import default_worker_count
from seglib.maintenance import compact
from seglib.maintenance.status import live_image_ids
from seglib.progress import OnProgress, Progress
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset
from seglib.store.schemas import STAMPS
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
    files, extras = _find_files(store, dataset, wanted), Extras(measures=gps)
    writer, measured = FilesWriter(store, dataset, time.time_ns()), set[str]()
    count = min(default_worker_count() if workers is None else workers, -(-len(files) // 2))
    with DecodePool(count, None) as pool:
        try:
            for record, outcome in pool.decode(open_photos(dataset.root, ((one, extras) for one in files))):
                image_id = record["image_id"]
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


def _find_files(store: Store, dataset: Dataset, wanted: set[str]) -> list[Record]:
    """One file for each wanted image of the dataset."""
    files = store.files(dataset)
    files = files[files["reason"].isna() & files["image_id"].isin(wanted)].drop_duplicates("image_id")
    records: list[Record] = pa.Table.from_pandas(files[["image_id", "path", *STAMPS]], preserve_index=False).to_pylist()
    return records
