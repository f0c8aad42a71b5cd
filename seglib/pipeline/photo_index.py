"""Bring the store's index of a folder's photos up to date: who is new, who is gone, and what a new photo is.

`register_photos` reads the photos without a model: content hash, size and thumbnail, for masks that are imported.
"""

import time
from functools import partial

import pandas as pd
import pyarrow as pa

from seglib.data.decode_pool import DecodePool
from seglib.data.image import Extras, is_worth_retrying
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.photo_root import PhotoRoot, may_read, open_photos, scan_photos
from seglib.errors import BadImage
from seglib.fileio import parquet_parts
from seglib.fileio.parallel import default_worker_count
from seglib.maintenance import datasets
from seglib.pipeline.planning import FileIndex, RunPlan, select_scan_fields, split_by_path
from seglib.progress import OnNote, OnProgress, Progress
from seglib.store import scans
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset
from seglib.store.scans import ScanRecord
from seglib.store.schemas import FILES_SCHEMA, VANISHED
from seglib.store.store import Store
from seglib.store.writer import FilesWriter


def register_photos(
    store: Store,
    root: PhotoRoot,
    *,
    workers: int | None = None,
    gps: GpsPrecision | None = None,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
) -> Dataset:
    """Scan a folder or bucket into the store, without a run: new and changed photos get an id, a size,
    a thumbnail and measures.

    Photos that cannot be read get a row with the reason. Raises `DatasetError` if there are no photos.
    """
    folder_scan = scan_photos(root)
    records = folder_scan.records
    with store.atomic.register_writer():
        for sentence in (*folder_scan.left_out.describe(), *datasets.recognise_folder(store, root)):
            if on_note is not None:
                on_note(sentence)
        data_set = store.register_dataset(root)
        scans.keep(store, data_set, ScanRecord(folder_scan.left_out, follow_links=False))
        index = FileIndex(store, data_set)
        accept_new_times(store, data_set, index, records)
        scan_id = time.time_ns()
        record_vanished(store, data_set, index, records, scan_id)
        plan = RunPlan.build(records, index, index.image_ids(), partial(readable_again, data_set), verify=False)
        progress = Progress(title=data_set.name, total=plan.total, done=plan.total - len(plan.to_decode))
        writer = FilesWriter(store, data_set, scan_id)
        extras = Extras(thumbnail=True, measures=gps or photo_measures.newest_precision(store))
        count = min(default_worker_count() if workers is None else workers, -(-len(plan.to_decode) // 2))
        with DecodePool(count, None) as pool:
            try:
                for record, outcome in pool.decode(open_photos(root, ((r, extras) for r in plan.to_decode))):
                    if isinstance(outcome, BadImage):
                        writer.add_file(select_scan_fields(record), reason=outcome.reason, detail=outcome.detail)
                        progress.failed += 1
                    else:
                        writer.add_thumbnail(outcome.image_id, outcome.thumbnail)
                        if outcome.measures is not None:
                            writer.add_measures(outcome.image_id, outcome.measures)
                        writer.add_file(
                            select_scan_fields(record),
                            image_id=outcome.image_id,
                            width=outcome.width,
                            height=outcome.height,
                        )
                    progress.done += 1
                    if on_progress is not None:
                        on_progress(progress)
            finally:  # also on interruption: keep what was read
                writer.commit()
    return data_set


def readable_again(data_set: Dataset, stored_files: pd.DataFrame) -> set[str]:
    """Paths of unchanged files that failed before and may be readable now.

    A permission, this program or its extras may have changed, of which neither size nor mtime tells.
    """
    failed = stored_files[stored_files["reason"].notna() & (stored_files["reason"] != VANISHED)]
    refused = failed.loc[failed["reason"] == "unreadable", "path"]
    outdated = failed.loc[failed["detail"].fillna("").map(is_worth_retrying).astype(bool), "path"]
    return {path for path in refused if may_read(data_set.root, path)} | set(outdated)


def accept_new_times(store: Store, data_set: Dataset, index: FileIndex, records: pd.DataFrame) -> None:
    """`datasets.accept_new_times` for all files of a scan."""
    ranges = split_by_path(records)
    if sum(datasets.accept_new_times(store, data_set, index.read(paths), some) for paths, some in ranges):
        index.forget()


def record_vanished(store: Store, data_set: Dataset, index: FileIndex, records: pd.DataFrame, scan_id: int) -> int:
    """Mark files that no longer exist as vanished; returns their number.

    The added rows remove them from the table; their masks stay until `prune`.
    """
    number = 0
    for paths, some in split_by_path(records):
        known = index.read(paths)
        if known.empty:
            continue
        vanished = known[(known["reason"] != VANISHED) & ~known["path"].isin(some["path"])]
        if len(vanished):
            rows = vanished.assign(reason=VANISHED, detail="Not there at this scan.", scan=scan_id)
            table = pa.Table.from_pandas(rows, FILES_SCHEMA, preserve_index=False)
            parquet_parts.append(store.atomic, store.files_folder(data_set), table)
        number += len(vanished)
    return number
