"""Write a run's rows, masks and thumbnails to the store in batches.

The entry point is `RunWriter`. A killed process loses at most the uncommitted rows.
"""

import time
from collections.abc import Mapping
from threading import RLock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seglib.fileio import parquet_parts
from seglib.masks import png
from seglib.store.records import Dataset, Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

COMMIT_ROWS = 512
COMMIT_SECONDS = 5.0


class RunWriter:
    """Buffer the results of one invocation for one dataset and run, and commit them in parts.

    Masks and thumbnails reach the disk before the part that refers to them. A kill or a power cut therefore leaves at
    most masks without a row, which the next invocation writes again, and loses at most the uncommitted rows.
    Thread-safe.
    """

    def __init__(self, store: Store, dataset: Dataset, run: Run, scan: int) -> None:
        self._store, self._dataset, self._run, self._scan = store, dataset, run, scan
        self._files: list[dict[str, object]] = []
        self._stats: list[dict[str, object]] = []
        self._last_commit = time.monotonic()
        self.committed_at = time.monotonic()
        self._lock = RLock()

    def add_file(self, record: Mapping[str, object], **facts: object) -> None:
        """Add a file's row: its scan record plus image_id, width, height, or reason and detail for a failure."""
        empty = dict.fromkeys(("image_id", "width", "height", "reason", "detail"))
        with self._lock:
            self._files.append({**empty, **record, **facts, "scan": self._scan})
            self._commit_if_due()

    def add_result(self, image_id: str, row: Mapping[str, object], mask: NDArray[np.uint8], thumbnail: bytes) -> None:
        self._store.atomic.write(self._store.mask_path(self._run.run, image_id), png.encode_index_png(mask))
        if thumbnail:
            self.add_thumbnail(image_id, thumbnail)
        with self._lock:
            self._stats.append({"image_id": image_id, **row})
            self._commit_if_due()

    def add_thumbnail(self, image_id: str, thumbnail: bytes) -> None:
        self._store.atomic.write(self._store.thumbnail_path(image_id), thumbnail)

    def commit(self) -> None:
        """Write statistics before files, so that a row of the file index always finds the statistics it points to."""
        with self._lock:
            if self._stats:
                self._store.atomic.sync()
                schema = stats_schema(self._run.classes)
                parquet_parts.append(
                    self._store.atomic, self._store.stats_folder(self._run), pa.Table.from_pylist(self._stats, schema)
                )
                self._stats = []
            if self._files:
                table = pa.Table.from_pylist(self._files, FILES_SCHEMA)
                parquet_parts.append(self._store.atomic, self._store.files_folder(self._dataset), table)
                self._files = []
            self._last_commit = self.committed_at = time.monotonic()

    def _commit_if_due(self) -> None:
        due = time.monotonic() - self._last_commit > COMMIT_SECONDS
        if due or max(len(self._files), len(self._stats)) >= COMMIT_ROWS:
            self.commit()
