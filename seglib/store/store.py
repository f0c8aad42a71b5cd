"""Read and write a store: datasets, runs, statistics and masks in plain JSON, Parquet, PNG and JPEG files.

The entry point is `Store`; `Store.table` returns the pandas frame that filters, statistics and exports work on. Every
file can be read without this program: `layout.py` names the files, `records.py` defines the JSON records, `schemas.py`
the rows. A store can be read while a run writes to it. Does not need torch.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from seglib.classes import palette, unpainted_values
from seglib.data import image
from seglib.data.image_ids import ImageIds
from seglib.data.photo_root import PhotoRoot, is_gone, leaves_root, read_photo, resolve_root
from seglib.data.scan import STORE_MARKER
from seglib.errors import BadImage, DamagedFileError, StoreError, UnknownName
from seglib.fileio import json_record, parquet_parts
from seglib.fileio.atomic import AtomicWriter
from seglib.fileio.lock import RegisteredWriter, lock
from seglib.masks import overlay, png
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.store import content, records, tags
from seglib.store.content import LabelledFiles
from seglib.store.layout import StoreLayout, refuse_address
from seglib.store.own_columns.join import append_own_columns
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import SCHEMA_VERSION, Dataset, Run
from seglib.store.schemas import (
    EVERY_PATH,
    FILES_SCHEMA,
    PRESENT_FILES_SCHEMA,
    STAMPS_SCHEMA,
    PathRange,
    find_failures,
    join_stats,
    keep_newest_files,
    locate_in_files,
    read_image_ids,
    read_rows_of_images,
    stats_schema,
    table_schema,
    to_areas,
    to_frame,
)
from seglib.store.shown.in_browser import ShownInBrowser

_ID_SUFFIXES = (b"", *(b"\0%d" % number for number in range(1, 1000)))
"""Appended to a folder's path for another id where the dataset that had this folder first has moved elsewhere."""


class Store(StoreLayout, ShownInBrowser):
    """A folder with all results. `Store(path)` opens it; `Store.create(path)` creates it first if it does not exist."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path)
        if not (self.path / STORE_MARKER).is_file():
            raise StoreError(
                f"There is no store at {str(path)!r}: run a model over a folder of photos first, with this `store`."
            )
        records.read_layout(self.path / STORE_MARKER)
        self.refuse_links()
        self.atomic = RegisteredWriter(self.path)

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> "Store":
        refuse_address(path)
        marker = Path(path) / STORE_MARKER
        try:
            if not marker.exists():
                marker.parent.mkdir(parents=True, exist_ok=True)
                AtomicWriter(marker.parent).write(marker, records.encode_layout(SCHEMA_VERSION), durable=True)
        except OSError as error:
            raise StoreError(
                f"The store {str(path)!r} cannot be created ({error.strerror}): "
                "name a folder that may be written with `store`."
            ) from None
        return cls(path)

    def raise_layout(self, layout: int) -> None:
        """Record that this store needs a program that knows this layout. The caller must hold the store lock."""
        marker = self.path / STORE_MARKER
        if records.read_layout(marker) < layout:
            self.atomic.write(marker, records.encode_layout(layout), durable=True)

    # --- datasets and their files --------------------------------------------------------------------------------

    def datasets(self) -> list[Dataset]:
        """All datasets, sorted by name.

        A dataset with a damaged record gets its id as name and a root that does not exist, until a run over its folder
        rewrites the record.
        """
        datasets = []
        for file in self.dataset_records():
            try:
                datasets.append(records.read_dataset(file))
            except DamagedFileError:
                datasets.append(Dataset(file.parent.name, file.parent.name, file.parent / "unknown"))
        return sorted(datasets, key=lambda d: (d.name, d.id))

    def damaged_datasets(self) -> dict[str, str]:
        """Map id -> error message for each dataset whose record cannot be read."""
        return records.find_damaged_records(self.dataset_records(), records.read_dataset)

    def dataset(self, name: str) -> Dataset:
        by_name = {d.name: d for d in self.datasets()} | {d.id: d for d in self.datasets()}
        if name not in by_name:
            raise UnknownName("dataset", name, [d.name for d in self.datasets()])
        return by_name[name]

    def register_dataset(self, root: PhotoRoot, title: str | None = None) -> Dataset:
        """Return the dataset of this folder or bucket, adding or renaming it if needed.

        A new dataset is named `title` or after its root; if that name is taken, its id is appended.
        """
        root = resolve_root(root)
        with lock(self.path):  # several processes may be the first to scan this folder, each a part of it
            existing = next((d for d in self.datasets() if resolve_root(d.root) == root), None)
            dataset_id = existing.id if existing else self._unused_dataset_id(root)
            name = title or (existing.name if existing else root.name)
            return self.write_dataset(Dataset(dataset_id, name, root))

    def write_dataset(self, dataset: Dataset) -> Dataset:
        """Write the dataset's record unless it has this content already; returns the dataset with its unique name."""
        name = os.fsencode(dataset.name).decode("utf-8", "backslashreplace")
        if name in {d.name for d in self.datasets() if d.id != dataset.id}:
            name = f"{name}-{dataset.id}"
        dataset, file = replace(dataset, name=name), self.dataset_record(dataset.id)
        record = records.encode_dataset(dataset, file)
        if not file.exists() or file.read_bytes() != record:
            self.atomic.write(file, record, durable=True)
        return dataset

    def _unused_dataset_id(self, root: PhotoRoot) -> str:
        """The id of a new dataset; that of a damaged record of this root, which is then written again."""
        used = {d.id for d in self.datasets()} - set(self.damaged_datasets())
        digests = (hashlib.sha256(os.fsencode(str(root)) + suffix).hexdigest()[:8] for suffix in _ID_SUFFIXES)
        return next(digest for digest in digests if digest not in used)

    def files(self, dataset: Dataset, paths: PathRange = EVERY_PATH) -> pd.DataFrame:
        """The newest row of each path ever scanned, including failed and vanished files (`FILES_SCHEMA`), by path."""
        newest = self._newest_files(dataset, where=paths.filter)
        files: pd.DataFrame = newest.to_pandas(integer_object_nulls=True)
        return files

    def locate_images(self, image_ids: Sequence[str]) -> pd.DataFrame:
        """Files that had this content at their newest scan, found without reading the whole index.

        Columns: dataset, path, bytes, mtime_ns, image_id, etag.
        """
        found = {dataset.name: locate_in_files(self.files_folder(dataset), image_ids) for dataset in self.datasets()}
        frames = [rows.assign(dataset=name) for name, rows in found.items() if len(rows)]
        columns = ["dataset", "path", "bytes", "mtime_ns", "image_id", "etag"]
        return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)

    def failures(self) -> pd.DataFrame:
        """One row per unreadable file: dataset, path, label, reason, detail."""
        found = [find_failures(self.files_folder(one)).assign(dataset=one.name) for one in self.datasets()]
        columns = ["dataset", "path", "label", "reason", "detail"]
        frames = [frame for frame in found if len(frame)]
        return pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)

    # --- runs and their statistics -------------------------------------------------------------------------------

    def runs(self) -> list[Run]:
        """All runs with a readable record, most recently used last; `damaged_runs` returns the others."""
        runs = []
        for file in self.run_records():
            with contextlib.suppress(StoreError):
                runs.append(records.read_run(file))
        return sorted(runs, key=lambda run: (run.last_used, run.run))

    def damaged_runs(self) -> dict[str, str]:
        """Map name -> error message for each run whose record is damaged or was written by a newer version."""
        return records.find_damaged_records(self.run_records(), records.read_run)

    def run(self, name: str | None = None) -> Run:
        """The run with this name; the most recently used run if no name is given."""
        if name is None and (runs := self.runs()):
            return runs[-1]
        files = {p.parent.name: p for p in self.run_records()}
        if name not in files:
            raise UnknownName("run", name or "", files)
        return records.read_run(files[name])

    def keep_run(self, run: Run, *, replace_damaged: bool = False) -> Run:
        """Return the stored run of this name, writing its `run.json` if it does not exist.

        A damaged `run.json` raises `DamagedFileError`, or is rewritten if `replace_damaged` is set.
        """
        file = self.run_record(run.run)
        with lock(self.path):  # another process may be the first to write it, and have added an invocation
            if file.exists():
                try:
                    return records.read_run(file)
                except DamagedFileError:
                    if not replace_damaged:
                        raise
            self.write_run(run)
        return run

    def set_title(self, run: Run, title: str | None) -> Run:
        """Change what the run is called; None or "": the model's name again. Raises `UsageError` for a bad title."""
        title = records.parse_title(title or "")
        with lock(self.path):
            current = replace(records.read_run(self.run_record(run.run)), title=title)
            self.write_run(current)
        return current

    def record_invocation(self, run: Run, invocation: Mapping[str, object]) -> None:
        with lock(self.path):
            current = records.read_run(self.run_record(run.run))
            current.invocations.append(dict(invocation))
            self.write_run(current)

    def stats(self, run: Run) -> pd.DataFrame:
        """Statistics of a run, one row per image_id (`stats_schema`)."""
        stats: pd.DataFrame = parquet_parts.keep_newest(self._stats_table(run), ["image_id"]).to_pandas()
        return stats

    def confidence_stats(self, run: Run, image_ids: Sequence[str]) -> pd.DataFrame:
        """Confidence measures of these images (image_id and `CONFIDENCE_COLUMNS`), without reading all statistics of
        the run.
        """
        columns = ["image_id", *CONFIDENCE_COLUMNS]
        table = read_rows_of_images(self.stats_folder(run), stats_schema(run.classes), columns, image_ids)
        frame: pd.DataFrame = parquet_parts.keep_newest(table, ["image_id"]).to_pandas()
        return frame

    def _stats_table(self, run: Run) -> pa.Table:
        """All rows of a run's statistics, oldest first."""
        return parquet_parts.read(self.stats_folder(run), stats_schema(run.classes))

    def computed_ids(self, run: Run) -> ImageIds:
        """Ids of the images that the run has computed."""
        return read_image_ids(self.stats_folder(run), stats_schema(run.classes))

    def count_rows(self, run: Run) -> int:
        """Number of rows in a run's statistics; fast, because it reads only the footers of the parts."""
        return parquet_parts.count_rows(self.stats_folder(run))

    def write_run(self, run: Run) -> None:
        self.atomic.write(self.run_record(run.run), json_record.encode(asdict(run)), durable=True)

    # --- the table -----------------------------------------------------------------------------------------------

    def table(
        self,
        runs: Iterable[str] | None = None,
        datasets: Iterable[str] | None = None,
        *,
        with_tags: bool = True,
        with_scan: bool = False,
        with_measures: bool = True,
    ) -> pd.DataFrame:
        """One row per run and file of the newest scan (default: all runs and datasets).

        Columns: dataset, path, split, label, width, height, image_id, run, model, grid_width, grid_height,
        px:<class> int32, blobs:<class> uint16, confidence, entropy, low_margin (float32, 0..1), dominant, animal,
        content, label_class, tags, and column:<name> of each own column and measure of the photos. content: of the
        classes that the labels of its dataset name, the one with most pixels; `none` without any. Classes unknown to a
        run's model are null rather than 0 (their columns are then Int32 and UInt16). tags: sorted names joined by
        `TAG_SEPARATOR`, null if there are none; `with_tags=False` omits the column, `with_measures=False` those of the
        measures. `with_scan=True` adds bytes and mtime_ns of the scanned file. Files that a run has not computed yet
        are omitted; `failures()` lists others.
        """
        data_sets = [self.dataset(n) for n in datasets] if datasets is not None else self.datasets()
        files = self.present_files(data_sets)
        if runs is None and (damaged := self.damaged_runs()):
            raise DamagedFileError(next(iter(damaged.values())))
        chosen = [self.run(name) for name in runs] if runs is not None else self.runs()
        classes = list(dict.fromkeys(name for run in chosen for name in run.classes))
        schema = table_schema(classes)
        labels = LabelledFiles(files, {one.name: content.read_label_map(self, one) for one in data_sets})
        parts = [
            join_stats(files, labels, run, self._stats_table(run)) for run in sorted(chosen, key=lambda run: run.run)
        ]
        table = pa.concat_tables([schema.empty_table(), *(rows for rows, _ in parts)], promote_options="default")
        places = np.concatenate([places for _, places in parts]) if parts else np.zeros(0, np.intp)
        if len(parts) > 1:
            order = np.argsort(places, kind="stable")
            table, places = table.take(order), places[order]
        table = append_own_columns(self, table, files, {one.name: one.id for one in data_sets}, places)
        del files, labels, parts, places  # as large as the table
        frame = to_frame(table if with_scan else table.drop_columns(STAMPS_SCHEMA.names))
        frame = tags.add_column(self, frame) if with_tags else frame
        return photo_measures.add_columns(self, frame) if with_measures else frame

    def areas(self, runs: Iterable[str] | None = None) -> pd.DataFrame:
        """`table` in long form, one row per run, file and class that its model knows, zeros included: dataset, path,
        label, run, class, share (float64, 0..1 of the mask).
        """
        return to_areas(self.table(runs, with_tags=False, with_measures=False))

    def present_files(self, datasets: Sequence[Dataset]) -> pa.Table:
        """Readable files of the newest scan (`PRESENT_FILES_SCHEMA`, `STAMPS_SCHEMA`), sorted by dataset and path."""
        columns = [*PRESENT_FILES_SCHEMA.names[1:], *STAMPS_SCHEMA.names]
        tables = [pa.schema([*PRESENT_FILES_SCHEMA, *STAMPS_SCHEMA]).empty_table()]
        for dataset in sorted(datasets, key=lambda one: one.name):
            files = self._newest_files(dataset, [*columns, "reason", "scan"])
            files = files.filter(pc.is_null(files["reason"])).drop_columns(["reason", "scan"])
            names = pa.DictionaryArray.from_arrays(np.zeros(len(files), np.int32), [dataset.name])
            files = files.set_column(files.column_names.index("label"), "label", files["label"].dictionary_encode())
            tables.append(files.add_column(0, PRESENT_FILES_SCHEMA.field("dataset"), names))
        return pa.concat_tables(tables)

    def _newest_files(
        self, dataset: Dataset, columns: Sequence[str] | None = None, where: pc.Expression | None = None
    ) -> pa.Table:
        """The newest row of each path, sorted by path; `path` and `scan` must be among the columns."""
        return keep_newest_files(parquet_parts.read(self.files_folder(dataset), FILES_SCHEMA, columns, where=where))

    # --- pictures ------------------------------------------------------------------------------------------------

    def mask(self, run: str, image_id: str) -> NDArray[np.uint8]:
        """Class indices, uint8 (H, W) at grid size. Raises `StoreError` if the mask is missing or damaged."""
        if not image.is_image_id(image_id):
            raise StoreError(
                f"{str(image_id)[:80]!r} is not an image_id, which has 32 hex digits: the column image_id of `table()` "
                "has that of each path."
            )
        try:
            return png.decode_verified_png(self.masks(run).read(image_id))
        except (OSError, ValueError):
            raise StoreError(
                f"The mask of {image_id} in {run} is missing or damaged: run again with `verify` to recreate it."
            ) from None

    def image(self, dataset: str, path: str) -> Image.Image:
        """The original image as upright RGB. Raises `StoreError` if it is unreadable or has changed since its scan."""
        data_set = self.dataset(dataset)
        files = self.files(data_set)
        matches = files[(files["path"] == path) & files["reason"].isna()]
        if matches.empty:
            raise StoreError(f"{path!r} is not a photo of the dataset {dataset!r}.")
        row = matches.iloc[0]
        try:
            if leaves_root(data_set.root, path):
                raise BadImage("unreadable", "It leaves its dataset's folder.")
            data = read_photo(data_set.root, path, int(row["bytes"]), row["etag"])
            if image.compute_image_id(data) != row["image_id"]:
                raise StoreError(f"{path!r} has changed since its scan: run again to see its new content.")
            return image.decode(data)
        except BadImage as error:
            gone = (
                f"{path!r} can no longer be read: the folder of {dataset!r} is gone; if it has moved, say where it is."
            )
            changed = f"{path!r} can no longer be read ({error.reason}): run again to bring the store up to date."
            raise StoreError(gone if is_gone(data_set.root) else changed) from None

    def overlay(
        self,
        path: str,
        *,
        run: str | None = None,
        dataset: str | None = None,
        alpha: float = overlay.ALPHA,
        colours: str = "voc",
    ) -> Image.Image:
        """The image blended with its mask, at the image's size; displays directly in a notebook.

        `run` defaults to the most recently used run with a mask of the image; `dataset` is required only if several
        datasets contain this path. `alpha` (0..1) is the opacity of the mask, `colours` the name of a palette.
        """
        files = self.present_files([self.dataset(dataset)] if dataset else self.datasets())
        matches = to_frame(files.filter(pc.equal(files["path"], path)))
        if matches.empty:
            raise StoreError(f"The store has no photo {path!r}: give its path as in the table.")
        if matches["dataset"].nunique() > 1:
            raise StoreError(f"{path!r} is in {', '.join(map(repr, matches['dataset']))}: name one with dataset=.")
        chosen = self.run(run) if run else self._last_run_with(matches["image_id"].iloc[0])
        mask = self.mask(chosen.run, matches["image_id"].iloc[0])
        photo = self.image(matches["dataset"].iloc[0], path)
        paint, unpainted = palette(colours, chosen.classes), unpainted_values(chosen.classes)
        return overlay.draw_overlay(photo, mask, paint, alpha, unpainted=unpainted)

    def _last_run_with(self, image_id: str) -> Run:
        for run in reversed(self.runs()):
            if self.masks(run.run).exists(image_id):
                return run
        raise StoreError(f"No run holds a mask of {image_id}: run a model first, or again with `verify`.")


def as_store(store: Store | str | os.PathLike[str], *, create: bool = False) -> Store:
    """The store, given as such or by its path; `create` makes it if there is none there. Raises `StoreError`."""
    if isinstance(store, Store):
        return store
    return Store.create(store) if create else Store(store)
