"""Care of a store: what is in it, what is stale, removing what is stale, merging small parts.

In: a `Store`. Out: a `Status`, sets of ids, and a smaller store. Nothing here computes a mask or opens a photo.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from seglib import calibrate, counts, tags, truths
from seglib.catalog import Dataset, Run
from seglib.data.scan import scan
from seglib.errors import Damaged, DatasetError, StoreError, UnknownName
from seglib.fileio import parquet_parts
from seglib.fileio.lock import lock
from seglib.store import Store
from seglib.table import FILES_SCHEMA, VANISHED, newest_files, stats_schema


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    dataset: str
    files: int
    """Photos and failures of the newest scan."""
    failed: int
    vanished: int
    outdated_rows: int
    """Older rows of paths that have a newer one."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    run: str
    model: str
    resize: str
    precision: str | None
    rows: int
    pending: int
    """Photos in the store that this run has not computed."""
    stale_rows: int
    """Statistics and masks of pictures that no file has any more."""
    seconds: float
    """Spent on it so far, all invocations together."""


@dataclass(frozen=True, kw_only=True)
class TagsStatus:
    photos: dict[str, int]
    """Tag -> pictures that have it."""
    gone: int
    """Tagged pictures that no file has any more."""
    outdated_rows: int
    """Of the log: undone, replaced, or a tag taken off."""


@dataclass(frozen=True, kw_only=True)
class CountsStatus:
    """Of comparisons and evaluations."""

    folders: int
    rows: int
    stale_rows: int
    """Of pictures that no file has any more, or of runs that are gone."""


@dataclass(frozen=True, kw_only=True)
class Status:
    datasets: list[DatasetStatus]
    runs: list[RunStatus]
    stale_thumbnails: int
    """Of pictures that no file has any more, or no run."""
    tags: TagsStatus
    counts: CountsStatus

    @property
    def stale(self) -> int:
        rows = sum(d.vanished + d.outdated_rows for d in self.datasets) + sum(r.stale_rows for r in self.runs)
        return rows + self.stale_thumbnails + self.tags.outdated_rows + self.counts.stale_rows


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How a data set's folder differs from its newest scan, in files."""

    dataset: str
    there: bool
    """False if the folder is gone, or holds no photo any more."""
    new: int
    changed: int
    vanished: int


def status(store: Store) -> Status:
    alive = alive_ids(store)
    shown = alive & _computed_ids(store)
    return Status(
        datasets=[_dataset_status(store, d.name) for d in store.datasets()],
        runs=[_run_status(store, run, alive) for run in store.runs()],
        stale_thumbnails=sum(path.stem not in shown for path in _pictures(store.path / "thumbs")),
        tags=_tags_status(store, alive),
        counts=_counts_status(store, alive),
    )


def prune(store: Store) -> Status:
    """Remove what is stale; returns the status before. Masks and rows of files that are there are never touched.

    Tags are people's work: those of a photo that is gone stay, for the day it comes back. What goes is their history.
    """
    with lock(store.path):
        if store.scratch.other_writers():  # its masks lie there before their rows do; a later one waits for the lock
            raise StoreError("A run is writing to this store: prune it when the run is done.")
        for why in (*store.damaged_runs().values(), *store.damaged_datasets().values()):
            raise StoreError(why)  # else what belongs to it would pass for what belongs to nothing
        before = status(store)
        alive = alive_ids(store)
        for dataset in store.datasets():
            _keep_rows(store, store.files_folder(dataset), FILES_SCHEMA, _present_files)
        for run in store.runs():
            _keep_rows(store, store.stats_folder(run), stats_schema(run.classes), partial(_newest_alive, alive))
            _remove_pictures(store.path / "runs" / run.run / "masks", alive)
        _remove_pictures(store.path / "thumbs", alive & _computed_ids(store))
        tags.compact(store)
        truths.prune(store, alive)
        for folder in _orphans(store):
            store.scratch.discard(folder)
        for folder, schema, key in counts.folders(store):
            _keep_rows(store, folder, schema, partial(_newest_spoken_of, store, folder, key, alive))
        for folder in truths.unused(store):
            store.scratch.discard(folder)
        for folder in calibrate.unused(store):
            store.scratch.discard(folder)
        for folder in (store.path / "cache" / "photos", *(store.path / "cache" / "uncertainty").glob("*")):
            _remove_pictures(folder, alive)  # what the dashboard made of a photo goes with it
        store.scratch.sweep()
        store.scratch.close()
    return before


def remove_run(store: Store, name: str) -> None:
    """Remove a run: its statistics, masks, comparisons and evaluations. Other runs, files and thumbnails stay."""
    folder = store.path / "runs" / name
    known = [path.name for path in store.path.glob("runs/*")]
    if name not in known:
        raise UnknownName("run", name, known)
    with lock(store.path):
        if store.scratch.claimed(name):
            raise StoreError(f"A process is adding to the run {name}: remove it when that is done.")
        store.scratch.discard(folder)
        shutil.rmtree(store.path / "cache" / "uncertainty" / name, ignore_errors=True)  # what the dashboard made of it
        for orphan in _orphans(store):
            store.scratch.discard(orphan)
        store.scratch.close()


def folders(store: Store) -> Iterator[tuple[Path, pa.Schema, tuple[str, ...]]]:
    """Every folder of parts, its schema, and the columns of which equal rows are one."""
    for dataset in store.datasets():
        yield store.files_folder(dataset), FILES_SCHEMA, ("path", "scan")
    for run in store.runs():
        yield store.stats_folder(run), stats_schema(run.classes), ("image_id",)
    yield from counts.folders(store)
    yield from truths.folders(store)
    yield tags.folder(store), tags.SCHEMA, tags.KEY


def drift(store: Store, dataset: Dataset) -> Drift:
    """Compare a data set's folder with its newest scan, by name, size and time; no file is opened."""
    known = store.files(dataset)
    known = known.loc[known["reason"] != VANISHED, ["path", "bytes", "mtime_ns"]]
    try:
        records = scan(dataset.root)[["path", "bytes", "mtime_ns"]]
    except DatasetError:
        return Drift(dataset=dataset.name, there=False, new=0, changed=0, vanished=len(known))
    both = records.merge(known, on="path", suffixes=("", "_known"))
    same = (both["bytes"] == both["bytes_known"]) & (both["mtime_ns"] == both["mtime_ns_known"])
    return Drift(
        dataset=dataset.name,
        there=True,
        new=len(records) - len(both),
        changed=int((~same).sum()),
        vanished=len(known) - len(both),
    )


def size_bytes(store: Store, run: str) -> int:
    """What a run takes on the disk; it looks at every mask's entry."""
    return sum(path.stat().st_size for path in (store.path / "runs" / run).rglob("*") if path.is_file())


def merge_parts(store: Store, *, wait_seconds: float = 30) -> None:
    """Merge the small parts of every folder, newest row of a key last; a folder with a damaged part stays as it is."""
    with lock(store.path, wait_seconds=wait_seconds):
        for folder, schema, key in folders(store):
            with contextlib.suppress(Damaged):
                parquet_parts.merge(store.scratch, folder, schema, key)


def _dataset_status(store: Store, name: str) -> DatasetStatus:
    dataset = store.dataset(name)
    newest = store.files(dataset)
    every = parquet_parts.read(store.files_folder(dataset), FILES_SCHEMA, ["path"]).num_rows
    vanished = int((newest["reason"] == VANISHED).sum())
    return DatasetStatus(
        dataset=name,
        files=len(newest) - vanished,
        failed=int(newest["reason"].notna().sum()) - vanished,
        vanished=vanished,
        outdated_rows=every - len(newest),
    )


def _run_status(store: Store, run: Run, alive: set[str]) -> RunStatus:
    computed = store.computed_ids(run.run, run.classes)
    return RunStatus(
        run=run.run,
        model=run.model,
        resize=run.resize,
        precision=run.precision,
        rows=len(computed & alive),
        pending=len(alive - computed),
        stale_rows=len(computed - alive),
        seconds=round(sum(float(i["seconds"]) for i in run.invocations), 1),
    )


def _tags_status(store: Store, alive: set[str]) -> TagsStatus:
    tagged = tags.tags_of(store)
    return TagsStatus(
        photos=tags.counts(tagged), gone=int((~tagged.index.isin(alive)).sum()), outdated_rows=tags.outdated(store)
    )


def _counts_status(store: Store, alive: set[str]) -> CountsStatus:
    orphans, found, rows, stale = set(_orphans(store)), 0, 0, 0
    for folder, schema, _ in counts.folders(store):
        columns = [name for name in ("image_id", "truth") if name in schema.names]
        table = parquet_parts.read(folder, schema, columns)
        gone = not orphans.isdisjoint((folder, folder.parent))
        found += folder.parent.parent == store.path
        rows += len(table)
        stale += len(table) if gone else len(table) - table.filter(_spoken_of(store, folder, table, alive)).num_rows
    return CountsStatus(folders=found, rows=rows, stale_rows=stale)


def _orphans(store: Store) -> list[Path]:
    runs = {path.parent.name for path in store.path.glob("runs/*/run.json")}
    return counts.orphans(store, runs, {path.name for path in store.path.glob("truths/*")})


def _spoken_of(store: Store, folder: Path, table: pa.Table, alive: set[str]) -> pa.ChunkedArray:
    """bool: the rows of counts whose picture is there and, of evaluations, whose truth is its present one."""
    kept = _of_these(table["image_id"], alive)
    if "truth" not in table.column_names:
        return kept
    evaluation = folder if folder.parent.parent == store.path else folder.parent
    return pc.and_(kept, _of_these(table["truth"], truths.current(store, evaluation.name.rpartition("--")[2])))


def _present_files(rows: pa.Table) -> pa.Table:
    """The newest row of each path, without those that vanished."""
    newest = newest_files(rows)
    return newest.filter(pc.or_kleene(pc.is_null(newest["reason"]), pc.not_equal(newest["reason"], VANISHED)))


def _newest_alive(alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.newest(rows.filter(_of_these(rows["image_id"], alive)), ["image_id"])


def _newest_spoken_of(store: Store, folder: Path, key: Sequence[str], alive: set[str], rows: pa.Table) -> pa.Table:
    return parquet_parts.newest(rows.filter(_spoken_of(store, folder, rows, alive)), key)


def _of_these(image_ids: pa.ChunkedArray, alive: set[str]) -> pa.ChunkedArray:
    """bool: whether each is one of them."""
    return pc.is_in(image_ids, value_set=pa.array(sorted(alive), pa.string()))


def alive_ids(store: Store) -> set[str]:
    """Pictures that at least one file of a newest scan has."""
    alive: set[str] = set()
    for dataset in store.datasets():
        files = store.files(dataset)
        alive.update(files.loc[files["reason"].isna(), "image_id"])
    return alive


def _computed_ids(store: Store) -> set[str]:
    """Pictures that at least one run has computed."""
    ids: set[str] = set()
    return ids.union(*(store.computed_ids(run.run, run.classes) for run in store.runs()))


def _pictures(folder: Path) -> Iterator[Path]:
    """Links are not followed: what lies behind them is not the store's."""
    if not folder.is_symlink():
        for shard in folder.glob("[0-9a-f][0-9a-f]"):
            if not shard.is_symlink():
                yield from shard.glob("*.*")


def _remove_pictures(folder: Path, alive: set[str]) -> None:
    for path in list(_pictures(folder)):
        if path.stem not in alive:
            path.unlink(missing_ok=True)


def _keep_rows(store: Store, folder: Path, schema: pa.Schema, kept: Callable[[pa.Table], pa.Table]) -> None:
    """Write the new part, then delete the old ones: whoever reads in between sees rows twice, never none.

    The parts that are read are the parts that are deleted: what others append meanwhile stays.
    """
    if folder.is_symlink():
        raise StoreError(
            f"{'/'.join(folder.parts[-2:])} is a link, and a store's folders are none: put a folder there."
        )
    old = parquet_parts.names(folder)
    every = parquet_parts.read_these(folder, old, schema)
    table = kept(every)
    if table.num_rows == every.num_rows:
        return
    if table.num_rows:
        parquet_parts.append(store.scratch, folder, table)
    for name in old:
        (folder / name).unlink(missing_ok=True)
