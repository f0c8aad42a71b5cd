"""Make the prepared table of a run, piece by piece, so that memory does not grow with the run.

    prepare(store, run)                  # also `seglib prepare`, and a job of the dashboard

A piece is named by a digest of what it is made from: its rows of the file index, the parts of the run's statistics that
they are in, the label map, the own columns and the photos' measures. Parts never change, so a piece whose name is there
already is taken as it is; later photos, labels or columns change only the pieces that they concern.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from seglib.data.image_ids import PACKED, Packed, pack
from seglib.errors import StoreError
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.progress import OnProgress, Progress
from seglib.query.prepared.manifest import (
    MOST_ROWS,
    Manifest,
    Piece,
    is_whole,
    read_manifest,
    write_manifest,
)
from seglib.query.prepared.pieces import to_arrow
from seglib.query.prepared.stats_index import StatsIndex
from seglib.store import content
from seglib.store.content import LabelledFiles
from seglib.store.own_columns.join import append_own_columns
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Run
from seglib.store.schemas import join_stats, to_frame
from seglib.store.store import Store

_FORMAT = 1
"""Incremented when a change of the code changes pieces."""

_GROUP_ROWS = 1 << 14
"""Rows of a row group: few enough to look up single rows."""

_TRIES = 3
"""How often the table is begun again because parts were merged meanwhile."""


@dataclass(frozen=True, kw_only=True)
class PrepareReport:
    run: str
    rows: int
    pieces: int
    reused: int
    """Pieces that were there already."""
    bytes: int
    seconds: float


def prepare(store: Store, run: Run, on_progress: OnProgress = lambda _: None) -> PrepareReport:
    """Make the prepared table of a run, or bring it up to date.

    Args:
        store: Also while a run writes to it; the table then shows the photos that were stored when it was begun.
        run: Whose photos.
        on_progress: Called after each piece, in photos.

    Raises:
        StoreError: A part is damaged, parts change faster than they are read, or another process is at the same work.
    """
    started, folder = time.perf_counter(), store.table_folder(run.run)
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder):
        for _ in range(_TRIES):
            try:
                return _Builder(store, run, on_progress).build(started)
            except FileNotFoundError:  # merged into another part since they were listed
                continue
    raise StoreError("The store changes faster than its table can be prepared: try again when no run is writing to it.")


class _Builder:
    def __init__(self, store: Store, run: Run, on_progress: OnProgress) -> None:
        self._store, self._run, self._on_progress = store, run, on_progress
        self._folder = store.table_folder(run.run)
        self._version = store.version(with_tags=False)
        self._previous = read_manifest(store, run.run)
        datasets = store.datasets()
        self._files = store.present_files(datasets).unify_dictionaries()
        label_maps = {one.name: content.read_label_map(store, one) for one in datasets}
        self._labels = LabelledFiles(self._files, label_maps)
        self._dataset_ids = {one.name: one.id for one in datasets}
        self._index = StatsIndex(store, run)
        self._with_measures = not photo_measures.find_damaged(store)
        self._everywhere = self._digest_of_all(label_maps)
        self._ids: list[Packed] = []
        self._has_row: list[NDArray[np.bool_]] = []
        self._starts: list[tuple[str, str]] = []
        self._reused = 0

    def build(self, started: float) -> PrepareReport:
        pieces = list(self._pieces()) or [self._piece(self._files.slice(0, 0), 0, np.zeros(0, np.int64))]
        ids = np.concatenate([np.zeros(0, PACKED), *self._ids])
        has_row = np.concatenate([np.zeros(0, bool), *self._has_row])
        repeats = self._write("repeats", _repeats(ids[has_row], self._dataset_codes()[has_row]))
        made = datetime.now(UTC).isoformat(timespec="seconds")
        manifest = Manifest(self._folder, self._version, made, tuple(pieces), tuple(self._starts), repeats)
        write_manifest(self._store, manifest)
        self._remove_unused(manifest)
        return PrepareReport(
            run=self._run.run,
            rows=manifest.rows,
            pieces=len(pieces),
            reused=self._reused,
            bytes=sum(file.stat().st_size for file in manifest.files),
            seconds=time.perf_counter() - started,
        )

    def _pieces(self) -> Iterator[Piece]:
        """Make the pieces in order; notes where they begin, and the id of each file and whether it has a row."""
        progress = Progress(title="Preparing the table", total=len(self._files))
        for start, stop in self._cuts():
            files = self._files.slice(start, stop - start)
            ids = pack(files["image_id"])
            places = self._index.places(ids)
            self._ids.append(ids)
            self._has_row.append(places >= 0)
            self._starts.append((files["dataset"][0].as_py(), files["path"][0].as_py()))
            if (places >= 0).any():
                yield self._piece(files, start, places)
            progress.done = stop
            self._on_progress(progress)

    def _cuts(self) -> Iterator[tuple[int, int]]:
        """(first, last + 1) of the files of each piece: where the previous table was cut, or every `MOST_ROWS`."""
        cuts = self._previous.cuts if self._previous else ()
        bounds = sorted({0, *(self._place_of(*cut) for cut in cuts), len(self._files)})
        for start, stop in pairwise(bounds):
            parts = max(1, round((stop - start) / MOST_ROWS))
            edges = np.linspace(start, stop, parts + 1).astype(int)
            yield from pairwise(edges.tolist())

    def _place_of(self, dataset: str, path: str) -> int:
        """The number of files before this one."""
        datasets = self._files["dataset"].cast(pa.string())
        before = pc.or_(
            pc.less(datasets, dataset), pc.and_(pc.equal(datasets, dataset), pc.less(self._files["path"], path))
        )
        return int(pc.sum(before).as_py() or 0)

    def _piece(self, files: pa.Table, start: int, places: NDArray[np.int64]) -> Piece:
        found = np.flatnonzero(places >= 0)
        computed = files if len(found) == len(files) else files.take(found)
        digest = self._digest(computed, self._index.part_names(places[found]))
        name = f"piece-{digest}.parquet"
        if is_whole(self._folder / name):
            self._reused += 1
        else:
            self._write_file(name, to_arrow(self._rows(files, start, places[found])))
        return Piece(name, len(found))

    def _rows(self, files: pa.Table, start: int, places: NDArray[np.int64]) -> pd.DataFrame:
        """As `Store.table` gives them."""
        stats = self._index.read(places)
        rows, found = join_stats(files, self._labels, self._run, stats, start)
        frame = to_frame(append_own_columns(self._store, rows, files, self._dataset_ids, found))
        return photo_measures.add_columns(self._store, frame) if self._with_measures else frame

    def _digest_of_all(self, label_maps: dict[str, dict[str, str]]) -> bytes:
        """Of what each piece depends on."""
        labels = sorted({(str(d), str(la)) for d, la in zip(*self._label_pairs(), strict=True)})
        own = parquet_parts.list_parts(self._store.columns_folder())
        measures = parquet_parts.list_parts(self._store.photo_measures_folder()) if self._with_measures else []
        known = (_FORMAT, self._run.run, self._run.classes, sorted(label_maps.items()), labels, own, measures)
        return repr(known).encode()

    def _label_pairs(self) -> tuple[list[str], list[str]]:
        pairs = self._files.select(["dataset", "label"]).group_by(["dataset", "label"]).aggregate([])
        return pairs["dataset"].to_pylist(), pairs["label"].to_pylist()

    def _digest(self, files: pa.Table, parts: Sequence[str]) -> str:
        digest = hashlib.sha256(self._everywhere)
        digest.update(repr(parts).encode())
        for name in files.column_names:
            digest.update(_content(files[name]))
        return digest.hexdigest()[:16]

    def _dataset_codes(self) -> NDArray[np.int32]:
        """int32 (files,): the number of each file's dataset, in the order of the table."""
        codes = self._files["dataset"].combine_chunks().indices.to_numpy()
        changes = np.concatenate([[0], (codes[1:] != codes[:-1]).cumsum()]) if len(codes) else codes
        return changes.astype(np.int32)

    def _write(self, kind: str, table: pa.Table) -> str:
        digest = hashlib.sha256(repr((_FORMAT, table.column_names)).encode())
        for name in table.column_names:
            digest.update(_content(table[name]))
        name = f"{kind}-{digest.hexdigest()[:16]}.parquet"
        if not is_whole(self._folder / name):
            self._write_file(name, table)
        return name

    def _write_file(self, name: str, table: pa.Table) -> None:
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer, compression="zstd", row_group_size=_GROUP_ROWS)
        self._store.atomic.write(self._folder / name, memoryview(buffer.getvalue()))

    def _remove_unused(self, manifest: Manifest) -> None:
        """Keep the files of the table before this one, which a server may still be reading."""
        used = {file.name for one in (manifest, self._previous) if one for file in one.files}
        for file in self._folder.glob("*.parquet"):
            if file.name not in used:
                file.unlink(missing_ok=True)


def _content(column: pa.ChunkedArray) -> bytes:
    """The values of a column as bytes, whatever its chunks and dictionary."""
    is_text = pa.types.is_dictionary(column.type) or pa.types.is_string(column.type)
    array = (column.cast(pa.string()) if is_text else column).combine_chunks()
    sink = pa.BufferOutputStream()
    batch = pa.record_batch([pa.concat_arrays([array])], names=["values"])  # without an offset
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(memoryview(sink.getvalue()))


def _repeats(ids: Packed, datasets: NDArray[np.int32]) -> pa.Table:
    """The rows of photos that have several rows: row, image and in_dataset (numbers), in the table's order."""
    order = np.argsort(ids, kind="stable")
    same = np.concatenate([ids[order][1:] == ids[order][:-1], [False]]) if len(ids) else np.zeros(0, bool)
    repeated = same | np.concatenate([[False], same[:-1]]) if len(ids) else same
    images = np.concatenate([[0], (~same[:-1]).cumsum()])[: len(ids)]
    rows = order[repeated]
    by_row = np.argsort(rows)
    return pa.table(
        {
            "row": pa.array(rows[by_row].astype(np.int64)),
            "image": pa.array(images[repeated][by_row].astype(np.int64)),
            "in_dataset": pa.array(datasets[rows[by_row]]),
        }
    )
