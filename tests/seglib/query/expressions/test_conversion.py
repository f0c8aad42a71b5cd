"""Every combination of filters can be written as an expression that chooses the same rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.query.expressions.conversion import from_filters
from seglib.query.expressions.evaluation import evaluate
from seglib.query.expressions.parsing import parse
from seglib.query.expressions.writing import to_text
from seglib.query.filter_text import MAX_COUNT, next_below
from seglib.query.filters import FILTERS, Filters, select
from tests.seglib.query.expressions.test_evaluation import TABLE

FRAME = TABLE.assign(
    **dict.fromkeys(("dataset", "split"), TABLE["label"]),
    **dict.fromkeys(("animal", "dominant"), TABLE["content"]),
    **dict.fromkeys(("entropy", "low_margin"), TABLE["confidence"]),
    **{"height": TABLE["width"], "blobs:cat": TABLE["column:iso"]},
)


def names(*choices: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=3).map(tuple)


shares = st.sampled_from([0.0, 0.01, 0.1, next_below(0.1), next_below(0.5), 0.5, 0.7, 0.9, 1.0])
units = st.tuples(shares, shares)
counts = st.tuples(st.sampled_from([0, 1, 100, 480]), st.sampled_from([100, 480, 640, MAX_COUNT]))
label = names("cats", "dogs", "", "zebra")
VALUES: dict[str, st.SearchStrategy] = {
    **dict.fromkeys(("dataset", "split", "label"), label),
    **dict.fromkeys(("content", "animal", "dominant"), names("cat", "dog", "none", "")),
    **dict.fromkeys(("confidence", "entropy", "low_margin", "share.cat", "share.dining table"), units),
    **dict.fromkeys(("width", "height", "blobs.cat"), counts),
    "tag": names("good", "doubtful", "two words", "", "none"),
    "present": names("cat", "dining table"),
    "agreement": names("agrees", "contradicts", "neither", ""),
    "path": st.sampled_from(["cats", "A", "/", "x y"]),
    "column.camera": names("Canon", "Nikon", "", "other"),
    "column.good": st.sampled_from([("true",), ("", "FALSE"), ("true", "false"), ("",)]),
    "column.note": st.sampled_from([("blurred",), ("", "."), ("",)]),
    "column.iso": st.sampled_from([("100..400",), ("401..",), ("..<400", ""), ("400",), ("",)]),
    "column.focal length": st.sampled_from([("-2..35",), ("-1.5",), ("..<35",)]),
    "column.taken": st.sampled_from(
        [("2024-01-31",), ("2024..2024-02-01",), ("..<2024-02-01",), ("2024-02-01T00:00..", "")]
    ),
    "where": st.sampled_from(["label = cats or width < 200", "not tag = good"]),
}  # fmt: skip


def test_every_filter_takes_part():
    assert {key.partition(".")[0] for key in VALUES} == set(FILTERS)


@given(st.fixed_dictionaries({}, optional=VALUES))
def test_filters_and_their_expression_choose_the_same_rows(values):
    filters = Filters(values)
    expression = from_filters(filters, FRAME)
    expected = list(select(FRAME, filters).index)
    if expression is None:
        assert not filters
        return
    assert evaluate(expression, FRAME).nonzero()[0].tolist() == expected
    assert parse(to_text(expression)) == expression


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("label=cats&share.cat=0.1..1", "label = cats and (share.cat >= 0.1 and share.cat <= 1)"),
        ("share.cat=0.1..<0.2", "share.cat >= 0.1 and share.cat < 0.2"),
        ("label=&label=cats&label=dogs", "label in (cats, dogs) or label is missing"),
        ("column.taken=..<2024-02-01", "column.taken < 2024-02-01T00:00:00.000000"),
        ("width=480&path=a%20b", 'width = 480 and path contains "a b"'),
    ],
)  # fmt: skip
def test_the_text_reads_as_one_would_write_it(query, text):
    expression = from_filters(Filters.decode(query), FRAME)
    assert expression is not None
    assert to_text(expression) == text
