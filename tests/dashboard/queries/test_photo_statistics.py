"""Every statistic of a page equals the library's over the same rows, and is computed once per selection."""

import pytest

from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import RunSource, open_store, photo_query
from seglib.query import columns, histograms, statistics
from seglib.query.filters import Filters, select

STATISTICS = [
    (photo_statistics.key_figures, (), statistics.key_figures),
    (photo_statistics.class_distribution, (), statistics.class_distribution),
    (photo_statistics.count_present, (), lambda frame: statistics.class_distribution(frame)["present"].to_dict()),
    (photo_statistics.co_occurrence, (), statistics.co_occurrence),
    (photo_statistics.folder_vs_content, (), statistics.folder_vs_content),
    (photo_statistics.classes_of_labels, (), statistics.classes_of_labels),
    (
        photo_statistics.count_contradictions,
        (),
        lambda frame: int((columns.label_agreement(frame) == "contradicts").sum()),
    ),
    (photo_statistics.share_by_label, (), histograms.share_by_label),
    (
        photo_statistics.share_spread_by_label,
        ("cat",),
        lambda frame: histograms.share_spread_by_label(frame, "cat"),
    ),
    (
        photo_statistics.share_histogram,
        ("cat",),
        lambda frame: histograms.histogram(columns.class_share(frame, "cat"), bins=10),
    ),
    *(
        (photo_statistics.measure_histogram, (measure,), lambda frame, m=measure: histograms.histogram(frame[m], 50))
        for measure in ("confidence", "low_margin", "entropy")
    ),
    (
        photo_statistics.confidence_by_share,
        ("cat",),
        lambda frame: histograms.density(frame["confidence"], columns.class_share(frame, "cat")),
    ),
    (photo_statistics.region_counts, ("cat",), lambda frame: histograms.blob_counts(frame, ["cat"])),
    (photo_statistics.image_sizes, (), histograms.image_sizes),
]
"""(cached function, its further arguments, the same statistic of the rows)."""


@pytest.fixture
def source(full) -> RunSource:
    _, version, runs = open_store(full)
    return RunSource(str(full), version, runs[-1].run)


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    ["", "label=cats", "label=cats&share.cat=0.1..1", "confidence=0.6..1&present=person&path=c", "path=nothing"],
)
def test_a_statistic_equals_the_librarys_over_the_same_rows(source, where):
    filters = Filters.decode(where)
    rows = select(photo_queries.table(source), filters)
    for ask, arguments, expected in STATISTICS:
        assert str(ask(photo_query(source, filters), *arguments)) == str(expected(rows)), ask


def test_every_statistic_is_defined_for_every_selection(source):
    for ask, arguments, _ in STATISTICS:
        for where in ("", "label=cats", "path=nothing"):
            assert ask(photo_query(source, Filters.decode(where)), *arguments) is not None, ask


def test_the_table_of_statistics_is_complete():
    module = vars(photo_statistics).items()
    cached = {name for name, value in module if getattr(value, "__module__", "") == photo_statistics.__name__}
    assert {ask.__name__ for ask, _, _ in STATISTICS} == {n for n in cached if not n.startswith("_")} - {"main_class"}


def test_a_statistic_is_computed_once_per_selection(source, monkeypatch):
    computed = []
    monkeypatch.setattr(statistics, "class_distribution", lambda frame: computed.append(len(frame)) or frame[["label"]])
    cats = Filters.decode("label=cats")
    for filters in (Filters(), cats, Filters(), cats):
        photo_statistics.class_distribution(photo_query(source, filters))
    assert computed == [6, 3]


def test_statistics_of_a_selection(source):
    assert photo_statistics.count_contradictions(photo_query(source, Filters())) == 1
    assert photo_statistics.key_figures(photo_query(source, Filters.decode("label=dogs"))).photos == 2
    bins = photo_statistics.share_histogram(photo_query(source, Filters()), "cat")
    assert bins["count"].tolist() == [4, 0, 1, 0, 0, 1, 0, 0, 0, 0]


def test_the_class_to_look_at(source):
    assert photo_statistics.main_class(photo_query(source, Filters())) == "cat"
    assert photo_statistics.main_class(photo_query(source, Filters.decode("label=others"))) == "person"
    assert photo_statistics.main_class(photo_query(source, Filters.decode("share.dog=0.1..1"))) == "dog"
    assert photo_statistics.main_class(photo_query(source, Filters.decode("path=nothing"))) == ""
