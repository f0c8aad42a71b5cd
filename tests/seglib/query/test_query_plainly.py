"""The fast answers equal those of plain loops over the rows, on random tables with all that a store can hold."""

import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglib.classes import ANIMALS, PRESENT_SHARE
from seglib.query import columns, histograms, statistics
from seglib.query.filters import Filters, passes_filter, select

CLASSES = ("background", "cat", "dog", "sofa")


@st.composite
def tables(draw) -> pd.DataFrame:
    """Up to 30 photos of one run; names may be missing, and a class may be unknown in some rows."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(0, 30))
    frame = pd.DataFrame({"path": [f"{i:02}" for i in range(n)], "run": "r"}, index=range(100, 100 + n))
    for column, names in (
        ("label", ["cats", "dogs", "Cat", "", "x", None]),
        ("animal", [*ANIMALS, "none", None]),
        ("content", ["sofa", *ANIMALS, "none", None]),
        ("label_class", ["dog", "sofa", "cat", None]),
        ("dominant", CLASSES),
        ("split", ["train", None]),
    ):
        frame[column] = pd.Categorical(rng.choice(np.array(names, dtype="object"), n))
    frame["grid_width"], frame["grid_height"] = rng.integers(1, 40, n), rng.integers(1, 40, n)
    area = (frame["grid_width"] * frame["grid_height"]).to_numpy()
    for name in CLASSES:
        pixels = pd.array((area * rng.choice([0, 0.004, 0.005, 0.3, 1], n)).astype("int32"), "Int32")
        if name == "sofa":
            pixels[rng.random(n) < 0.3] = None
        frame[f"px:{name}"] = pixels if name == "sofa" else pixels.astype("int32")
    frame["confidence"] = rng.choice([0.1, 0.5, 0.5, math.nan], n).astype(np.float32)
    return frame.iloc[draw(st.sampled_from([0, 10])) :]  # a part of it keeps the categories of all


def share(row: dict, name: str) -> float:
    pixels = row[f"px:{name}"]
    return math.nan if pd.isna(pixels) else pixels / (row["grid_width"] * row["grid_height"])


def verdict(row: dict) -> str | None:
    if pd.isna(row["label_class"]) or pd.isna(row["content"]):
        return None
    return (
        "agrees" if row["content"] == row["label_class"] else "neither" if row["content"] == "none" else "contradicts"
    )


def text(value: object) -> str:
    return "" if pd.isna(value) else str(value)


def mean(values: list[float]) -> float | None:
    return pytest.approx(sum(values) / len(values)) if values else None


def rows_of(table: pd.DataFrame) -> list[dict]:
    return table.astype("object").to_dict("records")


@pytest.mark.slow
@given(tables())
@settings(max_examples=60, deadline=None)
def test_agreement_row_by_row(table):
    found = columns.label_agreement(table)
    assert found.index.equals(table.index)
    assert [None if pd.isna(one) else one for one in found] == [verdict(row) for row in rows_of(table)]


@pytest.mark.slow
@given(tables(), st.lists(st.sampled_from(["cats", "dogs", "", "nothing"]), min_size=1))
@settings(max_examples=60, deadline=None)
def test_choices_row_by_row(table, chosen):
    for key, of in (("label", lambda row: row["label"]), ("split", lambda row: row["split"]), ("agreement", verdict)):
        expected = [row["path"] for row in rows_of(table) if text(of(row)) in chosen]
        assert select(table, Filters({key: tuple(chosen)}))["path"].tolist() == expected


@pytest.mark.slow
@given(tables(), st.sampled_from(CLASSES), st.floats(0, 1), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_a_filter_and_another_row_by_row(table, name, low, high):
    low, high = sorted((low, high))
    filters = Filters({f"share.{name}": (low, high), "confidence": (0.2, 0.6)})
    expected = [r["path"] for r in rows_of(table) if low <= share(r, name) <= high and 0.2 <= r["confidence"] <= 0.6]
    assert select(table, filters)["path"].tolist() == expected
    both = passes_filter(table, f"share.{name}", (low, high)) & passes_filter(table, "confidence", (0.2, 0.6))
    assert table["path"][both].tolist() == expected


@pytest.mark.slow
@given(tables())
@settings(max_examples=60, deadline=None)
def test_class_distribution_row_by_row(table):
    found = statistics.class_distribution(table)
    for name in CLASSES:
        known = [s for row in rows_of(table) if not math.isnan(s := share(row, name))]
        there = [s for s in known if s >= PRESENT_SHARE]
        line = found.loc[name].astype("object").where(lambda value: value.notna(), None).to_dict()
        assert line == {
            "mean_share": mean(known),
            "mean_share_when_present": mean(there),
            "present": len(there),
            "presence": len(there) / len(known) if known else None,
            "n": len(known),
        }


@given(tables())
@settings(max_examples=60, deadline=None)
def test_co_occurrence_row_by_row(table):
    expected = Counter(
        (first, second)
        for row in rows_of(table)
        for first in CLASSES
        for second in CLASSES
        if share(row, first) >= PRESENT_SHARE and share(row, second) >= PRESENT_SHARE
    )
    found = statistics.co_occurrence(table)
    assert {(a, b): found.loc[a, b] for a in CLASSES for b in CLASSES if found.loc[a, b]} == expected


def test_co_occurrence_of_more_rows_than_one_product_counts_exactly(monkeypatch):
    table = pd.DataFrame({"run": "r", "grid_width": 1, "grid_height": 1, "px:cat": 1, "px:dog": 0}, index=range(25))
    monkeypatch.setattr(statistics, "_EXACT_ROWS", 10)
    assert statistics.co_occurrence(table).to_numpy().tolist() == [[25, 0], [0, 0]]


@pytest.mark.slow
@given(tables())
@settings(max_examples=60, deadline=None)
def test_folder_against_animal_and_content_row_by_row(table):
    for column, count in (("animal", statistics.folder_vs_animal), ("content", statistics.folder_vs_content)):
        expected = Counter((text(r["label"]), r[column]) for r in rows_of(table) if not pd.isna(r[column]))
        found = count(table)
        assert found.index.tolist() == sorted({label for label, _ in expected})
        assert {(a, b): found.loc[a, b] for a in found.index for b in found.columns if found.loc[a, b]} == expected
        if column == "animal":
            assert found.columns.tolist() == [*ANIMALS, "none"]


@pytest.mark.slow
@given(tables())
@settings(max_examples=60, deadline=None)
def test_share_by_label_row_by_row(table):
    found = histograms.share_by_label(table)
    rows = rows_of(table)
    labels = sorted({text(row["label"]) for row in rows})
    assert found.index.tolist() == labels
    for label in labels:
        of_label = [row for row in rows if text(row["label"]) == label]
        assert found.loc[label, "n"] == len(of_label)
        for name in CLASSES:
            expected = mean([s for row in of_label if not math.isnan(s := share(row, name))])
            assert (None if math.isnan(found.loc[label, name]) else found.loc[label, name]) == expected


@given(tables())
@settings(max_examples=60, deadline=None)
def test_key_figures_row_by_row(table):
    rows = rows_of(table)
    verdicts = [v for row in rows if (v := verdict(row)) is not None]
    assert statistics.key_figures(table) == statistics.KeyFigures(
        photos=len(rows),
        mean_foreground_share=mean([1 - share(row, "background") for row in rows]),
        mean_confidence=mean([row["confidence"] for row in rows if not math.isnan(row["confidence"])]),
        agreeing=verdicts.count("agrees"),
        claiming=len(verdicts),
    )
