"""Small answers for charts, on frames one can check by eye."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.errors import UnknownName, UsageError
from seglib.query.histograms import histogram, share_by_label
from seglib.query.statistics import sort_positions


@pytest.fixture
def table() -> pd.DataFrame:
    """Four photos on a 10x10 grid; the model does not know dogs in the last."""
    return pd.DataFrame(
        {
            "path": ["b", "a", "c", "d"],
            "label": pd.Categorical(["cats", None, "cats", "dogs"]),
            "run": "r",
            "grid_width": 10,
            "grid_height": 10,
            "px:background": [50, 100, 90, 20],
            "px:dog": pd.array([50, 0, 10, None], "Int32"),
            "confidence": np.array([0.9, 0.5, math.nan, 0.5], np.float32),
        }
    )


def test_mean_shares_of_each_label_with_their_n(table):
    means = share_by_label(table)
    assert means.index.tolist() == ["", "cats", "dogs"]
    assert means["n"].tolist() == [1, 2, 1]
    assert means["background"].tolist() == pytest.approx([1.0, 0.7, 0.2])
    assert means["dog"].iloc[:2].tolist() == pytest.approx([0.0, 0.3])
    assert math.isnan(means["dog"].iloc[2])


def test_no_photo_has_no_label(table):
    assert share_by_label(table.iloc[:0]).empty


def test_two_runs_would_count_each_photo_twice(table):
    with pytest.raises(UsageError, match="choose one run"):
        share_by_label(table.assign(run=["r", "s", "r", "r"]))


def test_bins_hold_their_lower_edge_and_the_last_both():
    bins = histogram(pd.Series([0.0, 0.24, 0.25, 0.5, 1.0, math.nan]), bins=4)
    assert bins["count"].tolist() == [2, 1, 1, 1]
    assert bins["low"].tolist() == [0, 0.25, 0.5, 0.75]
    assert bins["high"].tolist() == [0.25, 0.5, 0.75, 1]


@given(st.lists(st.floats(0, 1)), st.integers(1, 50))
def test_every_value_is_in_one_bin(values, bins):
    assert histogram(pd.Series(values, dtype="float64"), bins)["count"].sum() == len(values)


@pytest.mark.parametrize(
    ("column", "descending", "name", "paths"),
    [
        ("path", False, "", "a b c d"),
        ("path", True, "", "d c b a"),
        ("confidence", False, "", "a d b c"),  # ties keep their order, no value comes last
        ("confidence", True, "", "b a d c"),
        ("share", True, "dog", "b c a d"),
        ("share", False, "dog", "a c b d"),
        ("label", False, "", "b c d a"),
    ],
)
def test_order(table, column, descending, name, paths):
    at = sort_positions(table, column, descending=descending, name=name)
    assert " ".join(table["path"].iloc[at]) == paths


def test_an_unknown_class_cannot_be_sorted_by(table):
    with pytest.raises(UnknownName):
        sort_positions(table, "share", name="unicorn")
