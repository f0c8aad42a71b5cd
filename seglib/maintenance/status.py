"""Report what a store contains and which of it is stale.

`read_status` returns a `StoreStatus`; `find_drift` compares a dataset's folder with its newest scan. Opens no image
files.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from seglib.data.buckets.address import Bucket
from seglib.data.left_out import LeftOut
from seglib.data.photo_root import is_photo_gone, scan_photos
from seglib.errors import DatasetError
from seglib.fileio import parquet_parts
from seglib.query.columns import count_tags
from seglib.store import ground_truth, pair_counts, scans
from seglib.store import tags as store_tags
from seglib.store.embeddings import brought, vectors
from seglib.store.embeddings.brought import BroughtSet
from seglib.store.own_columns import log as own_columns
from seglib.store.own_columns import rewriting
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.pictures import packing
from seglib.store.records import Dataset, Run
from seglib.store.schemas import FILES_SCHEMA, STAMPS, VANISHED, has_same_stamps
from seglib.store.store import Store


@dataclass(frozen=True, kw_only=True)
class DatasetStatus:
    dataset: str
    files: int
    """Readable and failed files of the newest scan."""
    failed: int
    vanished: int
    outdated_rows: int
    """Rows superseded by a newer row of the same path."""
    left_out: LeftOut | None = None
    """What the newest scan left out; None if it is not known."""


@dataclass(frozen=True, kw_only=True)
class RunStatus:
    run: str
    model: str
    resize: str
    precision: str | None
    rows: int
    pending: int
    """Images in the store that this run has not computed."""
    stale_rows: int
    """Rows of images that no longer have a file."""
    seconds: float
    """Total run time of all invocations."""
    title: str
    """What the run is called on pages."""
    repeatable: bool
    """False if nothing tells whether the model is still the one that made these masks."""
    untrained_classes: tuple[str, ...] = ()
    """Classes that the model has names for, but was never trained on."""
    embeddings: int = 0
    """Images with embeddings in intact parts; fewer than `rows` if a part is damaged, or the run was made without them,
    by an older version, or by a model that gives none.
    """


@dataclass(frozen=True, kw_only=True)
class TagsStatus:
    photos: dict[str, int]
    """Tag -> number of images that have it."""
    gone: int
    """Number of tagged images that no longer have a file."""
    outdated_rows: int
    """Log rows that were undone or superseded, or that remove a tag."""


@dataclass(frozen=True, kw_only=True)
class ColumnsStatus:
    photos: dict[str, int]
    """Own column -> number of photos that have a value."""
    outdated_rows: int
    """Log rows that were undone or removed, or that remove a column."""


@dataclass(frozen=True, kw_only=True)
class CountsStatus:
    """Stored counts of comparisons and evaluations."""

    folders: int
    rows: int
    stale_rows: int
    """Rows of images without a file, of removed runs or ground truths, or of replaced ground truth masks."""


@dataclass(frozen=True, kw_only=True)
class MeasuresStatus:
    """Stored measures of photos."""

    photos: int
    """Images of the store that are measured by the present definitions."""
    pending: int
    """Images of the store that are not."""
    stale_rows: int
    """Rows of images that no longer have a file."""


@dataclass(frozen=True, kw_only=True)
class StoreStatus:
    datasets: list[DatasetStatus]
    runs: list[RunStatus]
    stale_thumbnails: int
    """Thumbnails of images that have no file or that no run has computed; of those in packs, what `prune` removes."""
    tags: TagsStatus
    columns: ColumnsStatus
    counts: CountsStatus
    measures: MeasuresStatus
    shared_images: int
    """Images that several datasets hold; figures count each of them once."""
    embedding_sets: list[BroughtSet]
    """Embeddings that were brought along."""
    single_masks: int
    """Masks of runs that are files of their own, not in packs."""
    left_in_packs: int = 0
    """After `prune`: pictures of images that are gone, in packs that it left because half of a pack or more is used."""

    @property
    def stale(self) -> int:
        rows = sum(d.vanished + d.outdated_rows for d in self.datasets) + sum(r.stale_rows for r in self.runs)
        outdated = self.tags.outdated_rows + self.columns.outdated_rows
        return rows + self.stale_thumbnails + outdated + self.counts.stale_rows + self.measures.stale_rows


@dataclass(frozen=True, kw_only=True)
class DatasetDrift:
    """Number of files by which a dataset's folder differs from its newest scan."""

    dataset: str
    available: bool
    """False if the folder no longer exists or contains no images."""
    exists: bool = True
    """False if the folder no longer exists."""
    new: int
    changed: int
    """Files with another size."""
    touched: int = 0
    """Files with the same size and another time, whose content may have changed."""
    vanished: int
    why: str = ""
    """Sentence that says why a bucket cannot be listed."""

    @property
    def sentence(self) -> str:
        """How the folder differs from its newest scan, and what to do; empty if it does not."""
        if self.why:
            return self.why
        if not self.exists:
            return (
                f"The folder of {self.dataset} is gone: its results stay, and none counts as stale, but its photos "
                "cannot be opened; say where the photos are now, or forget this dataset."
            )
        if not self.available:
            return f"The folder of {self.dataset} holds no photos any more: put them back, or forget this dataset."
        touched = "of the same size and another time"
        counts = {"new": self.new, "changed": self.changed, touched: self.touched, "gone": self.vanished}
        differences = [f"{number} {word}" for word, number in counts.items() if number]
        if not differences:
            return ""
        return f"The folder of {self.dataset} differs from its newest scan ({', '.join(differences)}): run again."


def read_status(store: Store) -> StoreStatus:
    images = find_images_by_dataset(store)
    alive = set().union(*images.values())
    thumbnail_ids = alive & _computed_ids(store)
    return StoreStatus(
        datasets=[_dataset_status(store, d.name) for d in store.datasets()],
        runs=[_run_status(store, run, alive) for run in store.runs()],
        stale_thumbnails=sum(path.stem not in thumbnail_ids for path in _image_files(store.thumbnails().folder))
        + sum(
            dead
            for pack, dead in packing.count_dead(store.thumbnails(), thumbnail_ids).items()
            if packing.is_stale(pack, dead)
        ),
        tags=_tags_status(store, alive),
        columns=ColumnsStatus(
            photos={column.name: column.photos for column in own_columns.list_columns(store)},
            outdated_rows=rewriting.count_outdated(store),
        ),
        counts=_counts_status(store, alive),
        measures=_measures_status(store, alive),
        shared_images=sum(number > 1 for number in Counter(chain.from_iterable(images.values())).values()),
        embedding_sets=brought.list_sets(store),
        single_masks=sum(_count_single_masks(store, run) for run in store.runs()),
    )


def find_drifts(store: Store) -> list[DatasetDrift]:
    """`find_drift` of every dataset, in the order of `read_status`."""
    return [find_drift(store, dataset) for dataset in store.datasets()]


def find_drift(store: Store, dataset: Dataset) -> DatasetDrift:
    """Compare a dataset's folder with its newest scan by path, size and modification time, without opening files."""
    stored_files = store.files(dataset)
    stored_files = stored_files.loc[stored_files["reason"] != VANISHED, ["path", *STAMPS]]
    last = scans.last(store, dataset)
    try:
        records = scan_photos(dataset.root, follow_links=last is not None and last.follow_links).records
    except DatasetError as error:
        if isinstance(dataset.root, Bucket):
            return DatasetDrift(dataset=dataset.name, available=False, new=0, changed=0, vanished=0, why=str(error))
        exists = dataset.root.is_dir()
        return DatasetDrift(
            dataset=dataset.name, available=False, exists=exists, new=0, changed=0, vanished=len(stored_files)
        )
    unlisted = set(stored_files["path"]) - set(records["path"])
    both = records.merge(stored_files, on="path", suffixes=("", "_known"))
    same_size = both["bytes"] == both["bytes_known"]
    return DatasetDrift(
        dataset=dataset.name,
        available=True,
        new=len(records) - len(both),
        changed=int((~same_size).sum()),
        touched=int((same_size & ~has_same_stamps(both, "_known")).sum()),
        vanished=sum(is_photo_gone(dataset.root, path) for path in unlisted),
    )


def run_size_bytes(store: Store, run: str) -> int:
    """Disk usage of a run in bytes; stats every file, so it is slow for large runs."""
    return sum(path.stat().st_size for path in store.run_folder(run).rglob("*") if path.is_file())


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
        left_out=last.left_out if (last := scans.last(store, dataset)) else None,
    )


def _run_status(store: Store, run: Run, alive: set[str]) -> RunStatus:
    computed = store.computed_ids(run)
    return RunStatus(
        run=run.run,
        model=run.model,
        resize=run.resize,
        precision=run.precision,
        rows=len(computed & alive),
        pending=len(alive - computed),
        stale_rows=len(computed - alive),
        seconds=round(sum(float(i["seconds"]) for i in run.invocations), 1),
        title=run.display_title,
        repeatable=run.repeatable,
        untrained_classes=run.untrained_classes,
        embeddings=vectors.count_images(store.embeddings_folder(run)),
    )


def _count_single_masks(store: Store, run: Run) -> int:
    """By the rows of the run, since counting the files themselves takes long."""
    return max(0, store.count_rows(run) - sum(pack.pictures for pack in store.masks(run.run).packs()))


def _tags_status(store: Store, alive: set[str]) -> TagsStatus:
    tagged = store_tags.tags_by_image(store)
    return TagsStatus(
        photos=count_tags(tagged),
        gone=int((~tagged.index.isin(alive)).sum()),
        outdated_rows=store_tags.count_outdated(store),
    )


def _counts_status(store: Store, alive: set[str]) -> CountsStatus:
    orphans, folder_count, rows, stale = set(_orphans(store)), 0, 0, 0
    for folder, schema, _ in pair_counts.part_folders(store):
        columns = [name for name in ("image_id", "truth") if name in schema.names]
        table = parquet_parts.read(folder, schema, columns)
        is_orphaned = pair_counts.top_folder(folder) in orphans
        folder_count += folder == pair_counts.top_folder(folder)
        rows += len(table)
        stale += (
            len(table) if is_orphaned else len(table) - table.filter(_is_current(store, folder, table, alive)).num_rows
        )
    return CountsStatus(folders=folder_count, rows=rows, stale_rows=stale)


def _measures_status(store: Store, alive: set[str]) -> MeasuresStatus:
    known, current = photo_measures.read_ids(store)
    return MeasuresStatus(photos=len(current & alive), pending=len(alive - current), stale_rows=len(known - alive))


def _orphans(store: Store) -> list[Path]:
    runs = {path.parent.name for path in store.run_records()}
    return pair_counts.orphaned_folders(store, runs, {path.name for path in store.truth_folders()})


def _is_current(store: Store, folder: Path, table: pa.Table, alive: set[str]) -> pa.ChunkedArray:
    """bool per row of counts: whether the image exists and, for evaluations, the ground truth mask is current."""
    is_alive = _is_in(table["image_id"], alive)
    if "truth" not in table.column_names:
        return is_alive
    truth_id = pair_counts.truth_of(pair_counts.top_folder(folder))
    return pc.and_(is_alive, _is_in(table["truth"], ground_truth.current_mask_ids(store, truth_id)))


def _is_in(image_ids: pa.ChunkedArray, alive: set[str]) -> pa.ChunkedArray:
    """bool: whether each id is in `alive`."""
    return pc.is_in(image_ids, value_set=pa.array(sorted(alive), pa.string()))


def live_image_ids(store: Store) -> set[str]:
    """Ids of images with at least one file in the newest scan of a dataset."""
    return set().union(*find_images_by_dataset(store).values())


def find_images_by_dataset(store: Store) -> dict[str, set[str]]:
    """Name of each dataset -> ids of the images with a file in its newest scan."""
    images = {}
    for dataset in store.datasets():
        files = store.files(dataset)
        images[dataset.name] = set(files.loc[files["reason"].isna(), "image_id"])
    return images


def _computed_ids(store: Store) -> set[str]:
    """Ids of images that at least one run has computed."""
    ids: set[str] = set()
    return ids.union(*(store.computed_ids(run) for run in store.runs()))


def _image_files(folder: Path) -> Iterator[Path]:
    """Yield the image files of a sharded folder, without following links, which lead out of the store."""
    if not folder.is_symlink():
        for shard in folder.glob("[0-9a-f][0-9a-f]"):
            if not shard.is_symlink():
                yield from shard.glob("*.*")
