"""Codes and legends of fields: numbers, categories with many values, dates, missing values."""

import numpy as np
import pandas as pd
import pytest

from dashboard.queries import photos as photo_queries
from dashboard.queries.similarity import colours
from dashboard.queries.similarity.colours import FIRST_CODE, LEVELS, MAX_CATEGORIES, MISSING_CODE, colour_codes
from dashboard.queries.source import RunSource
from seglib.store.store import Store

SOURCE = RunSource("nowhere", "0-0", "run")


@pytest.fixture
def table_of(monkeypatch, full):
    """Put columns into the table of the six photos, as own columns are."""

    def put(**values) -> RunSource:
        table = Store(full).table(with_tags=False)
        rows = pd.DataFrame({f"column:{name}": column for name, column in values.items()})
        table = pd.concat([table.iloc[np.zeros(len(rows), int)].reset_index(drop=True), rows], axis=1)
        for name in ("table", "schema_of"):
            monkeypatch.setattr(photo_queries, name, lambda _: table)
        colours._colour_codes.clear()
        return SOURCE

    return put


def test_a_number_is_spread_over_the_levels(table_of):
    scale, codes = colour_codes(table_of(iso=[0.0, 50.0, 100.0, np.nan]), "column.iso")
    assert codes.tolist() == [FIRST_CODE, FIRST_CODE + 126, FIRST_CODE + LEVELS - 1, MISSING_CODE]
    assert scale.is_continuous
    assert scale.categories == ()


def test_a_few_extreme_values_do_not_stretch_the_scale(table_of):
    values = [*np.linspace(0, 1, 1000), 1e9]
    scale, codes = colour_codes(table_of(x=values), "column.x")
    assert len(set(codes.tolist())) > 200
    assert scale.low.startswith("≤ ")
    assert scale.high.startswith("≥ ")


@pytest.mark.parametrize("values", [[3.0, 3.0], [np.nan, np.nan]])
def test_one_value_or_none(table_of, values):
    _, codes = colour_codes(table_of(x=values), "column.x")
    assert set(codes.tolist()) == {FIRST_CODE if values[0] == 3 else MISSING_CODE}


def test_many_categories_share_the_last_colour(table_of):
    values = [f"v{n:02}" for n in range(20) for _ in range(20 - n)] + [None]
    scale, codes = colour_codes(table_of(camera=pd.Categorical(values)), "column.camera")
    names = [name for name, _ in scale.categories]
    assert names == [f"v{n:02}" for n in range(MAX_CATEGORIES)] + ["9 other values"]
    paint = [colour for _, colour in scale.categories]
    assert len(set(paint)) == len(paint)
    assert paint[-1] == ""
    assert codes[0] == FIRST_CODE
    assert codes[-1] == MISSING_CODE
    assert codes[-2] == FIRST_CODE + MAX_CATEGORIES


def test_dates_and_truth_values(table_of):
    dates = pd.to_datetime(["2024-01-01", "2024-07-01", "2024-12-31", None])
    source = table_of(taken=dates, good=pd.array([True, False, None, True], "boolean"))
    scale, codes = colour_codes(source, "column.taken")
    assert codes[0] < codes[1] < codes[2]
    assert codes[3] == MISSING_CODE
    assert "2024-01-0" in scale.low
    scale, codes = colour_codes(source, "column.good")
    assert [name for name, _ in scale.categories] == ["yes", "no"]
    assert codes.tolist() == [2, 3, MISSING_CODE, 2]
    rows = photo_queries.table(source)
    assert colours.value_texts(rows, "column.good") == ["yes", "no", colours.NO_VALUE, "yes"]
    assert colours.value_texts(rows, "column.taken")[0].startswith("2024-01-01")


def test_classes_have_the_colours_of_the_masks(table_of):
    from dashboard.charts.theme import class_colours

    paint = class_colours(photo_queries.classes(table_of(x=[1.0])))
    table = photo_queries.table(SOURCE)
    table["dominant"] = pd.Categorical(["cat"], categories=["dog", "cat"])
    scale, _ = colour_codes(SOURCE, "dominant")
    assert scale.categories == (("cat", paint["cat"]),)
