"""Filter the rows of the table, and parse and format filters as URL queries.

Each entry of `FILTERS` combines key, label, codec and predicate. `Filters.decode` reads the query text that the
dashboard's URL and the `--where` option share; `select` returns the matching rows of a `Store.table` frame as a new
frame. Shares are 0..1; a class that a model does not know has no value and does not match.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.errors import FilterError, UnknownName, shorten
from seglib.query.column_filter import match_column
from seglib.query.columns import (
    category_codes,
    class_blobs,
    class_share,
    is_present,
    label_agreement,
    split_tags,
    to_float64,
)
from seglib.query.fields import COLUMN_PREFIX, own_columns
from seglib.query.filter_text import (
    MAX_COUNT,
    format_number,
    format_upper_end,
    next_below,
    parse_pair,
    parse_whole_number,
)

FilterValue = tuple[str, ...] | tuple[float, float] | str
"""Value of a filter: chosen names (`""` means null), a range that includes both ends, or a text."""


@dataclass(frozen=True)
class Filter(ABC):
    """One kind of filter: URL key, page label, codec and predicate."""

    key: str
    label: str

    suffix: ClassVar[str] = ""
    """What the key is followed by after a dot, as in `share.cat` and `column.camera`: "class", "column", or nothing."""

    @abstractmethod
    def decode(self, texts: list[str]) -> FilterValue:
        """Parse all texts given for this key. Raises `FilterError`."""

    def encode(self, value: FilterValue) -> list[str]:
        return [value] if isinstance(value, str) else [str(v) for v in value]

    @abstractmethod
    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        """bool per row; `name` is what follows the dot in the key, if anything."""

    def uses_tags(self, value: Any) -> bool:
        """Whether it needs the column `tags`, which a table may be read without."""
        return False


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


@dataclass(frozen=True)
class PresentFilter(NamesFilter):
    """Matches rows where any of the chosen classes is present."""

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        is_match = pd.Series(False, table.index)
        for class_name in value:
            is_match |= is_present(table, class_name)
        return is_match


@dataclass(frozen=True)
class TagFilter(NamesFilter):
    """Matches any of the chosen tags; the empty text matches untagged images."""

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        column = table["tags"].astype("category")
        hits = [not set(split_tags(joined)).isdisjoint(value) for joined in column.cat.categories]
        return pd.Series(np.array([*hits, "" in value])[column.cat.codes.to_numpy()], table.index)

    def uses_tags(self, value: Any) -> bool:
        return True


class UnitRangeFilter(Filter):
    """Range within 0..1 that includes both ends: `0.1..0.9`, `0.1..`, `..0.9`. Rows without a value do not match.

    `0.1..<0.2` excludes 0.2, so that adjacent bins share no row: the upper end becomes the next smaller float.
    """

    def decode(self, texts: list[str]) -> tuple[float, float]:
        low_text, dots, high_text = texts[-1].partition("..")
        try:
            low, high = float(low_text or 0), float(high_text.removeprefix("<") or 1)
        except ValueError:
            low, high = math.nan, math.nan
        if high_text.startswith("<"):
            high = next_below(high)
        if not dots or not (0 <= low <= 1 and 0 <= high <= 1):
            raise FilterError(f"{self.key} is a range within 0..1 such as 0.1..0.9, not {shorten(texts[-1])!r}.")
        return min(low, high), max(low, high)

    def encode(self, value: FilterValue) -> list[str]:
        low, high = (float(end) for end in value)
        return [f"{format_number(low)}..{format_upper_end(high)}"]


@dataclass(frozen=True)
class ClassShareFilter(UnitRangeFilter):
    """Range of the share of one class: `share.cat=0.1..1`."""

    suffix: ClassVar[str] = "class"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(class_share(table, name), value)


@dataclass(frozen=True)
class RangeFilter(UnitRangeFilter):
    """Range of a column with values 0..1."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(self.column(table), value)


class CountRangeFilter(Filter):
    """Integer range that includes both ends: `1..3`, `2..`, `..3`, `2`. Rows without a value do not match."""

    def decode(self, texts: list[str]) -> tuple[int, int]:
        low_text, dots, high_text = texts[-1].partition("..")
        try:
            low = parse_whole_number(low_text or "0" * len(dots))
            high = parse_whole_number(high_text or str(MAX_COUNT)) if dots else low
        except ValueError:
            raise FilterError(
                f"{self.key} is a range of whole numbers such as 1..3, 2.. or 2, not {shorten(texts[-1])!r}."
            ) from None
        return min(low, high), max(low, high)

    def encode(self, value: FilterValue) -> list[str]:
        low, high = (int(end) for end in value)
        return [str(low) if low == high else f"{low or ''}..{'' if high == MAX_COUNT else high}"]


@dataclass(frozen=True)
class CountFilter(CountRangeFilter):
    """Range of an integer column."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(self.column(table), value)


@dataclass(frozen=True)
class ClassBlobsFilter(CountRangeFilter):
    """Range of the number of connected regions of one class: `blobs.cat=2..`."""

    suffix: ClassVar[str] = "class"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return _in_range(class_blobs(table, name), value)


@dataclass(frozen=True)
class TextFilter(Filter):
    """Matches if the column contains this text, ignoring case."""

    column: Callable[[pd.DataFrame], pd.Series]

    def decode(self, texts: list[str]) -> str:
        return texts[-1]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return self.column(table).astype("str").str.contains(value, case=False, regex=False)


@dataclass(frozen=True)
class ColumnFilter(NamesFilter):
    """Matches an own column by texts or by a range, as its kind asks for; see `column_filter`."""

    suffix: ClassVar[str] = "column"

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        if COLUMN_PREFIX + name not in table:
            raise UnknownName("column", name, own_columns(table))
        return pd.Series(match_column(table[COLUMN_PREFIX + name], value, f"{self.key}.{name}"), table.index)


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

    def uses_tags(self, value: Any) -> bool:
        from seglib.query.expressions.nodes import comparisons
        from seglib.query.expressions.parsing import parse

        return any(one.name == "tag" for one in comparisons(parse(value)))


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


def _normalise_value(key: str, value: FilterValue) -> FilterValue:
    """Normalize a value by encoding and decoding it with its filter."""
    entry, _ = find_filter(key)
    return entry.decode(entry.encode(value)) if len(value) else ()


def _in_range(column: pd.Series, value: tuple[float, float]) -> pd.Series:
    """bool per row: whether the value is in the range; False for null."""
    numbers = to_float64(column)
    return pd.Series((numbers >= value[0]) & (numbers <= value[1]), column.index)
