"""Write filters as an expression that chooses the same rows."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from seglib.query.column_filter import Range, parse_range
from seglib.query.expressions.nodes import And, Comparison, Expression, Operator, Or
from seglib.query.expressions.parsing import parse
from seglib.query.fields import Kind, find_field
from seglib.query.filter_kinds.base import FilterValue
from seglib.query.filter_kinds.names import NamesFilter
from seglib.query.filter_kinds.ranges import CountRangeFilter
from seglib.query.filter_kinds.texts import WhereFilter
from seglib.query.filter_text import MAX_COUNT, format_number, format_upper_end
from seglib.query.filters import Filters, find_filter


def from_filters(filters: Filters, table: pd.DataFrame) -> Expression | None:
    """The expression that holds for the rows that pass the filters; None without any.

    The table is needed for the kinds of its own columns. Raises `SegError` as the filters would.
    """
    parts = [_from_filter(key, value, table) for key, value in filters.items()]
    return None if not parts else _join(And, parts)


def _from_filter(key: str, value: FilterValue, table: pd.DataFrame) -> Expression:
    entry, _ = find_filter(key)
    if isinstance(entry, WhereFilter):
        return parse(str(value))
    if entry.suffix == "column":
        return _from_column(key, [str(text) for text in value], find_field(table, key).kind)
    if isinstance(entry, NamesFilter):
        return _from_names(key, [str(name) for name in value])
    if isinstance(value, str):
        return Comparison(key, Operator.CONTAINS, (value,))
    low, high = (float(end) for end in value)
    is_open = isinstance(entry, CountRangeFilter) and high == MAX_COUNT
    return _from_range(key, Range(low, math.inf if is_open else high), Kind.NUMBER)


def _from_column(key: str, texts: Sequence[str], kind: Kind) -> Expression:
    wanted = [text for text in texts if text]
    if not wanted or kind in (Kind.CATEGORY, Kind.BOOLEAN):
        return _from_names(key, texts)
    one = (
        Comparison(key, Operator.CONTAINS, (wanted[0],))
        if kind is Kind.TEXT
        else _from_range(key, parse_range(wanted[0], kind, key), kind)
    )
    return _join(Or, [one, *[Comparison(key, Operator.MISSING)] * ("" in texts)])


def _from_names(key: str, names: Sequence[str]) -> Expression:
    wanted = tuple(name for name in names if name)
    parts = [Comparison(key, Operator.IN if len(wanted) > 1 else Operator.EQUALS, wanted)] if wanted else []
    return _join(Or, [*parts, *[Comparison(key, Operator.MISSING)] * ("" in names)])


def _from_range(key: str, ends: Range, kind: Kind) -> Expression:
    if ends.low == ends.high and not ends.below:
        return Comparison(key, Operator.EQUALS, (_write_low(ends.low, kind),))
    parts = []
    if math.isfinite(ends.low):
        parts.append(Comparison(key, Operator.AT_LEAST, (_write_low(ends.low, kind),)))
    if math.isfinite(ends.high):
        high = _write_high(ends.high, kind)
        below = ends.below or high.startswith("<")
        parts.append(Comparison(key, Operator.BELOW if below else Operator.AT_MOST, (high.removeprefix("<"),)))
    return _join(And, parts)


def _write_low(number: float, kind: Kind) -> str:
    return str(np.datetime64(int(number), "us")) if kind is Kind.DATE else format_number(number)


def _write_high(number: float, kind: Kind) -> str:
    """`<0.2` for the float just below 0.2."""
    return str(np.datetime64(int(number), "us")) if kind is Kind.DATE else format_upper_end(number)


def _join(node: type[And] | type[Or], parts: Iterable[Expression]) -> Expression:
    first, *more = parts
    return node((first, *more)) if more else first
