"""Every filter and every expression chooses the same rows by pandas and by SQL."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from seglib.errors import SegError
from seglib.query.expressions.nodes import And, Comparison, Not, Operator, Or
from seglib.query.expressions.writing import to_text
from seglib.query.fields import Kind, list_fields
from seglib.query.filter_text import MAX_COUNT, next_below
from seglib.query.filters import FILTERS, Filters, select
from tests.seglib.query.prepared.frames import CLASSES, NAMES, TEXTS, prepare_frame, random_frame

pytest.importorskip("duckdb", reason="the extra `large` is not installed")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory):
    return prepare_frame(tmp_path_factory.mktemp("prepared") / "store", random_frame(3))


def names(*choices: str) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(choices), min_size=1, max_size=3).map(tuple)


bounds = st.sampled_from([0.0, 0.004, 0.005, 0.1, next_below(0.1), 0.2, next_below(0.5), 0.5, 0.7, 0.9, 1.0])
units = st.tuples(bounds, bounds)
counts = st.tuples(st.sampled_from([0, 1, 3, 480]), st.sampled_from([3, 480, 640, MAX_COUNT]))
VALUES: dict[str, st.SearchStrategy] = {
    "dataset": names("a", "b", "c", ""),
    "split": names("train", "test", ""),
    "label": names(*NAMES, "zebra"),
    "content": names("cat", "dog", "none", "", CLASSES[3]),
    "animal": names("cat", "none", ""),
    "dominant": names(*CLASSES),
    "tag": names("good", "doubtful", "zwei Wörter", "", "none"),
    "present": names(*CLASSES),
    "agreement": names("agrees", "contradicts", "neither", ""),
    **dict.fromkeys(("confidence", "entropy", "low_margin", *(f"share.{name}" for name in CLASSES)), units),
    **dict.fromkeys(("width", "height", *(f"blobs.{name}" for name in CLASSES)), counts),
    "path": st.one_of(st.sampled_from([text.swapcase() for text in TEXTS]), st.text(min_size=1, max_size=2)),
    "column.camera": names("Canon", "it's", "", "other"),
    "column.good": st.sampled_from([("true",), ("", "FALSE"), ("true", "false"), ("",)]),
    "column.note": st.sampled_from([(text,) for text in TEXTS] + [("", "."), ("k",), ("i",)]),
    "column.iso": st.sampled_from([("100..400",), ("401..",), ("..<400", ""), ("400",), ("",), (str(2**60),)]),
    "column.focal length": st.sampled_from([("-2..35",), ("-1.5",), ("..<35",), ("35..",)]),
    "column.taken": st.sampled_from([("2024-01-31",), ("..2024-02-01",), ("..<2024-02-01",), ("1969..", "")]),
    "where": st.sampled_from(["label = cats or width < 200", "not tag = good"]),
}  # fmt: skip


def chosen(both, filters: Filters) -> tuple[list[int], list[int]]:
    frame, table = both
    return np.flatnonzero(frame.index.isin(select(frame, filters).index)).tolist(), table.sorted_rows(
        filters, "path"
    ).tolist()


def test_every_filter_takes_part():
    assert {key.partition(".")[0] for key in VALUES} == set(FILTERS)


@pytest.mark.parametrize("key", VALUES)
def test_each_filter_alone(both, key):
    @given(VALUES[key])
    @hypothesis_settings(max_examples=8, derandomize=True)
    def check(value):
        expected, found = chosen(both, Filters({key: value}))
        assert found == expected

    check()


@given(st.fixed_dictionaries({}, optional=VALUES))
@hypothesis_settings(max_examples=30)
def test_filters_together(both, values):
    expected, found = chosen(both, Filters(values))
    assert found == expected


_CHOICES: dict[Kind, list[str]] = {
    Kind.NUMBER: ["0", "0.1", "0.5", "0.005", "1"],
    Kind.INTEGER: ["0", "3", "400", "480"],
    Kind.CATEGORY: [*(name for name in NAMES if name), "cat", "none", "agrees", "CANON"],
    Kind.TEXT: [text for text in TEXTS if text],
    Kind.DATE: ["2024-01-31", "2024-02-01T12:00", "1969-12-31"],
    Kind.BOOLEAN: ["true", "false"],
    Kind.TAGS: ["good", "wörter", "O"],
}

_ORDER = (Operator.BELOW, Operator.AT_MOST, Operator.ABOVE, Operator.AT_LEAST)
_NUMBERS = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
_TEXTS = (Kind.CATEGORY, Kind.TEXT, Kind.TAGS)


def random_expression(data: st.DataObject, fields, depth: int):
    if depth and data.draw(st.booleans()):
        parts = tuple(random_expression(data, fields, depth - 1) for _ in range(data.draw(st.integers(1, 2)) + 1))
        return data.draw(st.sampled_from([And(parts), Or(parts), Not(parts[0])]))
    field = data.draw(st.sampled_from(fields))
    fits = [one for one in Operator if one not in _ORDER or field.kind in _NUMBERS]
    fits = [one for one in fits if one is not Operator.CONTAINS or field.kind in _TEXTS]
    operator = data.draw(st.sampled_from(fits if data.draw(st.integers(0, 9)) else list(Operator)))
    many = operator in (Operator.IN, Operator.NOT_IN)
    none = operator in (Operator.MISSING, Operator.NOT_MISSING)
    values = [data.draw(st.sampled_from(_CHOICES[field.kind])) for _ in range(0 if none else 2 if many else 1)]
    return Comparison(field.name, operator, tuple(values))


@given(st.data())
@hypothesis_settings(max_examples=150)
def test_expressions_choose_or_refuse_the_same(both, data):
    frame, table = both
    filters = Filters({"where": to_text(random_expression(data, list_fields(frame), 2))})
    why = refusal(select, frame, filters)
    assert refusal(table.condition, filters) == why
    if not why:
        expected, found = chosen(both, filters)
        assert found == expected


def refusal(do, *arguments) -> str:
    try:
        do(*arguments)
    except SegError as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.mark.parametrize("key", ["share.lion", "blobs.lion", "present", "column.nothing"])
def test_an_unknown_name_is_refused_in_the_same_words(both, key):
    frame, table = both
    filters = Filters({key: (0, 1) if key[0] in "sb" else ("lion",)})
    assert refusal(table.condition, filters) == refusal(select, frame, filters) != ""
