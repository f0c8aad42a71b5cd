"""Read and write measures of photos, one row per image_id in parts of their own, and join them into the table.

Which definitions a row follows is its `version`; `current_ids` tells which photos are measured by the present ones.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from seglib.data.image_ids import ImageIds
from seglib.data.photo_measures.exif import GpsPrecision, round_position
from seglib.data.photo_measures.measures import VERSION
from seglib.fileio import parquet_parts
from seglib.fileio.lock import RegisteredWriter, lock
from seglib.store.schemas import COLUMN_PREFIX

SCHEMA = pa.schema(
    [
        *(("image_id", pa.string()), ("version", pa.int16()), ("file_size", pa.int64()), ("aspect", pa.float32())),
        *(("brightness", pa.float32()), ("contrast", pa.float32()), ("highlights", pa.float32())),
        *(("shadows", pa.float32()), ("sharpness", pa.float32()), ("image_entropy", pa.float32())),
        ("dhash", pa.uint64()),
        *(("taken", pa.timestamp("us")), ("camera", pa.string()), ("focal_length", pa.float32())),
        *(("latitude", pa.float64()), ("longitude", pa.float64()), ("gps", pa.string())),
    ]
)
KEY = ("image_id",)

REMEDY = "run again with `verify`, or delete this file and measure the photos again; only its rows are read again"
"""How the user can repair a damaged part."""

MEANINGS: dict[str, str] = {
    "brightness": "Mean perceived brightness of the photo's pixels, 0 (black) to 1 (white).",
    "contrast": "Standard deviation of the pixels' perceived brightness, 0 to 0.5.",
    "highlights": "Brightness that 1 % of the photo's pixels exceed, 0 to 1; below 0.32 the photo is dark.",
    "shadows": "Brightness that 95 % of the photo's pixels exceed, 0 to 1; above 0.95 the photo is overexposed.",
    "sharpness": "Strength of the photo's edges at 64 pixels, 0 to 1; below 0.29 the photo is blurred.",
    "image_entropy": "Entropy of the photo's colours in bits, 1.6 to 9.6; below 3 the photo has almost one colour.",
    "aspect": "Width of the photo divided by its height.",
    "file_size": "Size of the photo's file in bytes.",
    "taken": "When the photo was taken, by the camera's clock (EXIF).",
    "camera": "Make and model of the camera (EXIF).",
    "focal_length": "Focal length in millimetres (EXIF).",
    "latitude": "Degrees north at which the photo was taken (EXIF), rounded unless exact positions were asked for.",
    "longitude": "Degrees east at which the photo was taken (EXIF), rounded unless exact positions were asked for.",
}
"""Each measure in the table, where its column is called `column:<name>` -> what it means."""

_POSITION = ("latitude", "longitude")
_PRECISIONS = (GpsPrecision.OFF, GpsPrecision.ROUNDED, GpsPrecision.EXACT)
"""From the least to the most precise."""


class MeasureStore(Protocol):
    """The attributes of a store that measures need."""

    path: Path
    atomic: RegisteredWriter

    def photo_measures_folder(self) -> Path: ...


def add_columns(store: MeasureStore, table: pd.DataFrame) -> pd.DataFrame:
    """The table with one column per measure, called `column:<name>`.

    Left out are measures without any value, and those whose name an own column of an older version has already.
    """
    folder = store.photo_measures_folder()
    if not parquet_parts.list_parts(folder):
        return table
    known = parquet_parts.read(folder, SCHEMA, ["image_id", *MEANINGS], remedy=REMEDY)
    newest_first = known["image_id"].take(np.arange(len(known) - 1, -1, -1))
    places = pc.index_in(pa.array(table["image_id"], pa.string()), value_set=newest_first)
    values = known.select(list(MEANINGS)).take(pc.subtract(len(known) - 1, places))
    columns = {
        COLUMN_PREFIX + name: _to_series(values[name], table.index)
        for name in values.column_names
        if values[name].null_count < len(values) and COLUMN_PREFIX + name not in table
    }
    return pd.concat([table, pd.DataFrame(columns)], axis=1) if columns else table


def _to_series(values: pa.ChunkedArray, index: pd.Index) -> pd.Series:
    """Texts become alphabetical categories, whole numbers Int64; null is the dtype's own missing value."""
    if pa.types.is_string(values.type):
        names = values.dictionary_encode().to_pandas()
        return pd.Series(names.cat.reorder_categories(sorted(names.cat.categories)).array, index)
    if pa.types.is_integer(values.type):
        return pd.Series(values.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get).array, index)
    return pd.Series(values.to_numpy(), index)


def current_ids(store: MeasureStore) -> ImageIds:
    """The images that are measured by the present definitions."""
    rows = _read(store, ["image_id"], where=pc.field("version") >= VERSION)
    return ImageIds.of_column(rows["image_id"])


def find_damaged(store: MeasureStore) -> dict[str, str]:
    """Name of each damaged part -> what is wrong with it, and what to do."""
    return parquet_parts.survey(store.photo_measures_folder(), REMEDY).damaged


def read_ids(store: MeasureStore) -> tuple[set[str], set[str]]:
    """(every measured image, those that are measured by the present definitions), by the intact parts."""
    folder, schema = store.photo_measures_folder(), pa.schema([SCHEMA.field("image_id"), SCHEMA.field("version")])
    rows = parquet_parts.read_surveyed(folder, schema, REMEDY)
    current = rows.filter(pc.greater_equal(rows["version"], VERSION))
    return set(rows["image_id"].to_pylist()), set(current["image_id"].to_pylist())


def imprecise_ids(store: MeasureStore, image_ids: Sequence[str], gps: GpsPrecision) -> set[str]:
    """The measured images whose position was kept less precisely than `gps`, or not at all."""
    less = [precision.value for precision in _PRECISIONS[: _PRECISIONS.index(gps)]]
    rows = _read(store, ["image_id", "gps"], where=parquet_parts.one_of("image_id", image_ids))
    rows = parquet_parts.keep_newest(rows, KEY)
    return set(rows.filter(pc.is_in(rows["gps"], pa.array(less, pa.string())))["image_id"].to_pylist())


def read_hashes(store: MeasureStore) -> pd.DataFrame:
    """The perceptual hash of every measured image: index image_id, column dhash, uint64."""
    rows = parquet_parts.keep_newest(_read(store, ["image_id", "dhash"]), KEY)
    hashes: pd.DataFrame = rows.to_pandas().set_index("image_id")
    return hashes


def newest_precision(store: MeasureStore) -> GpsPrecision:
    """How precisely positions were kept the last time; rounded if no photo was measured yet."""
    folder, schema = store.photo_measures_folder(), pa.schema([SCHEMA.field("gps")])

    def read_newest(part_names: list[str]) -> pa.Table:
        return parquet_parts.read_parts(folder, part_names[-1:], schema, remedy=REMEDY)

    kept = parquet_parts.with_listing(folder, read_newest)["gps"]
    return GpsPrecision(kept[-1].as_py()) if len(kept) else GpsPrecision.ROUNDED


def coarsen_positions(store: MeasureStore, gps: GpsPrecision) -> int:
    """Round or remove stored positions that are more precise than `gps`; return the number of rows changed.

    Rewrites the parts, so that no file of the store holds the precise positions any more.
    """
    folder = store.photo_measures_folder()
    with lock(store.path):
        old = parquet_parts.list_parts(folder)
        rows = parquet_parts.read_parts(folder, old, SCHEMA, remedy=REMEDY)
        more = [precision.value for precision in _PRECISIONS[_PRECISIONS.index(gps) + 1 :]]
        precise = pc.is_in(rows["gps"], pa.array(more, pa.string()))
        changed = int(pc.sum(precise).as_py() or 0)
        if not changed:
            return 0
        for name in _POSITION:
            coarse = pa.array([_coarsen(value, gps) for value in rows[name].to_pylist()], pa.float64())
            rows = _replace(rows, name, pc.if_else(precise, coarse, rows[name]))
        rows = _replace(rows, "gps", pc.if_else(precise, gps.value, rows["gps"]))
        parquet_parts.append(store.atomic, folder, parquet_parts.keep_newest(rows, KEY))
        for name in old:
            (folder / name).unlink(missing_ok=True)
    return changed


def _coarsen(degrees: float | None, gps: GpsPrecision) -> float | None:
    return None if degrees is None or gps is GpsPrecision.OFF else round_position(degrees, gps)


def _replace(rows: pa.Table, name: str, values: pa.ChunkedArray) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), SCHEMA.field(name), values)


def _read(store: MeasureStore, columns: Sequence[str], where: pc.Expression | None = None) -> pa.Table:
    return parquet_parts.read(store.photo_measures_folder(), SCHEMA, columns, where=where, remedy=REMEDY)
