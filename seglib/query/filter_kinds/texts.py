"""Filters by a part of a text, by an own column of any kind, and by an expression."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pandas as pd

from seglib.errors import FilterError, UnknownName
from seglib.query.column_filter import column_condition, match_column
from seglib.query.fields import COLUMN_PREFIX, own_columns
from seglib.query.filter_kinds.base import Filter
from seglib.query.filter_kinds.names import NamesFilter
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import Condition, contains_text


@dataclass(frozen=True)
class TextFilter(Filter):
    """Matches if the column contains this text, ignoring case."""

    column: Callable[[pd.DataFrame], pd.Series]

    def decode(self, texts: list[str]) -> str:
        return texts[-1]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return self.column(table).astype("str").str.contains(value, case=False, regex=False)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return contains_text(columns.value(self.key), value)


@dataclass(frozen=True)
class ColumnFilter(NamesFilter):
    """Matches an own column by texts or by a range, as its kind asks for; see `column_filter`."""

    suffix: ClassVar[str] = "column"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        if COLUMN_PREFIX + name not in table:
            raise UnknownName("column", name, own_columns(table))
        return pd.Series(match_column(table[COLUMN_PREFIX + name], value, f"{self.key}.{name}"), table.index)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        if name not in own_columns(columns.head):
            raise UnknownName("column", name, own_columns(columns.head))
        return column_condition(columns, value, f"{self.key}.{name}")


@dataclass(frozen=True)
class WhereFilter(Filter):
    """Matches the rows for which an expression holds: `where=share.cat > 10% or label = dogs`; see `expressions`."""

    def decode(self, texts: list[str]) -> str:
        from seglib.query.expressions.parsing import parse

        if len(texts) > 1:
            raise FilterError(f"{self.key} is one expression, not {len(texts)}: join them by and, or by or.")
        if texts[0].strip():
            parse(texts[0])
        return texts[0].strip()

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        from seglib.query.expressions.evaluation import evaluate
        from seglib.query.expressions.parsing import parse

        return pd.Series(evaluate(parse(value), table), table.index)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        from seglib.query.expressions.evaluation import to_condition
        from seglib.query.expressions.parsing import parse

        return to_condition(parse(value), columns)

    def uses_tags(self, value: Any) -> bool:
        from seglib.query.expressions.nodes import comparisons
        from seglib.query.expressions.parsing import parse

        return any(one.name == "tag" for one in comparisons(parse(value)))
