"""Filter the rows of the table, and parse and format filters as URL queries.

Each entry of `FILTERS` combines key, label, codec and predicate. `Filters.decode` reads the query text that the
dashboard's URL and the `--where` option share; `select` returns the matching rows of a `Store.table` frame as a new
frame. Shares are 0..1; a class that a model does not know has no value and does not match.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import and_
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.errors import FilterError, shorten
from seglib.query.columns import label_agreement
from seglib.query.filter_kinds.base import Filter, FilterValue
from seglib.query.filter_kinds.names import ChoiceFilter, PresentFilter, TagFilter
from seglib.query.filter_kinds.ranges import ClassBlobsFilter, ClassShareFilter, CountFilter, RangeFilter
from seglib.query.filter_kinds.texts import ColumnFilter, TextFilter, WhereFilter
from seglib.query.filter_text import parse_pair
from seglib.query.sql.columns import SqlColumns
from seglib.query.sql.condition import EVERY_ROW, Condition


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    def get(table: pd.DataFrame) -> pd.Series:
        return table[name]

    return get


FILTERS: dict[str, Filter] = {
    entry.key: entry
    for entry in (
        ChoiceFilter("dataset", "Data set", _column("dataset")),
        ChoiceFilter("split", "Split", _column("split")),
        ChoiceFilter("label", "Folder", _column("label")),
        TagFilter("tag", "Tag"),
        PresentFilter("present", "Contains class"),
        ClassShareFilter("share", "Share of"),
        ClassBlobsFilter("blobs", "Regions of"),
        ChoiceFilter("content", "Content", _column("content")),
        ChoiceFilter("animal", "Animal", _column("animal")),
        ChoiceFilter("dominant", "Dominant class", _column("dominant")),
        ChoiceFilter("agreement", "Folder and content agree?", label_agreement),
        RangeFilter("confidence", "Confidence", _column("confidence")),
        RangeFilter("entropy", "Entropy", _column("entropy")),
        RangeFilter("low_margin", "Undecided pixels", _column("low_margin")),
        CountFilter("width", "Photo width (px)", _column("width")),
        CountFilter("height", "Photo height (px)", _column("height")),
        TextFilter("path", "Path contains", _column("path")),
        ColumnFilter("column", "Column"),
        WhereFilter("where", "Expression"),
    )
}


class Filters(Mapping[str, FilterValue]):
    """Immutable mapping key -> value of active filters, in the order of `FILTERS`.

    `Filters({"label": ("cats",), "share.cat": (0.1, 1.0)}).encode() == "label=cats&share.cat=0.1..1"`, and
    `Filters.decode` is the inverse. Empty values (no names, no text) are dropped; a range of 0..1 is kept, because it
    excludes rows without a value.
    """

    def __init__(self, values: Mapping[str, FilterValue] | None = None) -> None:
        checked = {key: _normalise_value(key, value) for key, value in (values or {}).items()}
        order = list(FILTERS)
        pairs = [(k, v) for k, v in checked.items() if len(v)]
        self._values = dict(sorted(pairs, key=lambda item: (order.index(find_filter(item[0])[0].key), item[0])))

    def __getitem__(self, key: str) -> FilterValue:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Filters({self.encode()!r})"

    def replace(self, key: str, value: FilterValue | None) -> "Filters":
        """A copy with this filter set to `value`, or removed if `value` is None."""
        others = {k: v for k, v in self._values.items() if k != key}
        return Filters(others if value is None else others | {key: value})

    @property
    def uses_tags(self) -> bool:
        """Whether they need the column `tags`, which a table may be read without."""
        return any(find_filter(key)[0].uses_tags(value) for key, value in self.items())

    def pairs(self) -> list[tuple[str, str]]:
        """(key, text) pairs of the URL query, before percent-encoding."""
        return [(key, text) for key, value in self.items() for text in find_filter(key)[0].encode(value)]

    def encode(self) -> str:
        return "&".join(f"{quote(key, safe='.')}={quote(text, safe='.')}" for key, text in self.pairs())

    @classmethod
    def decode(cls, text: str) -> "Filters":
        """Parse a URL query. Raises `FilterError` at the first invalid part.

        As in every URL, `+` means a space, and `%2B`, `%26` and `%25` mean `+`, `&` and `%`. A `+` where no name has a
        space is refused rather than guessed.
        """
        text = text.strip().removeprefix("?")
        return cls.from_pairs(parse_pair(part, text, FILTERS) for part in text.split("&")) if text else cls()

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> "Filters":
        texts: dict[str, list[str]] = {}
        for key, text in pairs:
            texts.setdefault(key, []).append(text)
        return cls({key: find_filter(key)[0].decode(values) for key, values in texts.items()})


def find_filter(key: str) -> tuple[Filter, str]:
    """`share.cat` -> (entry `share`, "cat"); `label` -> (entry `label`, ""). Raises `FilterError`."""
    group, _, name = key.partition(".")
    entry = FILTERS.get(group)
    if entry is None or bool(entry.suffix) != bool(name):
        known = ", ".join(f"{k}.<{e.suffix}>" if e.suffix else k for k, e in FILTERS.items())
        raise FilterError(f"There is no filter {shorten(key)!r}; known are: {known}.")
    return entry, name


def select(table: pd.DataFrame, filters: Filters | str) -> pd.DataFrame:
    """Select the rows that match every filter.

    Args:
        table: A frame of `Store.table`.
        filters: Conditions, as `Filters({"label": ("cats",)})`, or as the text of `--where`, such as
            `label = cats or share.cat > 10%`.

    Returns:
        A new frame with the matching rows in their original order. A row without a value matches no range.

    Raises:
        UnknownName: A filter names a class that no model in the table knows.
        FilterError: The text is no expression, or does not fit the table.

    Example:
        cats = seglib.select(table, "share.cat >= 10% and not label = cats")
    """
    if isinstance(filters, str):
        from seglib.query.expressions.where import read_where

        filters = read_where(filters)
    keep = np.ones(len(table), bool)
    for key, value in filters.items():
        keep &= passes_filter(table, key, value)
    return table[keep]


def passes_filter(table: pd.DataFrame, key: str, value: FilterValue) -> NDArray[np.bool_]:
    """bool (rows,): whether each row matches this filter."""
    entry, class_name = find_filter(key)
    matches: NDArray[np.bool_] = entry.matches(table, value, class_name).to_numpy(bool, na_value=False)
    return matches


def filters_condition(filters: Filters, columns: SqlColumns) -> Condition:
    """The rows of a prepared table that match every filter; raises as `select` does."""
    return reduce(and_, (filter_condition(columns, key, value) for key, value in filters.items()), EVERY_ROW)


def filter_condition(columns: SqlColumns, key: str, value: FilterValue) -> Condition:
    """The rows of a prepared table that match this filter."""
    entry, class_name = find_filter(key)
    return entry.condition(columns, value, class_name)


def _normalise_value(key: str, value: FilterValue) -> FilterValue:
    """Normalize a value by encoding and decoding it with its filter."""
    entry, _ = find_filter(key)
    return entry.decode(entry.encode(value)) if len(value) else ()
