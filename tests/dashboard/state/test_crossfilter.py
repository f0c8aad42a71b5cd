"""A selection in a chart becomes filters; the same one twice is none."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.state.crossfilter import apply_marks, bin_filter, is_selected, only_keys, toggle, without_keys
from seglib.query.fields import Kind
from seglib.query.filters import Filters

BEFORE = Filters.decode("split=train&confidence=0.5..1")


@pytest.mark.parametrize(
    ("own", "present", "chosen", "then"),
    [
        (["label"], "", ["label=cats"], "label=cats"),
        (["label"], "label=cats", ["label=dogs"], "label=cats&label=dogs"),
        (["label"], "label=cats&label=dogs", ["label=dogs"], "label=cats"),
        (["label"], "label=cats", ["label=cats"], ""),
        (["label"], "", ["label="], "label="),  # photos without a label
        (["label"], "", ["label=cats", "label=dogs"], "label=cats&label=dogs"),
        (["share.cat"], "", ["share.cat=0.1..<0.2"], "share.cat=0.1..<0.2"),
        (["share.cat"], "share.cat=0.1..<0.2", ["share.cat=0.4..<0.5"], "share.cat=0.4..<0.5"),
        (["share.cat"], "share.cat=0.1..<0.2", ["share.cat=0.1..<0.2"], ""),
        (["share.cat"], "", ["share.cat=0.4..<0.5", "share.cat=0.1..<0.2"], "share.cat=0.1..<0.5"),
        (["blobs.cat", "blobs.dog"], "blobs.cat=2", ["blobs.dog=5.."], "blobs.dog=5.."),
        (["blobs.cat", "blobs.dog"], "blobs.cat=2&blobs.dog=1", ["blobs.cat=2"], "blobs.cat=2"),
        (
            ["width", "height"],
            "width=1..9",
            ["width=100..199&height=0..99", "width=300..399&height=100..199", "width=200..299&height=0..99"],
            "width=100..399&height=..199",
        ),
    ],
)
def test_what_is_chosen_takes_the_place_of_what_the_chart_had_filtered(own, present, chosen, then):
    others = "split=train&path=a"
    before = Filters.decode("&".join(part for part in (others, present) if part))
    found = apply_marks(chosen, own, before)
    assert found == Filters.decode("&".join(part for part in (others, then) if part))


def test_a_cell_of_two_names_replaces_and_goes_as_a_whole():
    own, told = ("label", "animal", "agreement"), Filters.decode("label=cats&animal=dog")
    once = toggle(told, own, Filters.decode("agreement=agrees&split=train"))
    assert once == Filters.decode("split=train&label=cats&animal=dog")
    other = Filters.decode("label=cats&animal=cat")
    assert toggle(other, own, once) == Filters.decode("split=train&label=cats&animal=cat")
    assert toggle(told, own, once) == Filters.decode("split=train")


def test_a_name_chosen_where_a_cell_was_takes_its_place():
    found = toggle(Filters.decode("label=cats"), ("label", "animal"), Filters.decode("label=cats&animal=dog"))
    assert found == Filters.decode("label=cats")


def test_a_double_click_clears_the_chart_and_nothing_else():
    assert apply_marks([], ["confidence"], BEFORE) == Filters.decode("split=train")


@pytest.mark.parametrize(
    "mark",
    [
        None,
        3,
        {"x": 1},
        ["confidence=0..1"],
        "",
        "confidence=high",
        "unheard-of=1",
        "split=test",  # not a filter of this chart
    ],
)
def test_what_cannot_be_read_changes_nothing(mark):
    assert apply_marks([mark], ["confidence"], BEFORE) == BEFORE


@given(st.sets(st.sampled_from("abc"), min_size=1), st.sampled_from("abc"))
def test_the_same_name_twice_is_as_before(present, name):
    before = Filters({"label": tuple(present)})
    chosen = [f"label={name}"]
    assert apply_marks(chosen, ["label"], apply_marks(chosen, ["label"], before)) == before


@given(st.integers(1, 50), st.data())
def test_bins_of_a_chart_touch_without_sharing(bins, data):
    edges = [round(i / bins, 10) for i in range(bins + 1)]
    at = data.draw(st.integers(0, bins - 1))
    low, high = Filters.decode(bin_filter("entropy", edges[at], edges[at + 1]))["entropy"]
    assert low == edges[at]
    assert (high == 1) if at == bins - 1 else (high < edges[at + 1])
    present = Filters.decode(bin_filter("entropy", edges[at], edges[at + 1]))
    shown = [is_selected(bin_filter("entropy", *span), present) for span in pairwise(edges)]
    assert [i for i, one in enumerate(shown) if one] == [at]


@pytest.mark.parametrize(
    ("text", "present", "shown"),
    [
        ("label=cats", "label=cats&label=dogs", True),
        ("label=others", "label=cats&label=dogs", False),
        ("share.cat=0.1..<0.2", "share.cat=0.15..0.5", True),
        ("share.cat=0.1..<0.2", "share.cat=0.2..0.5", False),
        ("label=cats&animal=dog", "label=cats", True),
        ("label=cats&animal=dog", "label=cats&animal=cat", False),
        ("blobs.cat=2", "blobs.dog=1", False),
        ("label=cats&animal=dog&agreement=contradicts", "agreement=contradicts", True),
        ("nonsense", "label=cats", False),
    ],
)
def test_marks_of_what_is_filtered(text, present, shown):
    assert is_selected(text, Filters.decode(present)) == shown


def test_own_filters_and_the_others_are_all_filters():
    assert without_keys(BEFORE, ["confidence"]) == Filters.decode("split=train")
    assert only_keys(BEFORE, ["confidence", "label"]) == Filters.decode("confidence=0.5..1")


# --- own columns -------------------------------------------------------------------------------------------------

RANGES = {"column.iso": Kind.INTEGER, "column.taken": Kind.DATE, "column.depth": Kind.NUMBER}


@pytest.mark.parametrize(
    ("own", "present", "chosen", "then"),
    [
        (["column.iso"], "", ["column.iso=100..<200"], "column.iso=100..<200"),
        (["column.iso"], "column.iso=100..<200", ["column.iso=400..<500"], "column.iso=400..<500"),
        (["column.iso"], "column.iso=100..<200", ["column.iso=100..<200"], ""),
        (["column.iso"], "", ["column.iso=400..<500", "column.iso=100..<200"], "column.iso=100..<500"),
        (["column.iso"], "", ["column.iso=9..<10", "column.iso=10..<20"], "column.iso=9..<20"),
        (["column.iso"], "", ["column.iso=1..5", "column.iso=1..<5"], "column.iso=1..5"),
        (["column.depth"], "", ["column.depth=-3..<-1", "column.depth=-1..<1.5"], "column.depth=-3..<1.5"),
        (
            ["column.taken"],
            "",
            ["column.taken=2024-02-01..<2024-03-01", "column.taken=2023-12-01..<2024-01-01"],
            "column.taken=2023-12-01..<2024-03-01",
        ),
        (["column.camera"], "column.camera=a", ["column.camera=b"], "column.camera=a&column.camera=b"),
        (
            ["column.iso", "label"],
            "",
            ["column.iso=1..<2&label=cats", "column.iso=2..<3&label=dogs"],
            "label=cats&label=dogs&column.iso=1..<3",
        ),
    ],
)
def test_ranges_of_own_columns_are_merged_and_their_names_are_collected(own, present, chosen, then):
    others = "split=train&path=a"
    before = Filters.decode("&".join(part for part in (others, present) if part))
    found = apply_marks(chosen, own, before, RANGES)
    assert found == Filters.decode("&".join(part for part in (others, then) if part))


@pytest.mark.parametrize("text", ["column.iso=many", "column.iso=", "column.iso=1..2&column.iso=3..4", "column.iso=.."])
def test_a_mark_that_is_no_range_harms_nothing(text):
    found = apply_marks([text, "column.iso=1..<2"], ["column.iso"], BEFORE, RANGES)
    assert found["split"] == BEFORE["split"]
    assert is_selected(text, Filters.decode("column.iso=1..2"), RANGES) in (True, False)


@pytest.mark.parametrize(
    ("mark", "active", "expected"),
    [
        ("column.iso=100..<200", "column.iso=150..400", True),
        ("column.iso=100..<200", "column.iso=200..400", False),
        ("column.iso=100..200", "column.iso=200..400", True),
        ("column.iso=200..<300", "column.iso=..<200", False),
        ("column.taken=2024-01-01..<2024-02-01", "column.taken=2024-01-31..2024-01-31", True),
        ("column.taken=2024-01-01..<2024-02-01", "column.taken=2024-02-01..", False),
        ("column.camera=a", "column.camera=a", True),
    ],
)
def test_a_mark_is_selected_where_its_range_meets_the_filter(mark, active, expected):
    assert is_selected(mark, Filters.decode(active), RANGES) is expected
