"""The URL and the view say the same; what makes no sense is left out with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.state import view as view_state
from dashboard.state.crossfilter import with_both_present
from dashboard.state.view import (
    CHARTS,
    COMPARE_SORTS,
    DIFFERENCE_MODES,
    EVALUATE_SORTS,
    FINDS,
    LAYERS,
    OPACITY_RANGE,
    ORIGINS,
    PALETTES,
    PROJECTIONS,
    SHOW_MODES,
    SIZE_RANGE,
    SORTS,
    View,
    decode,
    describe_filter,
    encode,
    fit_to_classes,
    query_params,
    sort_label,
)
from seglib.classes import VOC_CLASSES
from seglib.query.filter_kinds.ranges import CountRangeFilter, UnitRangeFilter
from seglib.query.filter_kinds.texts import TextFilter, WhereFilter
from seglib.query.filter_text import MAX_COUNT
from seglib.query.filters import FILTERS, Filters

names = st.lists(st.text(max_size=8), min_size=1, max_size=3).map(lambda values: tuple(sorted(set(values))))
ranges = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda pair: (min(pair), max(pair)))
counts = st.tuples(st.integers(0, MAX_COUNT), st.integers(0, MAX_COUNT)).map(lambda pair: (min(pair), max(pair)))


def values_of(key: str):
    entry = FILTERS[key]
    if isinstance(entry, UnitRangeFilter):
        return ranges
    if isinstance(entry, CountRangeFilter):
        return counts
    if isinstance(entry, WhereFilter):
        return st.sampled_from(["share.cat > 0.1 or label = dogs", 'path contains "ü & %"', "not tag = a"])
    return st.text(min_size=1, max_size=8) if isinstance(entry, TextFilter) else names


def filter_key(key: str) -> str:
    return f"{key}.cat" if FILTERS[key].suffix else key


filters = st.sets(st.sampled_from(list(FILTERS))).flatmap(
    lambda keys: st.fixed_dictionaries({filter_key(key): values_of(key) for key in sorted(keys)}).map(Filters)
)
texts = st.sets(st.text(min_size=1, max_size=8), max_size=3).map(lambda values: tuple(sorted(values)))
views = st.builds(
    View,
    filters=filters,
    run=st.text(max_size=20),
    focus=st.text(max_size=8),
    sort=st.sampled_from(list(SORTS)),
    page=st.integers(1, 10**6),
    compare_page=st.integers(1, 10**6),
    evaluate_page=st.integers(1, 10**6),
    origin=st.sampled_from(ORIGINS),
    charts=st.sampled_from(CHARTS),
    show=st.sampled_from(SHOW_MODES),
    palette=st.sampled_from(PALETTES),
    overlay=st.booleans(),
    opacity=st.integers(*OPACITY_RANGE),
    size=st.integers(*SIZE_RANGE),
    image=st.just("") | st.text("0123456789abcdef", min_size=32, max_size=32),
    runs=texts,
    outline=st.booleans(),
    uncertainty=st.booleans(),
    names=st.booleans(),
    hidden=texts,
    difference=st.sampled_from(DIFFERENCE_MODES),
    against=st.text(max_size=20),
    flip=st.just(()) | st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8)),
    measure=st.sampled_from(list(COMPARE_SORTS)),
    truth=st.just("") | st.from_regex(r"[0-9a-f]{8}", fullmatch=True),
    cell=st.just(()) | st.tuples(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8)),
    grade=st.sampled_from(list(EVALUATE_SORTS)),
    layer=st.sampled_from(LAYERS),
    demo=st.booleans(),
    n=st.integers(0, 10**8),
    all_figures=st.booleans(),
    find=st.sampled_from(FINDS),
    embeddings=st.text(max_size=20),
    projection=st.sampled_from(PROJECTIONS),
    colour=st.text(max_size=20),
    lasso=st.just("") | st.from_regex(r"[0-9a-f]{8}\.[A-Za-z0-9_-]{16,40}", fullmatch=True),
    similar=st.just(()) | st.text("0123456789abcdef", min_size=32, max_size=32).map(lambda one: (one,)),
    found_page=st.integers(1, 10**6),
)


@given(views)
def test_what_is_encoded_is_decoded(view):
    assert decode(encode(view)) == (view, [])


@given(st.lists(st.tuples(st.sampled_from([*FILTERS, *view_state._FIELDS, "share.cat", "x"]), st.text(max_size=8))))
def test_any_text_gives_a_view_that_can_be_written_again(pairs):
    view, notes = decode(pairs)
    assert decode(encode(view)) == (view, [])
    assert all(note.endswith(".") for note in notes)


def test_defaults_leave_no_trace_in_the_url():
    assert encode(View()) == []


def test_charts_are_folded_unless_a_link_asks_for_them():
    assert decode([])[0].charts == decode([("charts", "none")])[0].charts == "none"
    assert decode([("charts", "classes")])[0].charts == "classes"


def test_the_filter_part_of_the_url_is_the_shells_where():
    view = View(filters=Filters.decode("label=cats&share.cat=0.1..1"), run="r", opacity=20)
    text = "&".join(f"{key}={value}" for key, value in encode(view))
    assert text == "label=cats&share.cat=0.1..1&run=r&opacity=20"


def test_a_flip_is_read_as_it_is_written_whatever_its_classes_are_called():
    for flip in (("cat", "dog"), ("a>b", "50% grey & blue"), ("%3E", ">")):
        assert decode(encode(View(flip=flip))) == (View(flip=flip), [])
    assert encode(View(flip=("cat", "dining table"))) == [("flip", "cat>dining table")]


def test_a_comparison_keeps_what_the_network_knows():
    view, (note,) = fit_to_classes(View(flip=("zebra", "dog"), measure="flip"), VOC_CLASSES)
    assert (view.flip, view.measure) == ((), "agreement")
    assert "zebra" in note
    asked = View(flip=("cat", "dog"), measure="flip")
    assert fit_to_classes(asked, VOC_CLASSES) == (asked, [])


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("opacity", "900"),
        ("opacity", "٣"),
        ("page", "0"),
        ("page", "-1"),
        ("size", "1e2"),
        ("sort", "price"),
        ("overlay", "maybe"),
        ("palette", "random:1"),
        ("show", ""),
        ("charts", "pie"),
        ("confidence", "high"),
        ("confidence", "nan..1"),
        ("share.cat", "2..3"),
        ("share", "0..1"),
        ("unheard-of", "1"),
        ("label.cat", "1"),
        ("difference", "both"),
        ("measure", "accuracy"),
        ("flip", "cat"),
        ("flip", "cat>"),
        ("flip", "cat>dog>person"),
        ("truth", "../../etc"),
        ("truth", "SegmentationClass"),
        ("cell", "cat"),
        ("worst", "confidence"),
        ("layer", "photo"),
        ("n", "0"),
        ("n", "many"),
        ("figures", "some"),
    ],
)
def test_what_makes_no_sense_is_left_out_with_a_sentence(key, text):
    view, (note,) = decode([(key, text), ("label", "cats")])
    assert view == View(filters=Filters({"label": ("cats",)}))
    assert note.startswith(f"{key}={text} was left out")


def test_a_long_text_that_makes_no_sense_is_shortened():
    _, notes = decode([("where", "(" * 30_000), ("x" * 30_000, "1"), ("width", "y" * 30_000)])
    assert len(notes) == 3
    assert all(len(note) < 600 for note in notes)


def test_repeated_keys_travel_as_lists():
    assert query_params(View(filters=Filters({"label": ("cats", "dogs")}))) == {"label": ["cats", "dogs"]}


def test_a_new_filter_starts_at_the_first_page():
    there = View(page=7, compare_page=6, evaluate_page=5, n=445).with_filter("label", ("cats",))
    assert (there.page, there.compare_page, there.evaluate_page, there.n) == (1, 1, 1, 0)


@pytest.mark.parametrize(
    ("where", "kept", "notes"),
    [
        ("present=cat&present=unicorn", "present=cat", 1),
        ("share.unicorn=0.1..1&label=any+label", "label=any%20label", 1),
        ("agreement=perhaps", "", 1),
        ("agreement=&agreement=agrees", "agreement=&agreement=agrees", 0),
        ("animal=horse&animal=none", "animal=none", 1),
        ("split=train&split=dev", "split=train", 1),
        ("dominant=background&dominant=unicorn", "dominant=background", 1),
        ("path=unicorn&confidence=0..1", "confidence=0..1&path=unicorn", 0),
    ],
)
def test_values_that_a_run_cannot_have_are_left_out(where, kept, notes):
    view, said = fit_to_classes(View(filters=Filters.decode(where)), VOC_CLASSES)
    assert view.filters.encode() == kept
    assert len(said) == notes


def test_an_unknown_class_to_look_at_is_left_out():
    view, notes = fit_to_classes(View(focus="unicorn"), VOC_CLASSES)
    assert view.focus == ""
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("label=cats&label=", "Folder: (none), cats"),
        ("share.cat=0.1..1", "Share of cat: 10\xa0% to 100\xa0%"),
        ("confidence=0.5..", "Confidence: 0.50 to 1.00"),
        ("share.cat=0.1..<0.2", "Share of cat: 10\xa0% to 20\xa0%"),
        ("blobs.cat=2..", "Regions of cat: 2 or more"),
        ("blobs.cat=1", "Regions of cat: 1"),
        ("width=1000..1999", "Photo width (px): 1,000 to 1,999"),
        ("path=a%20b", "Path contains: a b"),
        ("tag=keep&tag=", "Tag: (none), keep"),
        ("agreement=contradicts&agreement=", "Folder and content agree? folder names no class, disagree"),
        ("low_margin=0..0.1", "Undecided pixels: 0\xa0% to 10\xa0%"),
    ],
)
def test_a_chip_says_its_filter(where, words):
    ((key, value),) = Filters.decode(where).items()
    assert describe_filter(key, value) == words


def test_cells_of_two_classes_become_filters():
    assert with_both_present(Filters(), "cat", "dog", 0.005).encode() == "share.cat=0.005..1&share.dog=0.005..1"
    assert with_both_present(Filters(), "cat", "cat", 0.005).encode() == "share.cat=0.005..1"


def test_a_sort_names_the_class_it_sorts_by():
    assert sort_label("-share", "cat") == "largest share of cat first"
    assert sort_label("path", "cat") == "by path"
