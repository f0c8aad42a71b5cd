"""Slices of a field: what is in each, how it is called, and that its filter finds the same images."""

import numpy as np
import pandas as pd
import pytest

from seglib.evaluation.slices.cut import MAX_SLICES, NO_TAG, NO_VALUE, cut_into_slices
from seglib.query.fields import Field, Kind
from seglib.query.filters import Filters, select

NOTHING = float("nan")


def cut(values: pd.Series, kind: Kind, name: str = "column.x", **more):
    return cut_into_slices(values, Field(name, "x", kind, **more))


def sizes(found) -> dict[str, int]:
    return {one.name: len(rows) for one, rows in zip(found.slices, found.rows, strict=True)}


def dates(*texts: str) -> pd.Series:
    return pd.Series(np.array(texts, "datetime64[us]"))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (pd.Series(["b", "a", "b", None]).astype("category"), Kind.CATEGORY, {"b": 2, "a": 1, NO_VALUE: 1}),
        (pd.Series(["b", "a", "b", ""]), Kind.TEXT, {"b": 2, "a": 1, NO_VALUE: 1}),
        (pd.Series([True, False, None, True], dtype="boolean"), Kind.BOOLEAN, {"true": 2, "false": 1, NO_VALUE: 1}),
        (pd.Series([3, 1, None, 3], dtype="Int64"), Kind.INTEGER, {"1": 1, "3": 2, NO_VALUE: 1}),
        (pd.Series([*range(8)] * 2, dtype="Int64"), Kind.INTEGER, {str(number): 2 for number in range(8)}),
        (  # of more than eight whole numbers, quarters
            pd.Series([*range(12)], dtype="Int64"),
            Kind.INTEGER,
            {"0 to 2": 3, "3 to 5": 3, "6 to 8": 3, "9 to 11": 3},
        ),
        (
            pd.Series([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]),
            Kind.NUMBER,
            {"0.1 to <0.3": 2, "0.3 to <0.5": 2, "0.5 to <0.7": 2, "0.7 to 0.8": 2},
        ),
        (pd.Series([-2.0, -1.0, 1.5]), Kind.NUMBER, {"-2": 1, "-1": 1, "1.5": 1}),  # each of a third
        (pd.Series([0.5] * 3), Kind.NUMBER, {"0.5": 3}),
        (pd.Series([NOTHING] * 2), Kind.NUMBER, {NO_VALUE: 2}),
        (pd.Series([], dtype="float64"), Kind.NUMBER, {}),
        (
            dates("2024-03-01", "2024-03-01T23:59:59.999999", "2024-03-02"),
            Kind.DATE,
            {"2024-03-01": 2, "2024-03-02": 1},
        ),
        (pd.Series([pd.NaT] * 2).astype("datetime64[us]"), Kind.DATE, {NO_VALUE: 2}),
        (
            pd.Series(["a;b", "b", None, "b"]).astype("category"),
            Kind.TAGS,
            {"b": 3, "a": 1, NO_TAG: 1},
        ),
    ],
)
def test_values_fall_into_slices(values, kind, expected):
    if kind is Kind.TAGS:
        from seglib.store.schemas import TAG_SEPARATOR

        values = values.cat.rename_categories(lambda name: name.replace(";", TAG_SEPARATOR))
    found = cut(values, kind)
    assert sizes(found) == expected
    assert list(sizes(found)) == list(expected)
    assert found.overlaps == (kind is Kind.TAGS)
    if not found.overlaps:
        assert sorted(row for rows in found.rows for row in rows.tolist()) == list(range(len(values)))


def test_equal_numbers_stay_together_and_a_frequent_one_alone():
    found = cut(pd.Series([0.0] * 7 + [0.125, 0.25, 0.5]), Kind.NUMBER, is_share=True)
    assert sizes(found) == {"0 %": 7, "10 % to 50 %": 3}
    draw = np.random.default_rng(4)
    for _ in range(50):
        values = pd.Series(draw.integers(0, draw.integers(1, 30), draw.integers(1, 60)) / 8)
        found = cut(values, Kind.NUMBER)
        where = np.full(len(values), -1)
        for place, rows in enumerate(found.rows):
            where[rows] = place
        assert pd.Series(where).groupby(values).nunique().max() == 1
        assert pd.Series(where)[values.argsort().to_numpy()].is_monotonic_increasing
        counts = values.value_counts()
        for rows in found.rows:  # a value that a quarter of the images have is alone
            inside = values.iloc[rows]
            assert inside.nunique() == 1 or (counts[inside.unique()] * 4 < len(values)).all()


def test_ends_of_quartiles_are_the_shortest_numbers_between_them():
    found = cut(pd.Series([0.1234, 0.1239, 0.51, 0.52, 0.734, 0.7368, 0.91, 0.98765]), Kind.NUMBER)
    assert list(sizes(found)) == ["0.123 to <0.5", "0.5 to <0.7", "0.7 to <0.9", "0.9 to 0.988"]


@pytest.mark.parametrize(
    ("first", "days", "step", "names"),
    [
        ("2024-02-28", 3, 1, ["2024-02-28", "2024-02-29", "2024-03-01"]),
        ("2024-04-01", 28, 1, [f"2024-04-{day:02} to 2024-04-{day + 6:02}" for day in (1, 8, 15, 22)]),
        ("2024-01-15", 12, 31, [f"2024-{month:02}" for month in range(1, 13)]),
        ("1968-06-01", 5, 365, None),
        ("1961-06-01", 40, 365, None),
        ("1948-06-01", 60, 365, ["1940 to 1949", *(f"{year} to {year + 9}" for year in range(1950, 2010, 10))]),
    ],
)
def test_dates_are_cut_by_what_gives_a_sensible_number(first, days, step, names):
    values = pd.Series(pd.Timestamp(first) + pd.to_timedelta(np.arange(days) * step, "D")).astype("datetime64[us]")
    found = cut(values, Kind.DATE)
    if names is None:
        assert len(found.slices) <= 24
    else:
        assert list(sizes(found)) == names
    assert sum(sizes(found).values()) == days


def test_rare_categories_are_put_together():
    names = [f"c{i:02}" for i in range(40) for _ in range(40 - i)]
    found = cut(pd.Series(names).astype("category"), Kind.CATEGORY)
    assert len(found.slices) == MAX_SLICES + 1
    assert (found.slices[-1].name, found.slices[-1].where) == ("10 others", None)
    assert len(found.rows[-1]) == sum(range(1, 11))
    assert (
        len(cut(pd.Series(names[: -sum(range(1, 10))]).astype("category"), Kind.CATEGORY).slices) == 31
    )  # not "1 others"


def test_of_ten_thousand_texts_the_most_frequent_are_slices():
    texts = [f"note {number}." for number in range(10_000)]
    found = cut(pd.Series([*texts, *["note 7777."] * 2, *["note 1."] * 3, None]), Kind.TEXT)
    named = sizes(found)
    assert len(named) == MAX_SLICES + 2
    assert list(named.items())[:2] == [("note 1.", 4), ("note 7777.", 3)]
    assert (named["9,970 others"], named[NO_VALUE]) == (9_970, 1)
    assert found.slices[0].where == "column.x=note%201."
    assert cut(pd.Series([*texts, "one more"]), Kind.TEXT).slices[0].where is None  # too many to compare each with all


def test_the_filter_of_a_slice_finds_its_images():
    draw = np.random.default_rng(1)
    n = 300
    table = pd.DataFrame(
        {
            "label": pd.Series(draw.choice(["a & b", "c=d+e", "f%"], n)).astype("category"),
            "confidence": pd.Series(draw.random(n)).astype("float32").mask(draw.random(n) < 0.1),
            "width": pd.Series(draw.integers(1, 5000, n), dtype="int32"),
            "px:cat": pd.Series(np.where(draw.random(n) < 0.4, 0, draw.integers(0, 64, n)), dtype="int32"),
            "grid_width": 8,
            "grid_height": 8,
            "tags": pd.Series(draw.choice(["", "x"], n)).replace("", None).astype("category"),
            "column:camera": pd.Series(draw.choice(["Canon 10", "Canon 1", "Ägypten"], n)).astype("category"),
            "column:note": pd.Series(draw.choice(["blurred", "very blurred", ""], n)).replace("", None),
            "column:iso": pd.Series(draw.integers(0, 2000, n), dtype="Int64").mask(draw.random(n) < 0.1),
            "column:blur": pd.Series(draw.normal(0, 1e-3, n)).mask(draw.random(n) < 0.1),
            "column:taken": pd.Series(
                pd.Timestamp("2020-02-29") + pd.to_timedelta(draw.integers(0, 9e8, n), "s")
            ).astype("datetime64[us]"),
            "column:flash": pd.Series(draw.choice([True, False], n), dtype="boolean").mask(draw.random(n) < 0.1),
        }
    )
    from seglib.evaluation.slices.cut import FieldValues

    unfiltered = {}
    fields = ["label", "confidence", "width", "share.cat", "tag"]
    for name in (*fields, *(f"column.{c}" for c in ("camera", "note", "iso", "blur", "taken", "flash"))):
        found = FieldValues.read(table, name).cut()
        assert len(found.slices) > 1
        unfiltered[name] = [one.name for one in found.slices if one.where is None]
        for one, rows in zip(found.slices, found.rows, strict=True):
            if one.where is not None:
                chosen = select(table, Filters.decode(one.where))
                assert chosen.index.tolist() == rows.tolist(), (name, one.name)
    # what no filter can tell apart has none: no value of a built-in number, a text that is in another one
    assert {name: missing for name, missing in unfiltered.items() if missing} == {
        "confidence": [NO_VALUE],
        "column.note": ["blurred"],
    }
