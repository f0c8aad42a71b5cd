"""Define the Arrow schemas of a store and join file rows with a run's statistics into the table.

Works on Arrow tables; `to_frame` converts them to pandas.
"""

import functools
import operator
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.data.image import is_image_id
from seglib.data.image_ids import ImageIds, pack
from seglib.fileio import parquet_parts
from seglib.fileio.parquet_parts import one_of
from seglib.masks.statistics import CONFIDENCE_COLUMNS, blobs_column, pixels_column
from seglib.store.content import CONTENT_COLUMNS, LabelledFiles
from seglib.store.records import Run

FILES_SCHEMA = pa.schema(
    [
        *(("path", pa.string()), ("bytes", pa.int64()), ("mtime_ns", pa.int64()), ("image_id", pa.string())),
        *(("width", pa.int32()), ("height", pa.int32()), ("split", pa.string()), ("label", pa.string())),
        *(("reason", pa.string()), ("detail", pa.string()), ("scan", pa.int64())),
        parquet_parts.later_field("etag", pa.string()),
    ]
)


_ONLY_IDS = pa.schema([("image_id", pa.string())])


class PathRange(NamedTuple):
    """The paths from `start` on and before `stop`, in their order as texts; None is no limit."""

    start: str | None
    stop: str | None

    @property
    def filter(self) -> pc.Expression | None:
        """For the rows of these paths; None for all."""
        path = pc.field("path")
        limits = [path >= self.start] if self.start is not None else []
        limits += [path < self.stop] if self.stop is not None else []
        return functools.reduce(operator.and_, limits) if limits else None


EVERY_PATH = PathRange(None, None)

VANISHED = "vanished"
"""`reason` of a file that is gone and no longer in the table; its row keeps what was known about it."""

_CATEGORY_TYPE = pa.dictionary(pa.int32(), pa.string())
PRESENT_FILES_SCHEMA = pa.schema(
    [
        *(("dataset", _CATEGORY_TYPE), ("path", pa.string()), ("split", pa.string()), ("label", _CATEGORY_TYPE)),
        *(("width", pa.int32()), ("height", pa.int32()), ("image_id", pa.string())),
    ]
)
"""The table columns that describe files."""

STAMPS_SCHEMA = pa.schema([("bytes", pa.int64()), ("mtime_ns", pa.int64())])
"""File columns that show whether a file has changed."""

ODDITIES_SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("cut_class", pa.string()), ("cut_share", pa.float32())),
        *(("mixed_class", pa.string()), ("mixed_with", pa.string()), ("mixed_share", pa.float32())),
        ("interleaved", pa.float32()),
    ]
)
"""What makes a run's masks look implausible; see `masks.oddities.find_oddities`."""

TAG_SEPARATOR = "|"
"""Separates the tags of an image in the table and in exports; no tag contains it."""

COLUMN_PREFIX = "column:"
"""Begins the name of every own column in the table and in exports: `column:camera`."""

_CATEGORICAL_COLUMNS = ("dataset", "split", "label", "run", "model", "dominant", "animal", *CONTENT_COLUMNS)
_NULLABLE = {pa.int32(): pd.Int32Dtype(), pa.uint16(): pd.UInt16Dtype()}
_NULLABLE_OWN = {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def stats_schema(classes: Sequence[str]) -> pa.Schema:
    return pa.schema(
        [
            *(("image_id", pa.string()), ("grid_width", pa.int32()), ("grid_height", pa.int32())),
            *((pixels_column(name), pa.int32()) for name in classes),
            *((blobs_column(name), pa.uint16()) for name in classes),
            *((name, pa.float32()) for name in CONFIDENCE_COLUMNS),
            *(("dominant", pa.string()), ("animal", pa.string())),
        ]
    )


STAMPS = ("bytes", "mtime_ns", "etag")


def has_same_stamps(joined: pd.DataFrame, suffix: str) -> "pd.Series[bool]":
    """bool per row: whether a file's size and its ETag, or its time if it has none, equal those with the suffix."""
    of_object = joined["etag"].notna()
    same = (joined["etag"] == joined[f"etag{suffix}"]).where(
        of_object, joined["mtime_ns"] == joined[f"mtime_ns{suffix}"]
    )
    return (joined["bytes"] == joined[f"bytes{suffix}"]) & same.astype(bool)


def keep_newest_files(rows: pa.Table) -> pa.Table:
    """The newest row of each path, sorted by path; `path` and `scan` must be among the columns."""
    paths = rows["path"].combine_chunks()
    if pc.all(pc.less(paths[:-1], paths[1:])).as_py():  # as after a single scan
        return rows
    rows = rows.sort_by([("path", "ascending"), ("scan", "ascending")])
    paths = rows["path"].combine_chunks()
    last = pc.not_equal(paths[1:], paths[:-1]).to_numpy(zero_copy_only=False)
    return rows if last.all() else rows.filter(np.append(last, True))


def read_image_ids(folder: Path, schema: pa.Schema) -> ImageIds:
    """The ids in the column image_id of a folder of parts, without nulls."""
    packed = parquet_parts.convert_each(folder, schema, ["image_id"], lambda rows: pack(rows["image_id"].drop_null()))
    return ImageIds.of_packed(packed)


def _read_ids(part: Path) -> pa.ChunkedArray:
    return parquet_parts.read_parts(part.parent, [part.name], _ONLY_IDS)["image_id"]


def find_files_of_images(
    files: Iterable[Path], image_ids: Sequence[str], read_ids: Callable[[Path], pa.ChunkedArray] = _read_ids
) -> list[Path]:
    """Those of some Parquet files that may hold a row of these images, by the first four bytes of each id in them.

    These bytes are read once per process, so that the next lookup among ten million rows takes milliseconds. Raises
    `FileNotFoundError` if a file is gone.
    """
    wanted = _prefixes(pa.array([one for one in image_ids if is_image_id(one)], pa.string()))
    found = []
    for file in files:
        status = file.stat()
        if np.isin(_read_prefixes(file, read_ids, status.st_size, status.st_mtime_ns), wanted).any():
            found.append(file)
    return found


@functools.lru_cache(maxsize=512)  # of 100,000 rows each: 200 MB
def _read_prefixes(
    file: Path, read_ids: Callable[[Path], pa.ChunkedArray], _size: int, _mtime_ns: int
) -> NDArray[np.uint32]:
    return _prefixes(read_ids(file).drop_null())


def _prefixes(image_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.uint32]:
    return pack(image_ids).view(np.uint32)[::4].copy()


def read_rows_of_images(folder: Path, schema: pa.Schema, columns: Sequence[str], image_ids: Sequence[str]) -> pa.Table:
    """These columns of the rows of these images, oldest first; other parts than those that hold one are not read."""
    wanted = pa.schema([schema.field(name) for name in columns])

    def read(names: list[str]) -> pa.Table:
        parts = find_files_of_images([folder / name for name in names], image_ids)
        return parquet_parts.read_parts(
            folder, [part.name for part in parts], wanted, where=one_of("image_id", image_ids)
        )

    return parquet_parts.with_listing(folder, read)


def locate_in_files(folder: Path, image_ids: Sequence[str]) -> pd.DataFrame:
    """The files (path, bytes, mtime_ns, image_id, etag) of a dataset that had this content at their newest scan.

    `folder` holds the parts of the dataset's files, of which only those rows are read.
    """
    columns = ["path", "bytes", "mtime_ns", "image_id", "etag"]
    ever = read_rows_of_images(folder, FILES_SCHEMA, ["path"], image_ids)["path"].unique()
    if not len(ever):
        return pd.DataFrame(columns=columns)
    rows = parquet_parts.read(
        folder, FILES_SCHEMA, [*columns, "reason", "scan"], where=one_of("path", ever.to_pylist())
    )
    newest = parquet_parts.keep_newest(rows.sort_by("scan"), ["path"]).to_pandas(integer_object_nulls=True)
    now_there = newest["reason"].isna() & newest["image_id"].isin(image_ids)
    located: pd.DataFrame = newest.loc[now_there, columns]
    return located.reset_index(drop=True)


def find_failures(folder: Path) -> pd.DataFrame:
    """The files (path, label, reason, detail) that could not be read at their newest scan, found without reading the
    whole index of a dataset; `folder` holds its parts.
    """
    columns, failed = ["path", "label", "reason", "detail"], pc.field("reason").is_valid()
    ever = parquet_parts.read(folder, FILES_SCHEMA, ["path"], where=failed)["path"].unique().to_pylist()
    if not ever:
        return pd.DataFrame(columns=columns)
    rows = parquet_parts.read(folder, FILES_SCHEMA, [*columns, "scan"], where=one_of("path", ever))
    newest = keep_newest_files(rows)
    found: pd.DataFrame = newest.filter(pc.not_equal(newest["reason"], VANISHED)).select(columns).to_pandas()
    return found


def table_schema(classes: Sequence[str]) -> pa.Schema:
    stats = stats_schema(classes)
    return pa.schema(
        [
            *PRESENT_FILES_SCHEMA,
            *STAMPS_SCHEMA,
            ("run", _CATEGORY_TYPE),
            ("model", _CATEGORY_TYPE),
            *(field for field in stats if field.name != "image_id"),
            *((name, _CATEGORY_TYPE) for name in CONTENT_COLUMNS),
        ]
    )


def join_stats(
    files: pa.Table, labels: LabelledFiles, run: Run, stats: pa.Table, first: int = 0
) -> tuple[pa.Table, NDArray[np.intp]]:
    """(files that the run has computed, in order, with their newest statistics; their positions in `files`).

    `stats`: all rows of the run's statistics, oldest first. `first`: the position of the first of these files among
    those of `labels`.
    """
    places, stats_rows = _match_newest(files["image_id"], stats["image_id"])
    if len(places) < len(files):
        files = files.take(places)
    if len(stats_rows) != len(stats) or (stats_rows != np.arange(len(stats))).any():
        stats = stats.take(stats_rows)
    table = files
    for name, value in (("run", run.run), ("model", run.model)):
        table = table.append_column(name, pa.DictionaryArray.from_arrays(np.zeros(len(files), np.int32), [value]))
    for name in stats.column_names[1:]:
        table = table.append_column(name, stats[name])
    return labels.add_columns(table, run, places + first), places


def _match_newest(wanted: pa.ChunkedArray, known: pa.ChunkedArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(positions in `wanted` of the ids that are known, the last position in `known` of each of them)."""
    newest_first = known.take(np.arange(len(known) - 1, -1, -1))
    found = pc.index_in(wanted, value_set=newest_first)  # the first place of each
    places = np.flatnonzero(found.is_valid().to_numpy(zero_copy_only=False))
    return places, len(known) - 1 - found.drop_null().to_numpy().astype(np.intp)


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Convert to pandas: names become alphabetical categories, integer columns with nulls become Int32 or UInt16.

    Own columns become float64, Int64, str, categories, datetime64[us] or boolean.
    """
    columns: dict[str, Any] = {}
    for name in table.column_names:
        column = table[name]
        is_own = name.startswith(COLUMN_PREFIX)
        if name in _CATEGORICAL_COLUMNS or (is_own and pa.types.is_dictionary(column.type)):
            columns[name] = _to_categorical(column)
        elif is_own:
            columns[name] = column.to_pandas(types_mapper=_NULLABLE_OWN.get)
        elif column.null_count and column.type in _NULLABLE:
            columns[name] = column.to_pandas(types_mapper=_NULLABLE.get)
        else:
            columns[name] = column.to_pandas()
    return pd.DataFrame(columns)


def to_areas(table: pd.DataFrame) -> pd.DataFrame:
    """The pixel counts of a table (px:<class>) as shares, one row per file and class; none where it is null."""
    columns = {name: name.removeprefix("px:") for name in table.columns if name.startswith("px:")}
    area = table["grid_width"].astype("int64") * table["grid_height"]
    keys = ["dataset", "path", "label", "run"]
    shares = table[list(columns)].astype("float64").div(area, axis=0).rename(columns=columns)
    long = pd.concat([table[keys], shares], axis=1).melt(keys, var_name="class", value_name="share")
    return long.dropna(subset="share").sort_values(["dataset", "path", "run"], kind="stable", ignore_index=True)


def _to_categorical(column: pa.ChunkedArray) -> pd.Categorical:
    encoded = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = encoded.combine_chunks()
    codes = array.indices.fill_null(-1).to_numpy()
    names = array.dictionary.to_pylist()
    used = np.flatnonzero(np.bincount(codes + 1, minlength=len(names) + 1)[1:])
    in_order = sorted(used, key=names.__getitem__)
    place = np.full(len(names) + 1, -1, np.int32)
    place[in_order] = np.arange(len(in_order), dtype=np.int32)
    return pd.Categorical.from_codes(place[codes], pd.Index([names[code] for code in in_order], dtype="str"))
