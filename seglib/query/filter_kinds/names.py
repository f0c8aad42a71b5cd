"""Filters by names: categories, the classes present, and tags."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Any

import numpy as np
import pandas as pd

from seglib.query.columns import category_codes, is_present, split_tags
from seglib.query.filter_kinds.base import Filter
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import NO_ROW, Condition


class NamesFilter(Filter):
    """Matches any of the chosen names."""

    def decode(self, texts: list[str]) -> tuple[str, ...]:
        return tuple(sorted(set(texts)))


@dataclass(frozen=True)
class ChoiceFilter(NamesFilter):
    """Matches values of a column; the empty text matches rows without a value."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        codes, names = category_codes(self.column(table))
        chosen = np.array([*(name in value for name in names), "" in value])  # the last one is for code -1 (null)
        return pd.Series(chosen[codes], table.index)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return columns.has_category(self.key, value.__contains__, missing="" in value)


@dataclass(frozen=True)
class PresentFilter(NamesFilter):
    """Matches rows where any of the chosen classes is present."""

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        is_match = pd.Series(False, table.index)
        for class_name in value:
            is_match |= is_present(table, class_name)
        return is_match

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return reduce(or_, (columns.present(class_name) for class_name in value), NO_ROW)


@dataclass(frozen=True)
class TagFilter(NamesFilter):
    """Matches any of the chosen tags; the empty text matches untagged images."""

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        column = table["tags"].astype("category")
        hits = [not set(split_tags(joined)).isdisjoint(value) for joined in column.cat.categories]
        return pd.Series(np.array([*hits, "" in value])[column.cat.codes.to_numpy()], table.index)

    def condition(self, columns: SqlColumns, value: Any, name: str) -> Condition:
        return columns.has_tag(lambda joined: not set(split_tags(joined)).isdisjoint(value), missing="" in value)

    def uses_tags(self, value: Any) -> bool:
        return True
