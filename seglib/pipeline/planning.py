"""Plan a run: compare a scan with the file index and the run's results to find the files that must be processed.

A scan is compared range by range of its paths, half a million files at a time, so that few rows of a large index are in
memory; what is planned is kept as positions in the scan. Opens no photo.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from seglib.data.image_ids import PACKED, ImageIds, Packed, pack, unpack
from seglib.data.scan import RECORD_COLUMNS, Record
from seglib.store.records import Dataset
from seglib.store.schemas import EVERY_PATH, FILES_SCHEMA, STAMPS, VANISHED, PathRange, has_same_stamps, read_image_ids
from seglib.store.store import Store

RANGE_FILES = 500_000
"""Most files of a scan that are compared with the index at a time."""

_FILES_PER_BATCH = 10_000


class FileIndex:
    """The store's rows of a dataset's files (`Store.files`), read by ranges of paths; the last range is kept."""

    def __init__(self, store: Store, dataset: Dataset) -> None:
        self._store, self._dataset = store, dataset
        self._last: tuple[PathRange, pd.DataFrame] | None = None

    def read(self, paths: PathRange = EVERY_PATH) -> pd.DataFrame:
        if self._last is None or self._last[0] != paths:
            self._last = None  # before the next takes its place in memory
            self._last = paths, self._store.files(self._dataset, paths)
        return self._last[1]

    def image_ids(self) -> ImageIds:
        """Of every file that was ever read."""
        return read_image_ids(self._store.files_folder(self._dataset), FILES_SCHEMA)

    def forget(self) -> None:
        """Read the rows again the next time, since some were added."""
        self._last = None


def split_by_path(records: pd.DataFrame) -> Iterator[tuple[PathRange, pd.DataFrame]]:
    """The records of a scan, which are sorted by path, in ranges that together cover every path there could be."""
    starts = range(0, max(len(records), 1), RANGE_FILES)
    limits = [None, *(str(records["path"].iloc[start]) for start in starts[1:]), None]
    for start, limit in zip(starts, itertools.pairwise(limits), strict=True):
        yield PathRange(*limit), records.iloc[start : start + RANGE_FILES]


class PlannedFiles:
    """Files of a scan, in its order, as records that are made one by one."""

    def __init__(self, records: pd.DataFrame, positions: NDArray[np.int32], image_ids: Packed) -> None:
        """`image_ids`: (N,) of the files at these positions; empty where none is known."""
        self._records, self._positions, self._image_ids = records, positions, image_ids

    @classmethod
    def none(cls) -> "PlannedFiles":
        return cls(pd.DataFrame(columns=list(RECORD_COLUMNS)), np.empty(0, np.int32), np.empty(0, PACKED))

    def __len__(self) -> int:
        return len(self._positions)

    def __iter__(self) -> Iterator[Record]:
        """Rows of the scan with their known `image_id`, with None for null."""
        for start in range(0, len(self), _FILES_PER_BATCH):
            part = slice(start, start + _FILES_PER_BATCH)
            ids = self._image_ids[part]
            known = [text if packed else None for text, packed in zip(unpack(ids), ids.tolist(), strict=True)]
            frame = self._records.iloc[self._positions[part]]
            rows = pa.Table.from_pandas(frame[list(RECORD_COLUMNS)], preserve_index=False).to_pylist()
            for record, image_id in zip(rows, known, strict=True):
                yield record | {"image_id": image_id}

    @property
    def has_known_ids(self) -> bool:
        """Whether the image_id of any of them is known."""
        return bool((self._image_ids != b"").any())


@dataclass(frozen=True)
class RunPlan:
    to_decode: PlannedFiles
    """New or changed files, and one file per known image that the run has not computed yet."""
    repeats: PlannedFiles
    """Duplicates: files whose image is expected to be computed from a file in `to_decode`."""
    computed_ids: ImageIds
    reused: int
    failed: int

    @property
    def total(self) -> int:
        return len(self.to_decode) + len(self.repeats) + self.reused + self.failed

    @classmethod
    def build(
        cls,
        records: pd.DataFrame,
        index: FileIndex,
        computed_ids: ImageIds,
        readable_again: Callable[[pd.DataFrame], set[str]],
        verify: bool,
    ) -> "RunPlan":
        """Compare the scan with the file index. A file with unchanged `bytes` and `mtime_ns` counts as unchanged, and
        so does an object of a bucket with unchanged `bytes` and `etag`.

        Unchanged files that failed before are skipped, unless they are in `readable_again` of the index's rows; with
        `verify`, every file is read again.
        """
        to_decode, repeats, reused, failed = [], [], 0, 0
        start = 0
        for paths, some in split_by_path(records):
            stored_files = index.read(paths)
            compared = _compare(some, stored_files, computed_ids, readable_again(stored_files), verify)
            to_decode.append(compared.where(compared.is_pending & ~compared.is_repeated, start))
            repeats.append(compared.where(compared.is_repeated, start))
            reused += int(compared.reused.sum())
            failed += int(compared.failed.sum())
            start += len(some)
        return cls(
            to_decode=_planned(records, to_decode),
            repeats=_planned(records, repeats),
            computed_ids=computed_ids,
            reused=reused,
            failed=failed,
        )


def count_pending(
    records: pd.DataFrame, stored_files: pd.DataFrame, computed_ids: ImageIds, readable_again: set[str]
) -> int:
    """Number of files of a scan that a run with these results has still to process; see `RunPlan.build`."""
    return int(_compare(records, stored_files, computed_ids, readable_again, verify=False).is_pending.sum())


@dataclass(frozen=True)
class _Compared:
    """Some files of a scan and what the index knows of them, each bool (N,)."""

    image_ids: pa.Array
    """Of the files that are `identified`; null for the others."""
    failed: NDArray[np.bool_]
    """Unchanged, could not be read before, and are not to be read again."""
    reused: NDArray[np.bool_]
    """Unchanged, and the run has their image."""
    is_repeated: NDArray[np.bool_]
    """Unchanged, and another file of the same image, which the run does not have, comes before."""

    @property
    def is_pending(self) -> NDArray[np.bool_]:
        return ~self.failed & ~self.reused

    def where(self, chosen: NDArray[np.bool_], start: int) -> tuple[NDArray[np.int32], Packed]:
        """(positions of these files, `start` being that of the first, and their image ids, empty where unknown)."""
        positions = np.flatnonzero(chosen)
        ids = np.zeros(len(positions), PACKED)
        of_chosen = self.image_ids.take(pa.array(positions))
        ids[of_chosen.is_valid().to_numpy(zero_copy_only=False)] = pack(of_chosen.drop_null())
        return (positions + start).astype(np.int32), ids


def _compare(
    records: pd.DataFrame,
    stored_files: pd.DataFrame,
    computed_ids: ImageIds,
    readable_again: set[str],
    verify: bool,
) -> _Compared:
    facts = stored_files[["path", *STAMPS, "image_id", "reason"]]
    joined = records.merge(facts, on="path", how="left", suffixes=("", "_known"), sort=False)
    same = has_same_stamps(joined, "_known") & (joined["reason"] != VANISHED)
    trusted = same & (not verify)
    identified = same & joined["reason"].isna()
    ids = pa.array(joined["image_id"].astype("object").where(identified, None), pa.string())
    reused = trusted.to_numpy() & computed_ids.select(ids)
    repeated = trusted & identified & ~reused & joined["image_id"].where(identified).duplicated()
    failed = trusted & joined["reason"].notna() & ~joined["path"].isin(readable_again)
    return _Compared(image_ids=ids, failed=failed.to_numpy(), reused=reused, is_repeated=repeated.to_numpy())


def _planned(records: pd.DataFrame, found: Iterable[tuple[NDArray[np.int32], Packed]]) -> PlannedFiles:
    ranges, image_ids = zip(*found, strict=True)
    positions = np.concatenate(ranges)
    if not any((ids != b"").any() for ids in image_ids):  # as of a first run: then they take no memory
        return PlannedFiles(records, positions, np.broadcast_to(np.zeros(1, PACKED), len(positions)))
    return PlannedFiles(records, positions, np.concatenate(image_ids))


def select_scan_fields(record: Record) -> Record:
    """The columns of `record` that come from the scan."""
    return {name: record[name] for name in RECORD_COLUMNS}
