"""Apply an expression to a table: one bool per row, computed column by column; or to a prepared table, by SQL.

Values are read by the kind of their field, and what does not fit it is refused: `width = wide`, `label > 3`.

Rows without a value: every comparison with them is False, and `is missing` is True. `not` and `!=` are the plain
opposite, so `not agreement = agrees` and `agreement != agrees` hold for photos without an agreement, as in pandas.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.column_filter import as_numbers
from seglib.query.columns import category_codes, classes_of, is_present, split_tags, to_float64
from seglib.query.expressions.literals import read_boolean, read_name, read_value
from seglib.query.expressions.names import PRESENT, closest, describe_choice, resolve_field
from seglib.query.expressions.nodes import And, Comparison, Expression, ExpressionError, Not, Operator, Or, comparisons
from seglib.query.expressions.quoting import write_name, write_value
from seglib.query.fields import Field, Kind, field_values
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import Condition, compare, contains_text, is_in, is_missing

Flags = NDArray[np.bool_]
"""bool (rows,)."""

_T = TypeVar("_T")

_OPPOSITES = {
    Operator.NOT_EQUALS: Operator.EQUALS,
    Operator.NOT_IN: Operator.IN,
    Operator.NOT_MISSING: Operator.MISSING,
}
_EQUAL = (Operator.EQUALS, Operator.IN)
_ORDER = (Operator.BELOW, Operator.AT_MOST, Operator.ABOVE, Operator.AT_LEAST)
_NAME_OPERATORS = (*_EQUAL, Operator.CONTAINS, Operator.MISSING)
_NUMBER_OPERATORS = (*_EQUAL, *_ORDER, Operator.MISSING)


def evaluate(expression: Expression, table: pd.DataFrame) -> Flags:
    """bool (rows,): whether the expression holds for each row of a `Store.table` frame.

    Raises `ExpressionError` for a field that the table lacks, and for a value or an operator that does not fit its
    field.
    """
    match expression:
        case Comparison():
            return _compare(expression, table)
        case Not(part):
            return ~evaluate(part, table)
        case And(parts):
            return reduce(np.logical_and, (evaluate(part, table) for part in parts))
        case Or(parts):
            return reduce(np.logical_or, (evaluate(part, table) for part in parts))


def to_condition(expression: Expression, columns: SqlColumns) -> Condition:
    """The rows of a prepared table for which the expression holds; raises as `evaluate` does."""
    match expression:
        case Comparison():
            return _compare_in_sql(expression, columns)
        case Not(part):
            return ~to_condition(part, columns)
        case And(parts):
            return reduce(and_, (to_condition(part, columns) for part in parts))
        case Or(parts):
            return reduce(or_, (to_condition(part, columns) for part in parts))


def describe_unknown_names(expression: Expression, table: pd.DataFrame) -> list[str]:
    """A sentence for each name that the expression compares with and that no row has, such as `No photo has label =
    dgos; did you mean dogs?`
    """
    sentences = []
    for one in comparisons(expression):
        if one.name == PRESENT or one.operator in (Operator.CONTAINS, *_ORDER):
            continue
        field = resolve_field(one, table)
        if field.kind not in (Kind.CATEGORY, Kind.TAGS) or field.name == "agreement":
            continue
        known = _known_names(field_values(table, field.name), field)
        for text in one.values:
            if text not in known:
                similar = closest(text, known)
                hint = f"; did you mean {write_value(similar)}?" if similar is not None else "."
                sentences.append(f"No photo has {write_name(one.name)} = {write_value(text)}{hint}")
    return sentences


def _known_names(values: pd.Series, field: Field) -> list[str]:
    names = category_codes(values)[1]
    return sorted({name for joined in names for name in split_tags(joined)}) if field.kind is Kind.TAGS else names


# --- one comparison ----------------------------------------------------------------------------------------------


def _compare(comparison: Comparison, table: pd.DataFrame) -> Flags:
    operator = _OPPOSITES.get(comparison.operator, comparison.operator)
    if comparison.name == PRESENT:
        _check_operator(comparison, operator, "names classes", _EQUAL)
        passes = _match_present(table, comparison)
    else:
        field = resolve_field(comparison, table)
        kind = _KINDS[field.kind]
        _check_operator(comparison, operator, kind.what, kind.operators)
        values = field_values(table, field.name)
        is_missing = operator is Operator.MISSING
        passes = _is_missing(values) if is_missing else kind.matches(values, field, operator, comparison)
    return passes if operator is comparison.operator else ~passes


def _compare_in_sql(comparison: Comparison, columns: SqlColumns) -> Condition:
    operator = _OPPOSITES.get(comparison.operator, comparison.operator)
    if comparison.name == PRESENT:
        _check_operator(comparison, operator, "names classes", _EQUAL)
        passes = reduce(or_, map(columns.present, _read_classes(comparison, columns.classes)))
    else:
        field = resolve_field(comparison, columns.head)
        kind = _KINDS[field.kind]
        _check_operator(comparison, operator, kind.what, kind.operators)
        if operator is not Operator.MISSING:
            passes = kind.condition(columns, field, operator, comparison)
        elif field.kind is Kind.TAGS:
            passes = columns.has_tag(lambda _: False, missing=True)
        else:
            passes = is_missing(columns.value(field.name))
    return passes if operator is comparison.operator else ~passes


def _check_operator(comparison: Comparison, operator: Operator, what: str, operators: tuple[Operator, ...]) -> None:
    if operator not in operators:
        name, allowed = write_name(comparison.name), ", ".join(operators)
        reason = f"{name} {what}, so it cannot be compared by {comparison.operator}, only by {allowed}."
        raise ExpressionError(name, comparison.place, reason)


def _read_values(comparison: Comparison, read: Callable[[str], _T]) -> list[_T]:
    """The comparison's values; says at which one a `ValueError` of `read` arose."""
    found = []
    for index, text in enumerate(comparison.values):
        try:
            found.append(read(text))
        except ValueError as error:
            raise ExpressionError(write_value(text), comparison.value_place(index), str(error)) from None
    return found


def _is_missing(values: pd.Series) -> Flags:
    missing: Flags = values.isna().to_numpy(bool)
    return missing


def _match_numbers(values: pd.Series, field: Field, operator: Operator, comparison: Comparison) -> Flags:
    """Also of dates, as microseconds."""
    numbers = as_numbers(values) if field.kind is Kind.DATE else to_float64(values)
    ranges = _read_values(comparison, lambda text: read_value(text, field))
    if operator in _EQUAL:
        return reduce(np.logical_or, (one.contains(numbers) for one in ranges))
    wanted, passes = ranges[0], np.zeros(0, bool)
    match operator:
        case Operator.BELOW:
            passes = numbers < wanted.low
        case Operator.AT_LEAST:
            passes = numbers >= wanted.low
        case Operator.AT_MOST:
            passes = numbers < wanted.high if wanted.below else numbers <= wanted.high
        case Operator.ABOVE:
            passes = numbers >= wanted.high if wanted.below else numbers > wanted.high
    return passes


def _number_condition(columns: SqlColumns, field: Field, operator: Operator, comparison: Comparison) -> Condition:
    column = columns.number(field.name)
    ranges = _read_values(comparison, lambda text: read_value(text, field))
    if operator in _EQUAL:
        return reduce(or_, (one.condition(column) for one in ranges))
    wanted = ranges[0]
    match operator:
        case Operator.BELOW | Operator.AT_LEAST:
            return compare(column, operator, wanted.low)
        case Operator.AT_MOST:
            return compare(column, "<" if wanted.below else "<=", wanted.high)
        case _:
            return compare(column, ">=" if wanted.below else ">", wanted.high)


def _match_names(values: pd.Series, field: Field, operator: Operator, comparison: Comparison) -> Flags:
    codes, names = category_codes(values)
    is_hit, missing = _name_test(field, operator, comparison)
    return _by_code([is_hit(name) for name in names], codes, missing=missing)


def _name_condition(columns: SqlColumns, field: Field, operator: Operator, comparison: Comparison) -> Condition:
    is_hit, missing = _name_test(field, operator, comparison)
    return columns.has_category(field.name, is_hit, missing=missing)


def _name_test(field: Field, operator: Operator, comparison: Comparison) -> tuple[Callable[[str], bool], bool]:
    """(whether a name passes, whether no name does)."""
    if operator is Operator.CONTAINS:
        part = comparison.values[0].casefold()
        return lambda name: part in name.casefold(), False
    wanted = set(_read_values(comparison, lambda text: read_name(text, field)))
    return wanted.__contains__, "" in wanted


def _match_booleans(values: pd.Series, _: Field, __: Operator, comparison: Comparison) -> Flags:
    codes, names = category_codes(values)
    wanted = set(_read_values(comparison, read_boolean))
    return _by_code([name.lower() in wanted for name in names], codes)


def _boolean_condition(columns: SqlColumns, field: Field, _: Operator, comparison: Comparison) -> Condition:
    return is_in(columns.value(field.name), {text == "true" for text in _read_values(comparison, read_boolean)})


def _match_tags(values: pd.Series, field: Field, operator: Operator, comparison: Comparison) -> Flags:
    """Whether a row has one of the tags, or a tag that contains the text."""
    codes, names = category_codes(values)
    is_hit, _ = _name_test(field, operator, comparison)
    return _by_code([any(map(is_hit, split_tags(joined))) for joined in names], codes)


def _tag_condition(columns: SqlColumns, field: Field, operator: Operator, comparison: Comparison) -> Condition:
    is_hit, _ = _name_test(field, operator, comparison)
    return columns.has_tag(lambda joined: any(map(is_hit, split_tags(joined))))


def _match_texts(values: pd.Series, field: Field, operator: Operator, comparison: Comparison) -> Flags:
    texts = values.astype("str")
    if operator is Operator.CONTAINS:
        passes = texts.str.contains(comparison.values[0], case=False, regex=False)
    else:
        passes = texts.isin(_read_values(comparison, lambda text: read_name(text, field)))
    flags: Flags = passes.to_numpy(bool, na_value=False)
    return flags & ~_is_missing(values)


def _text_condition(columns: SqlColumns, field: Field, operator: Operator, comparison: Comparison) -> Condition:
    column = columns.value(field.name)
    if operator is Operator.CONTAINS:
        return contains_text(column, comparison.values[0])
    return is_in(column, _read_values(comparison, lambda text: read_name(text, field)))


def _match_present(table: pd.DataFrame, comparison: Comparison) -> Flags:
    """Whether at least one of the classes is present."""
    names = _read_classes(comparison, classes_of(table))
    return reduce(np.logical_or, (is_present(table, name).to_numpy(bool) for name in names))


def _read_classes(comparison: Comparison, known: list[str]) -> list[str]:
    def read_class(text: str) -> str:
        if text not in known:
            raise ValueError(f"no model of this table knows this class; {describe_choice(text, known)}")
        return text

    return _read_values(comparison, read_class)


def _by_code(hits: list[bool], codes: NDArray[np.integer], *, missing: bool = False) -> Flags:
    """Whether the name of each row's code is a hit; code -1 is a missing name."""
    flags: Flags = np.array([*hits, missing], bool)[codes]
    return flags


@dataclass(frozen=True)
class _KindRules:
    what: str
    """What a message calls the kind."""
    operators: tuple[Operator, ...]
    """Those that it has, besides their opposites."""
    matches: Callable[[pd.Series, Field, Operator, Comparison], Flags]
    condition: Callable[[SqlColumns, Field, Operator, Comparison], Condition]
    """The same in SQL."""


_KINDS: dict[Kind, _KindRules] = {
    Kind.NUMBER: _KindRules("is a number", _NUMBER_OPERATORS, _match_numbers, _number_condition),
    Kind.INTEGER: _KindRules("is a whole number", _NUMBER_OPERATORS, _match_numbers, _number_condition),
    Kind.DATE: _KindRules("is a date", _NUMBER_OPERATORS, _match_numbers, _number_condition),
    Kind.CATEGORY: _KindRules("is a name", _NAME_OPERATORS, _match_names, _name_condition),
    Kind.TEXT: _KindRules("is a text", _NAME_OPERATORS, _match_texts, _text_condition),
    Kind.TAGS: _KindRules("is a set of names", _NAME_OPERATORS, _match_tags, _tag_condition),
    Kind.BOOLEAN: _KindRules("is true or false", (*_EQUAL, Operator.MISSING), _match_booleans, _boolean_condition),
}
"""How the fields of each kind are compared."""
