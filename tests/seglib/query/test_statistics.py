"""Questions about a table that one can answer by eye."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.errors import FilterError, UnknownName, UsageError
from seglib.query import columns, statistics
from seglib.query.filters import FILTERS, Filters, select


@pytest.fixture
def table() -> pd.DataFrame:
    """Five photos on a 10x10 grid; the last one's model does not know dogs."""
    frame = pd.DataFrame(
        {
            "dataset": "set",
            "path": ["cats/a.jpg", "cats/B.jpg", "dogs/c.jpg", "d.jpg", "others/e.jpg"],
            "split": ["test", "test", "train", None, None],
            "label": ["cats", "cats", "dogs", None, "others"],
            "run": "r1",
            "grid_width": 10,
            "grid_height": 10,
            "px:background": [50, 100, 90, 0, 99],
            "px:cat": [50, 0, 4, 100, 1],
            "px:dog": pd.array([0, 0, 6, 0, None], "Int32"),
            "confidence": np.array([0.9, 0.5, 0.7, 1.0, np.nan], np.float32),
            "entropy": np.float32(0.1),
            "low_margin": np.float32(0.1),
            "dominant": ["cat", "background", "dog", "cat", "cat"],
            "animal": ["cat", "none", "dog", "cat", None],
            "content": ["cat", "none", "dog", "cat", None],
            "label_class": ["cat", "cat", "dog", None, None],
        }
    )
    return frame.astype(
        dict.fromkeys(["dataset", "split", "label", "run", "dominant", "animal", "content", "label_class"], "category")
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("", "a B c d e"),
        ("label=cats", "a B"),
        ("label=cats&label=dogs", "a B c"),
        ("label=", "d"),
        ("split=&label=others", "e"),
        ("present=dog", "c"),
        ("present=dog&present=cat", "a c d e"),  # any of them
        ("share.cat=0.04..0.5", "a c"),  # both ends count
        ("share.dog=0..1", "a B c d"),  # a class that the model does not know has no share
        ("confidence=0.7..", "c d a"),
        ("confidence=0..1", "a B c d"),
        ("animal=cat", "a d"),
        ("animal=", "e"),
        ("content=cat&content=none", "a B d"),
        ("content=", "e"),
        ("dominant=dog", "c"),
        ("agreement=agrees", "a c"),
        ("agreement=neither", "B"),
        ("path=b.J", "B"),
        ("path=.", "a B c d e"),
        ("label=cats&share.cat=0.1..1&confidence=0.95..", ""),
    ],
)
def test_filters_keep_these_photos(table, text, kept):
    found = select(table, Filters.decode(text))
    assert {p.rsplit("/")[-1][0] for p in found["path"]} == set(kept.split())


def test_selecting_changes_neither_the_table_nor_its_order(table):
    before = table.copy(deep=True)
    found = select(table, Filters({"label": ("cats", "dogs")}))
    pd.testing.assert_frame_equal(table, before)
    assert found.index.tolist() == [0, 1, 2]


def test_an_unknown_class_lists_the_known_ones(table):
    for text in ("share.unicorn=0..1", "present=unicorn"):
        with pytest.raises(UnknownName, match="background, cat, dog"):
            select(table, Filters.decode(text))


# --- the text form ---

names = st.text(min_size=0, max_size=8)
unit = st.floats(0, 1)
ranges = st.tuples(unit, unit)
values = st.fixed_dictionaries(
    {},
    optional={
        **{
            key: st.lists(names, max_size=3).map(tuple)
            for key in ("dataset", "split", "label", "animal", "content", "agreement")
        },
        **dict.fromkeys(("confidence", "entropy", "low_margin", "share.cat", "share.a.b c"), ranges),
        "present": st.lists(names, max_size=3).map(tuple),
        "path": names,
    },
)


@given(values)
def test_decoding_what_was_encoded_gives_the_same(given_values):
    filters = Filters(given_values)
    assert Filters.decode(filters.encode()) == filters
    assert Filters.from_pairs(filters.pairs()) == filters
    assert hash(Filters.decode(filters.encode())) == hash(filters)


HOSTILE = (
    "+plus",
    "plus+",
    "c++",
    "a+b",
    "&and",
    "a&b=c",
    "%25",
    "100%",
    "%20off",
    "5%ab",
    "=",
    "a=b",
    " a",
    "a ",
    "#",
    "?",
)


@given(st.lists(st.sampled_from(HOSTILE) | names, min_size=1, max_size=4), st.sampled_from(HOSTILE))
def test_no_name_is_hostile_to_a_filter(labels, text):
    filters = Filters({"label": tuple(labels), "path": text, f"share.{text}": (0.5, 1.0)})
    assert Filters.decode(filters.encode()) == filters


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("label=black+cat", "black cat"),  # as browsers write it
        ("label=black%20cat", "black cat"),
        ("label=black cat", "black cat"),
        ("label=%2Bplus", "+plus"),
        ("label=c%2B%2B", "c++"),
        ("label=100%", "100%"),
        ("label=%plus", "%plus"),
        ("label=狗", "狗"),
        ("label=%E7%8B%97", "狗"),
        ("label=a=b", "a=b"),
    ],
)
def test_names_as_they_are_typed(text, label):
    assert Filters.decode(text)["label"] == (label,)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("label=+plus", "label=%2Bplus for a plus sign, label=%20plus for a space"),
        ("share.cat=0.1..&label=c++", "label=c%2B%2B for a plus sign"),
        ("path=+", "path=%2B for a plus sign"),
        ("label=a&b", "an & within a name is written %26"),
        ("label=&and", "an & within a name is written %26"),
        ("label=5%ab", "a percent sign within a name is written %25"),
        ("label=caf\udce9%e9", "a percent sign within a name is written %25"),
    ],
)
def test_what_fits_two_readings_is_refused_with_the_right_spelling(text, remedy):
    with pytest.raises(FilterError) as caught:
        Filters.decode(text)
    assert remedy in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_text_is_what_the_dashboards_url_holds():
    filters = Filters({"share.cat": (0.1, 1.0), "label": ("dogs", "cats"), "path": "a b&c", "split": ()})
    assert filters.encode() == "label=cats&label=dogs&share.cat=0.1..1&path=a%20b%26c"
    assert Filters.decode("?" + filters.encode()) == filters


def test_ranges_may_be_open_or_reversed():
    assert Filters.decode("confidence=0.9..")["confidence"] == (0.9, 1.0)
    assert Filters.decode("confidence=..0.9")["confidence"] == (0.0, 0.9)
    assert Filters.decode("confidence=0.9..0.2")["confidence"] == (0.2, 0.9)


@pytest.mark.parametrize(
    "text",
    [
        "confidence=2..3",
        "confidence=nan..1",
        "confidence=0.5",
        "confidence=a..b",
        "share=0..1",
        "label.cat=x",
        "lable=cats",
        "label",
    ],
)
def test_what_cannot_be_read_is_a_sentence(text):
    with pytest.raises(FilterError) as caught:
        Filters.decode(text)
    assert "\n" not in str(caught.value)


def test_replacing_gives_new_filters():
    one = Filters({"label": ("cats",)})
    two = one.replace("share.cat", (0.5, 1.0))
    assert (len(one), len(two)) == (1, 2)
    assert two.replace("share.cat", None) == one
    assert list(two) == ["label", "share.cat"]


def test_every_filter_has_a_label_and_its_own_key():
    assert all(entry.key == key and entry.label for key, entry in FILTERS.items())


# --- questions ---


def test_class_distribution_by_hand(table):
    found = statistics.class_distribution(table)
    assert found.loc["cat", "mean_share"] == pytest.approx((0.5 + 0 + 0.04 + 1 + 0.01) / 5)
    assert found.loc["cat", "mean_share_when_present"] == pytest.approx((0.5 + 0.04 + 1 + 0.01) / 4)
    assert found.loc["cat", ["present", "presence", "n"]].tolist() == [4, 0.8, 5]
    assert found.loc["dog", "mean_share"] == pytest.approx(0.06 / 4)  # the fifth photo's model knows no dog
    assert found.loc["dog", ["present", "presence", "n"]].tolist() == [1, 0.25, 4]


def test_an_empty_selection_has_no_means(table):
    found = statistics.class_distribution(table.iloc[:0])
    assert found["n"].tolist() == [0, 0, 0]
    assert found["mean_share"].isna().all()
    assert statistics.key_figures(table.iloc[:0]) == statistics.KeyFigures(0, None, None, 0, 0)
    assert statistics.co_occurrence(table.iloc[:0]).to_numpy().sum() == 0
    assert statistics.folder_vs_animal(table.iloc[:0]).empty
    assert statistics.folder_vs_content(table.iloc[:0]).empty


def test_presence_begins_at_half_a_percent():
    frame = pd.DataFrame({"grid_width": 100, "grid_height": 100, "px:cat": [49, 50]})
    assert columns.is_present(frame, "cat").tolist() == [False, True]


def test_co_occurrence_by_hand(table):
    found = statistics.co_occurrence(table)
    assert found.to_dict() == {
        "background": {"background": 4, "cat": 3, "dog": 1},
        "cat": {"background": 3, "cat": 4, "dog": 1},
        "dog": {"background": 1, "cat": 1, "dog": 1},
    }


def test_folder_label_against_animal_by_hand(table):
    found = statistics.folder_vs_animal(table)
    assert found.loc["cats"].to_dict() == {"cat": 1, "dog": 0, "none": 1}
    assert found.loc["dogs"].to_dict() == {"cat": 0, "dog": 1, "none": 0}
    assert found.loc[""].to_dict() == {"cat": 1, "dog": 0, "none": 0}


def test_folder_label_against_content_by_hand(table):
    """For cats and dogs it is what `folder_vs_animal` counts; other classes stand in the order of the model's."""
    pd.testing.assert_frame_equal(
        statistics.folder_vs_content(table).rename_axis(columns="animal"), statistics.folder_vs_animal(table)
    )
    other = table.assign(content=["zebra", "none", "zebra", None, None], label_class=["bus", None, None, None, None])
    found = statistics.folder_vs_content(other.assign(**{"px:zebra": 1, "px:bus": 1}))
    assert found.columns.tolist() == ["zebra", "bus", "none"]
    assert found.to_dict("index") == {
        "cats": {"zebra": 1, "bus": 0, "none": 1},
        "dogs": {"zebra": 1, "bus": 0, "none": 0},
    }


def test_agreement_by_hand(table):
    found = columns.label_agreement(table.assign(content=["cat", "none", "cat", "dog", "dog"]))
    assert found.tolist()[:3] == ["agrees", "neither", "contradicts"]
    assert found.isna().tolist() == [False, False, False, True, True]
    assert columns.label_agreement(table).isna().tolist() == [False, False, False, True, True]


def test_key_figures_by_hand(table):
    found = statistics.key_figures(table)
    assert (found.photos, found.agreeing, found.claiming) == (5, 2, 3)
    assert found.mean_foreground_share == pytest.approx(1 - (50 + 100 + 90 + 0 + 99) / 500)
    assert found.mean_confidence == pytest.approx((0.9 + 0.5 + 0.7 + 1.0) / 4)


def test_two_runs_at_once_would_count_photos_twice(table):
    both = pd.concat([table, table.assign(run="r2")])
    for question in (
        statistics.class_distribution,
        statistics.co_occurrence,
        statistics.folder_vs_animal,
        statistics.folder_vs_content,
        statistics.key_figures,
    ):
        with pytest.raises(UsageError, match="choose one run"):
            question(both)


def test_shares_are_nan_where_unknown(table):
    assert columns.class_share(table, "dog").tolist()[:4] == [0, 0, 0.06, 0]
    assert math.isnan(columns.class_share(table, "dog").iloc[4])
