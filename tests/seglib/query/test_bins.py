"""Bins, squares and whole-number ranges: each counts what its filter keeps, and agrees with a plain loop."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.errors import FilterError, UnknownName, UsageError
from seglib.query import columns, histograms, statistics
from seglib.query.filter_text import MAX_COUNT, next_below
from seglib.query.filters import Filters, select

unit = st.floats(0, 1, width=32)
maybe = st.one_of(st.none(), unit)


def measured(values: list[float | None], name: str = "confidence") -> pd.Series:
    return pd.Series([math.nan if v is None else v for v in values], dtype="float32", name=name)


@pytest.fixture
def table() -> pd.DataFrame:
    """Five photos on a 10x10 grid; the last one's model knows no dog."""
    return pd.DataFrame(
        {
            "path": list("abcde"),
            "label": pd.Categorical(["cats", "cats", "dogs", None, "cats"]),
            "run": "r",
            "width": [320, 499, 500, 500, 333],
            "height": [240, 375, 374, 500, 500],
            "grid_width": 10,
            "grid_height": 10,
            "px:background": [50, 100, 90, 20, 99],
            "px:cat": [10, 0, 10, 80, 1],
            "px:dog": pd.array([40, 0, 0, 0, None], "Int32"),
            "blobs:background": [1, 1, 1, 1, 1],
            "blobs:cat": np.array([1, 0, 7, 2, 1], np.uint16),
            "blobs:dog": pd.array([2, 0, 0, 0, None], "UInt16"),
            "confidence": np.array([0.7, 0.5, 0.95, 1, math.nan], np.float32),
        }
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("blobs.cat=1", "ae"),
        ("blobs.cat=1..2", "ade"),
        ("blobs.cat=2..", "cd"),
        ("blobs.cat=..1", "abe"),
        ("blobs.dog=..", "abcd"),  # a class that the model does not know has no regions, not even 0
        ("width=499..500&height=..374", "c"),
        ("width=500..499", "bcd"),
        ("share.cat=0.1..<0.8", "ac"),
        ("share.cat=0.1..0.8", "acd"),
        ("share.dog=0..<0.4", "bcd"),
        ("confidence=0.7..<0.95", "a"),  # the float32 that stands for 0.7 is 0.7
        ("confidence=0.5..<0.7", "b"),
        ("confidence=0.95..", "cd"),
    ],
)
def test_ranges_keep_these_photos(table, text, kept):
    assert "".join(select(table, Filters.decode(text))["path"]) == kept


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("blobs.cat=1..1", "blobs.cat=1"),
        ("blobs.cat=0..1", "blobs.cat=..1"),
        (f"blobs.cat=2..{MAX_COUNT}", "blobs.cat=2.."),
        ("width=007", "width=7"),
        ("confidence=0.1..<0.2", "confidence=0.1..%3C0.2"),
        ("confidence=..<1", "confidence=0..%3C1"),
    ],
)
def test_ranges_have_one_short_text(text, written):
    filters = Filters.decode(text)
    assert filters.encode() == written
    assert Filters.decode(written) == filters


@pytest.mark.parametrize(
    "text", ["", "a", "-1..3", "1.5", "1..2..3", "1e3", "٣", str(MAX_COUNT + 1), "..9999999999999"]
)
def test_whole_numbers_are_asked_for(text):
    with pytest.raises(FilterError, match="whole numbers such as"):
        Filters.decode(f"width={text}")


@given(st.integers(0, MAX_COUNT), st.integers(0, MAX_COUNT), st.floats(0, 1), st.floats(0, 1))
def test_any_range_is_read_as_it_was_written(low, high, first, second):
    filters = Filters({"blobs.cat": (low, high), "width": (high, high), "entropy": (first, second)})
    assert Filters.decode(filters.encode()) == filters


def test_an_unknown_class_has_no_regions(table):
    with pytest.raises(UnknownName, match="background, cat, dog"):
        select(table, Filters.decode("blobs.unicorn=1"))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(maybe), st.integers(1, 30))
def test_a_bin_counts_what_its_filter_keeps(values, bins):
    frame = pd.DataFrame({"confidence": measured(values)})
    found = histograms.histogram(frame["confidence"], bins)
    assert found["count"].sum() == sum(v is not None for v in values)
    for low, high, count in found.itertuples(index=False):
        upper = high if high == 1 else next_below(high)
        assert len(select(frame, Filters({"confidence": (low, upper)}))) == count


@settings(deadline=None)
@given(st.lists(st.tuples(maybe, maybe)), st.tuples(st.integers(1, 12), st.integers(1, 9)))
def test_a_square_counts_what_its_two_filters_keep(pairs, bins):
    frame = pd.DataFrame({name: measured([p[i] for p in pairs]) for i, name in enumerate(("confidence", "low_margin"))})
    found = histograms.density(frame["confidence"], frame["low_margin"], bins)
    assert found["count"].sum() == sum(None not in pair for pair in pairs)
    assert (found["count"] > 0).all()
    for x_low, x_high, y_low, y_high, count in found.itertuples(index=False):
        x, y = ((low, high if high == 1 else next_below(high)) for low, high in ((x_low, x_high), (y_low, y_high)))
        assert len(select(frame, Filters({"confidence": x, "low_margin": y}))) == count


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6000), st.integers(1, 6000)), max_size=30))
def test_a_square_of_sizes_counts_what_its_two_filters_keep(sizes):
    frame = pd.DataFrame(sizes, columns=["width", "height"], dtype="int32")
    found = histograms.image_sizes(frame, max_bins=8)
    assert found["count"].sum() == len(sizes)
    for x_low, x_high, y_low, y_high, count in found.itertuples(index=False):
        kept = select(frame, Filters({"width": (x_low, x_high), "height": (y_low, y_high)}))
        assert len(kept) == count > 0
    if sizes:
        assert max(found["x_low"].nunique(), found["y_low"].nunique()) <= 9
        side = set(found["x_high"] - found["x_low"] + 1)
        assert len(side) == 1
        assert str(side.pop()).rstrip("0") in {"1", "2", "5"}


def test_photos_of_one_size_are_one_square():
    found = histograms.image_sizes(pd.DataFrame({"width": [500, 500], "height": [375, 375]}))
    assert found.to_dict("list") == {"x_low": [500], "x_high": [500], "y_low": [375], "y_high": [375], "count": [2]}


def test_photos_by_number_of_regions(table):
    found = histograms.blob_counts(table, ["cat", "dog"], max_blobs=3)
    assert found["cat"].tolist() == [1, 2, 1, 1]  # seven regions are 3 or more
    assert found["dog"].tolist() == [3, 0, 1, 0]  # one photo's model knows no dog


@given(st.lists(st.integers(0, 65535)), st.integers(1, 6))
def test_regions_agree_with_a_plain_count(numbers, most):
    frame = pd.DataFrame({"run": "r", "blobs:cat": np.array(numbers, np.uint16)})
    counted = Counter(min(n, most) for n in numbers)
    assert histograms.blob_counts(frame, ["cat"], most)["cat"].tolist() == [counted[n] for n in range(most + 1)]


def test_the_spread_of_a_share_per_label(table):
    found = histograms.share_spread_by_label(table, "cat")
    assert found.index.tolist() == ["", "cats", "dogs"]
    assert found["n"].tolist() == [1, 3, 1]
    assert found.loc["cats", ["low", "q1", "median", "q3", "high"]].tolist() == pytest.approx(
        np.quantile([0.1, 0.0, 0.01], [0.05, 0.25, 0.5, 0.75, 0.95]).tolist()
    )
    assert found.loc[""].tolist() == pytest.approx([1, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert histograms.share_spread_by_label(table, "dog")["n"].tolist() == [1, 2, 1]


def test_no_photo_has_no_bins_and_no_spread(table):
    none = table.iloc[:0]
    assert histograms.histogram(none["confidence"])["count"].sum() == 0
    assert histograms.density(none["confidence"], columns.class_share(none, "cat")).empty
    assert histograms.image_sizes(none).empty
    assert histograms.blob_counts(none, ["cat"])["cat"].tolist() == [0] * 6
    assert histograms.share_spread_by_label(none, "cat").empty


def test_a_class_that_nobody_knows_has_no_spread_and_no_regions(table):
    last = table.iloc[4:]
    assert histograms.share_spread_by_label(last, "dog").empty
    assert histograms.blob_counts(last, ["dog"])["dog"].sum() == 0
    assert histograms.density(last["confidence"], columns.class_share(last, "cat")).empty  # masks without probabilities
    with pytest.raises(UnknownName):
        histograms.share_spread_by_label(table, "unicorn")
    with pytest.raises(UnknownName):
        histograms.blob_counts(table, ["unicorn"])
    assert histograms.blob_counts(table, []).shape == (6, 0)


def test_two_runs_would_count_photos_twice(table):
    both = pd.concat([table, table.assign(run="s")])
    with pytest.raises(UsageError, match="choose one run"):
        histograms.blob_counts(both, ["cat"])
    with pytest.raises(UsageError, match="choose one run"):
        histograms.share_spread_by_label(both, "cat")


@pytest.mark.parametrize(("descending", "paths"), [(False, "b a e d c"), (True, "c d a e b")])
def test_photos_are_sorted_by_their_regions(table, descending, paths):
    at = statistics.sort_positions(table, "blobs", descending=descending, name="cat")
    assert " ".join(table["path"].iloc[at]) == paths
