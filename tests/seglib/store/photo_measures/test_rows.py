"""Measures of photos in the store and in its table."""

from datetime import datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.photo_measures.measures import VERSION
from seglib.fileio import parquet_parts
from seglib.store.photo_measures import rows
from seglib.store.photo_measures.rows import SCHEMA

IDS = [digit * 32 for digit in "abcd"]
EXACT = (48.123456, 11.654321)


def make_row(image_id: str, **values: object) -> dict[str, object]:
    return {**dict.fromkeys(SCHEMA.names), "image_id": image_id, "version": VERSION, "gps": "exact", **values}


def add(store, *lines: dict[str, object]) -> None:
    folder = store.photo_measures_folder()
    parquet_parts.append(store.atomic, folder, pa.Table.from_pylist(list(lines), SCHEMA))


def table_of(*image_ids: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": pd.array(image_ids, dtype="str")}, index=range(5, 5 + len(image_ids)))


def test_a_store_without_measures_has_no_columns_of_them(store):
    assert rows.add_columns(store, table_of(*IDS)).columns.tolist() == ["image_id"]
    assert rows.current_ids(store) == set()
    assert rows.newest_precision(store) == GpsPrecision.ROUNDED
    assert rows.read_hashes(store).empty


def test_measures_become_typed_columns_and_those_without_any_value_none(store):
    add(
        store,
        make_row(IDS[0], brightness=0.5, camera="Nikon", taken=datetime(2024, 3, 31, 12), file_size=2**40),
        make_row(IDS[1], camera="Canon"),
    )
    table = rows.add_columns(store, table_of(IDS[1], IDS[0], IDS[2], IDS[0]))
    assert table.columns.tolist() == [
        *("image_id", "column:brightness", "column:file_size", "column:taken", "column:camera")
    ]
    assert table.index.tolist() == [5, 6, 7, 8]
    assert table["column:camera"].tolist() == ["Canon", "Nikon", np.nan, "Nikon"]
    assert table["column:camera"].cat.categories.tolist() == ["Canon", "Nikon"]
    assert table["column:brightness"].isna().tolist() == [True, False, True, False]
    assert table["column:file_size"].astype(object).tolist() == [pd.NA, 2**40, pd.NA, 2**40]
    assert table["column:taken"].dtype == "datetime64[us]"


def test_the_newest_measure_of_a_photo_counts(store):
    add(store, make_row(IDS[0], brightness=0.25, camera="Nikon"), make_row(IDS[1], brightness=0.125))
    add(store, make_row(IDS[0], brightness=0.75))
    table = rows.add_columns(store, table_of(*IDS[:2]))
    assert table["column:brightness"].tolist() == [0.75, 0.125]
    assert "column:camera" not in table


def test_an_empty_table_has_no_measures(store):
    add(store, make_row(IDS[0], brightness=0.25))
    assert rows.add_columns(store, table_of()).columns.tolist() == ["image_id"]


def test_a_row_of_older_definitions_is_measured_again(store):
    add(store, make_row(IDS[0], version=VERSION - 1), make_row(IDS[1]), make_row(IDS[2], version=VERSION + 1))
    assert rows.current_ids(store) == set(IDS) - {IDS[0], IDS[3]}
    assert rows.read_ids(store) == ({*IDS[:3]}, {*IDS[1:3]})


def test_hashes_are_read_by_image(store):
    add(store, make_row(IDS[0], dhash=2**64 - 1))
    hashes = rows.read_hashes(store)
    assert hashes.loc[IDS[0]].tolist() == [2**64 - 1]
    assert (hashes.dtypes == np.uint64).all()


@pytest.mark.parametrize(
    ("gps", "position", "changed"),
    [
        (GpsPrecision.EXACT, EXACT, 0),
        (GpsPrecision.ROUNDED, (48.12, 11.65), 1),
        (GpsPrecision.OFF, (None, None), 2),
    ],
)
def test_stored_positions_are_made_coarser_and_leave_no_trace(store, gps, position, changed):
    add(store, make_row(IDS[0], latitude=EXACT[0], longitude=EXACT[1], camera="Canon"))
    add(store, make_row(IDS[1], latitude=1.25, longitude=2.5, gps="rounded"), make_row(IDS[2], gps="off"))
    assert rows.coarsen_positions(store, gps) == changed
    table = parquet_parts.read(store.photo_measures_folder(), SCHEMA).to_pylist()
    first = next(row for row in table if row["image_id"] == IDS[0])
    assert (first["latitude"], first["longitude"], first["gps"], first["camera"]) == (*position, gps.value, "Canon")
    if changed:
        assert len(parquet_parts.list_parts(store.photo_measures_folder())) == 1
    assert rows.imprecise_ids(store, IDS, GpsPrecision.OFF) == set()


def test_photos_whose_positions_are_less_precise_than_wanted_are_found(store):
    add(store, *(make_row(image_id, gps=gps) for image_id, gps in zip(IDS, ("exact", "rounded", "off"), strict=False)))
    assert rows.imprecise_ids(store, IDS, GpsPrecision.EXACT) == {IDS[1], IDS[2]}
    assert rows.imprecise_ids(store, IDS, GpsPrecision.ROUNDED) == {IDS[2]}
    assert rows.newest_precision(store) == GpsPrecision.OFF


def test_the_version_of_the_store_changes_with_its_measures(store):
    before = store.version(with_tags=False)
    add(store, make_row(IDS[0]))
    assert store.version(with_tags=False) != before
