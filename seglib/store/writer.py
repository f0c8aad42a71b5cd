"""Write rows, masks and thumbnails to the store in batches.

`FilesWriter` writes a dataset's photos, `RunWriter` also the results of a run. A killed process loses at most the
uncommitted rows.
"""

import time
from collections.abc import Mapping
from threading import RLock

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seglib.data.photo_measures.measures import PhotoMeasures
from seglib.fileio import parquet_parts
from seglib.store.embeddings import vectors
from seglib.store.photo_measures import rows as measure_rows
from seglib.store.records import Dataset, Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store

COMMIT_ROWS = 512
COMMIT_SECONDS = 5.0

Embedding = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Averages of an image's features, (D,) each: over the image, and over its dominant class, or zeros without one."""


class FilesWriter:
    """Buffer the rows of a dataset's files, and commit them in parts.

    Thumbnails and masks reach the disk before the part that refers to them. A kill or a power cut therefore leaves at
    most masks without a row, which the next invocation writes again, and loses at most the uncommitted rows.
    Thread-safe.
    """

    def __init__(self, store: Store, dataset: Dataset, scan: int) -> None:
        self._store, self._dataset, self._scan = store, dataset, scan
        self._files: list[dict[str, object]] = []
        self._measures: list[dict[str, object]] = []
        self._last_commit = time.monotonic()
        self.committed_at = time.monotonic()
        self._lock = RLock()

    def add_file(self, record: Mapping[str, object], **facts: object) -> None:
        """Add a file's row: its scan record plus image_id, width, height, or reason and detail for a failure."""
        empty = dict.fromkeys(("image_id", "width", "height", "reason", "detail"))
        with self._lock:
            self._files.append({**empty, **record, **facts, "scan": self._scan})
            self._commit_if_due()

    def add_thumbnail(self, image_id: str, thumbnail: bytes) -> None:
        self._store.atomic.write(self._store.thumbnail_path(image_id), thumbnail)

    def add_measures(self, image_id: str, measures: PhotoMeasures) -> None:
        with self._lock:
            self._measures.append({"image_id": image_id, **measures.to_row()})
            self._commit_if_due()

    def commit(self) -> None:
        with self._lock:
            if self._measures:
                table = pa.Table.from_pylist(self._measures, measure_rows.SCHEMA)
                parquet_parts.append(self._store.atomic, self._store.photo_measures_folder(), table)
                self._measures = []
            if self._files:
                self._store.atomic.sync()
                table = pa.Table.from_pylist(self._files, FILES_SCHEMA)
                parquet_parts.append(self._store.atomic, self._store.files_folder(self._dataset), table)
                self._files = []
            self._last_commit = self.committed_at = time.monotonic()

    def _commit_if_due(self) -> None:
        due = time.monotonic() - self._last_commit > COMMIT_SECONDS
        if due or self._buffered_rows() >= COMMIT_ROWS:
            self.commit()

    def _buffered_rows(self) -> int:
        return max(len(self._files), len(self._measures))


class RunWriter(FilesWriter):
    """A `FilesWriter` that also writes the results of one run."""

    def __init__(self, store: Store, dataset: Dataset, run: Run, scan: int) -> None:
        super().__init__(store, dataset, scan)
        self._run = run
        self._stats: list[dict[str, object]] = []
        self._embeddings: dict[str, Embedding] = {}

    def add_result(
        self,
        image_id: str,
        row: Mapping[str, object],
        mask_png: bytes,
        thumbnail: bytes,
        embedding: Embedding | None = None,
    ) -> None:
        """Add an image's statistics and mask, and the averages of its features over itself and its dominant class."""
        self._store.atomic.write(self._store.mask_path(self._run.run, image_id), mask_png)
        if thumbnail:
            self.add_thumbnail(image_id, thumbnail)
        with self._lock:
            self._stats.append({"image_id": image_id, **row})
            if embedding is not None:
                self._embeddings[image_id] = embedding
            self._commit_if_due()

    def commit(self) -> None:
        """Write statistics before files, so that a row of the file index always finds the statistics it points to, and
        embeddings before statistics, so that an image that counts as computed has its embedding.
        """
        with self._lock:
            if self._stats:
                self._store.atomic.sync()
                self._commit_embeddings()
                schema = stats_schema(self._run.classes)
                parquet_parts.append(
                    self._store.atomic, self._store.stats_folder(self._run), pa.Table.from_pylist(self._stats, schema)
                )
                self._stats = []
            super().commit()

    def _commit_embeddings(self) -> None:
        if self._embeddings:
            whole, region = (np.stack(rows) for rows in zip(*self._embeddings.values(), strict=True))
            table = vectors.make_table(
                list(self._embeddings), vectors.to_unit_length(whole), vectors.to_unit_length(region)
            )
            parquet_parts.append(self._store.atomic, self._store.embeddings_folder(self._run), table)
            self._embeddings = {}

    def _buffered_rows(self) -> int:
        return max(super()._buffered_rows(), len(self._stats))
