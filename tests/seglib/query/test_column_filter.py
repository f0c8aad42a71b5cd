"""Filters by own columns of each kind, on a table checkable by eye."""

import pandas as pd
import pytest

from seglib.errors import FilterError, UnknownName
from seglib.query.fields import Kind, column_kind, field_values, find_field, list_fields, own_columns
from seglib.query.filters import Filters, select
from tests.seglib.small_runs import run

TABLE = pd.DataFrame(
    {
        "path": ["a", "b", "c", "d"],
        "column:camera": pd.Categorical(["Canon", "Nikon", None, "Canon"]),
        "column:iso": pd.array([100, 400, None, 1600], "Int64"),
        "column:sharpness": [0.5, float("nan"), 2.5, -1.0],
        "column:taken": pd.array(["2024-01-31T23:59:59", "2024-02-01", None, "2024-03-01"], "datetime64[us]"),
        "column:good": pd.array([True, False, None, True], "boolean"),
        "column:note": pd.array(["Blurred, dark", "fine", None, "a.b"], "str"),
        "column:a.b = c": pd.array([1, 2, 3, 4], "int64"),
    }
)


def paths(where: str) -> str:
    filters = Filters.decode(where)
    assert Filters.decode(filters.encode()) == filters
    return "".join(select(TABLE, filters)["path"])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("column.camera=Canon", "ad"),
        ("column.camera=Canon&column.camera=Nikon", "abd"),
        ("column.camera=", "c"),
        ("column.camera=&column.camera=Nikon", "bc"),
        ("column.camera=canon", ""),
        ("column.iso=100..400", "ab"),
        ("column.iso=100..<400", "a"),
        ("column.iso=..400", "ab"),
        ("column.iso=401..", "d"),
        ("column.iso=400", "b"),
        ("column.iso=", "c"),
        ("column.sharpness=-1..0.5", "ad"),
        ("column.sharpness=", "b"),
        ("column.taken=2024-01-31", "a"),
        ("column.taken=2024-01-01..2024-01-31", "a"),
        ("column.taken=2024-01-31T23:59:59..2024-02-01", "ab"),
        ("column.taken=2024-02-01..", "bd"),
        ("column.taken=2024-02-01..<2024-03-01", "b"),
        ("column.good=true", "ad"),
        ("column.good=False&column.good=", "bc"),
        ("column.note=blurred", "a"),
        ("column.note=.", "d"),
        ("column.a.b%20%3D%20c=2..3", "bc"),
    ],
)
def test_each_kind_reads_its_texts(where, expected):
    assert paths(where) == expected


@pytest.mark.parametrize(
    "where",
    [
        "column.iso=many",
        "column.iso=400..100",
        "column.iso=..",
        "column.iso=nan..1",
        "column.iso=1..2&column.iso=3..4",
        "column.taken=1..2",
        "column.taken=2024-13-01",
        "column.taken=now..",
        "column.good=perhaps",
    ],
)
def test_what_does_not_fit_the_kind_is_refused(where):
    with pytest.raises(FilterError, match=r"^column\."):
        paths(where)


def test_an_unknown_column_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match="no column 'lens'; known are: camera, iso"):
        paths("column.lens=1")
    with pytest.raises(FilterError, match=r"column\.<column>"):
        Filters.decode("column=1")


def test_fields_name_own_columns_with_their_kinds():
    kinds = {name: column_kind(TABLE[f"column:{name}"]) for name in own_columns(TABLE)}
    assert list(kinds.values()) == [
        *(Kind.CATEGORY, Kind.INTEGER, Kind.NUMBER, Kind.DATE, Kind.BOOLEAN, Kind.TEXT, Kind.INTEGER)
    ]
    assert find_field(TABLE, "column.iso").label == "iso"
    assert field_values(TABLE, "column.a.b = c").tolist() == [1, 2, 3, 4]
    with pytest.raises(UnknownName, match=r"column\.camera"):
        find_field(TABLE, "column.lens")


def test_every_field_of_a_store_has_values(store, photos, fake):
    run(photos, store, fake)
    table = store.table()
    assert len(list_fields(table)) > 20
    for field in list_fields(table):
        assert find_field(table, field.name) == field
        assert len(field_values(table, field.name)) == len(table)
