"""Pure questions about the table: filters, shares, presence, co-occurrence, folder label against animal.

In: the frame of `Store.table`. Out: new frames; the frame that came in is never changed. A filter is one entry of
`FILTERS`; its text form is the query of the dashboard's URL and the shell's `--where` alike. Shares are 0..1 and say
their n; a class that a model does not know is left out, never counted as 0. Knows nothing of files, pages or charts.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qsl, quote

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE, animal_of_label
from seglib.errors import FilterError, UnknownName, UsageError
from seglib.stats import pixels_column

Value = tuple[str, ...] | tuple[float, float] | str
"""Of a filter: chosen names (`""` stands for null), a range with both ends inside, or a text."""

AGREEMENTS: tuple[str, ...] = ("agrees", "contradicts", "neither")
"""Folder label against animal: the same animal, the other one, or the net saw neither; null where no claim is made."""


# --- columns that follow from others -----------------------------------------------------------------------------


def classes_of(table: pd.DataFrame) -> list[str]:
    """The classes that the table has pixels of, in index order."""
    return [c.removeprefix("px:") for c in table.columns if c.startswith("px:")]


def shares(table: pd.DataFrame, name: str) -> pd.Series:
    """float64, 0..1: the class's share of each row's grid; NaN where the model does not know it."""
    if pixels_column(name) not in table.columns:
        raise UnknownName("class", name, classes_of(table))
    grid = table["grid_width"].to_numpy("float64") * table["grid_height"].to_numpy("float64")
    pixels = table[pixels_column(name)].astype("Float64").to_numpy("float64", na_value=math.nan)
    return pd.Series(pixels / grid, table.index)


def present(table: pd.DataFrame, name: str) -> pd.Series:
    """bool: the class covers at least `PRESENT_SHARE` of the row's grid."""
    return shares(table, name) >= PRESENT_SHARE


def agreement(table: pd.DataFrame) -> pd.Series:
    """One of `AGREEMENTS` per row, or None."""
    claimed = (
        table["label"].astype("object").map(lambda label: animal_of_label(label) if isinstance(label, str) else None)
    )
    seen = table["animal"].astype("object").where(table["animal"].notna(), None)
    verdict = np.select([seen == claimed, seen == "none"], ["agrees", "neither"], "contradicts")
    return pd.Series(verdict, table.index, dtype="object").where(claimed.notna() & seen.notna(), None)


# --- filters -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filter(ABC):
    """One way to narrow the table: key in the URL, label on the page, codec, predicate."""

    key: str
    label: str

    per_class: ClassVar[bool] = False
    """Its key carries a class name behind a dot: `share.cat`."""

    @abstractmethod
    def decode(self, texts: list[str]) -> Value:
        """The value that these texts, all with this key, spell. Raises `FilterError`."""

    def encode(self, value: Value) -> list[str]:
        return [value] if isinstance(value, str) else [str(v) for v in value]

    @abstractmethod
    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        """bool per row; `name` is the class behind the key's dot."""


class Names(Filter):
    """Any of the chosen names."""

    def decode(self, texts: list[str]) -> tuple[str, ...]:
        return tuple(sorted(set(texts)))


@dataclass(frozen=True)
class Choice(Names):
    """The values of a column; the empty text stands for rows without a value."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        column = self.column(table).astype("object")
        return column.where(column.notna(), "").isin(value)


@dataclass(frozen=True)
class Present(Names):
    """The classes that are present."""

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        found = pd.Series(False, table.index)
        for one in value:
            found |= present(table, one)
        return found


class UnitRange(Filter):
    """Between two numbers of 0..1, both included: `0.1..0.9`, `0.1..`, `..0.9`; rows without a value do not pass."""

    def decode(self, texts: list[str]) -> tuple[float, float]:
        low_text, dots, high_text = texts[-1].partition("..")
        try:
            low, high = float(low_text or 0), float(high_text or 1)
        except ValueError:
            low, high = math.nan, math.nan
        if not dots or not (0 <= low <= 1 and 0 <= high <= 1):
            raise FilterError(f"{self.key} is a range within 0..1 such as 0.1..0.9, not {texts[-1]!r}.")
        return min(low, high), max(low, high)

    def encode(self, value: Value) -> list[str]:
        return [f"{_number(value[0])}..{_number(value[1])}"]


@dataclass(frozen=True)
class ClassRange(UnitRange):
    """The share of one class: `share.cat=0.1..1`."""

    per_class: ClassVar[bool] = True

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return shares(table, name).between(*value)


@dataclass(frozen=True)
class Range(UnitRange):
    """A column."""

    column: Callable[[pd.DataFrame], pd.Series]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return self.column(table).between(*value)


@dataclass(frozen=True)
class Text(Filter):
    """The column contains this text, upper and lower case alike."""

    column: Callable[[pd.DataFrame], pd.Series]

    def decode(self, texts: list[str]) -> str:
        return texts[-1]

    def matches(self, table: pd.DataFrame, value: Any, name: str) -> pd.Series:
        return self.column(table).astype("str").str.contains(value, case=False, regex=False)


def _column(name: str) -> Callable[[pd.DataFrame], pd.Series]:
    def get(table: pd.DataFrame) -> pd.Series:
        return table[name]

    return get


FILTERS: dict[str, Filter] = {
    entry.key: entry
    for entry in (
        Choice("dataset", "Data set", _column("dataset")),
        Choice("split", "Split", _column("split")),
        Choice("label", "Folder label", _column("label")),
        Present("present", "Contains class"),
        ClassRange("share", "Share of"),
        Choice("animal", "Animal", _column("animal")),
        Choice("dominant", "Dominant class", _column("dominant")),
        Choice("agreement", "Folder label against animal", agreement),
        Range("confidence", "Confidence", _column("confidence")),
        Range("entropy", "Entropy", _column("entropy")),
        Range("low_margin", "Low margin", _column("low_margin")),
        Text("path", "Path contains", _column("path")),
    )
}


class Filters(Mapping[str, Value]):
    """An immutable set of filters; key -> value, in the order of `FILTERS`.

    `Filters({"label": ("cats",), "share.cat": (0.1, 1.0)}).encode() == "label=cats&share.cat=0.1..1"`, and
    `Filters.decode` reads it back. An empty value (no name, no text) is no filter and is dropped; a range of 0..1
    stays, since it leaves out the rows without a value.
    """

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        checked = {key: _checked(key, value) for key, value in (values or {}).items()}
        order = list(FILTERS)
        kept = [(k, v) for k, v in checked.items() if len(v)]
        self._values = dict(sorted(kept, key=lambda item: (order.index(entry_of(item[0])[0].key), item[0])))

    def __getitem__(self, key: str) -> Value:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(tuple(self._values.items()))

    def __repr__(self) -> str:
        return f"Filters({self.encode()!r})"

    def replaced(self, key: str, value: Value | None) -> "Filters":
        """With this filter set to `value`, or taken out if None."""
        others = {k: v for k, v in self._values.items() if k != key}
        return Filters(others if value is None else others | {key: value})

    def pairs(self) -> list[tuple[str, str]]:
        """(key, text) for each value, decoded: what a URL's query says."""
        return [(key, text) for key, value in self.items() for text in entry_of(key)[0].encode(value)]

    def encode(self) -> str:
        return "&".join(f"{quote(key, safe='.')}={quote(text, safe='.')}" for key, text in self.pairs())

    @classmethod
    def decode(cls, text: str) -> "Filters":
        """Raises `FilterError` at the first thing that cannot be read."""
        text = text.strip().removeprefix("?")
        if not text:
            return cls()
        try:
            return cls.from_pairs(parse_qsl(text, keep_blank_values=True, strict_parsing=True))
        except ValueError:
            raise FilterError(
                f"A filter reads key=value&key=value, not {text!r}: keys are {', '.join(FILTERS)}."
            ) from None

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> "Filters":
        texts: dict[str, list[str]] = {}
        for key, text in pairs:
            texts.setdefault(key, []).append(text)
        return cls({key: entry_of(key)[0].decode(values) for key, values in texts.items()})


def entry_of(key: str) -> tuple[Filter, str]:
    """`share.cat` -> (the entry `share`, "cat"); `label` -> (the entry `label`, "")."""
    name, _, class_name = key.partition(".")
    entry = FILTERS.get(name)
    if entry is None or entry.per_class != bool(class_name):
        known = ", ".join(f"{k}.<class>" if e.per_class else k for k, e in FILTERS.items())
        raise FilterError(f"There is no filter {key!r}; known are: {known}.")
    return entry, class_name


def select(table: pd.DataFrame, filters: Filters) -> pd.DataFrame:
    """The rows that pass every filter, in their order."""
    keep = pd.Series(True, table.index)
    for key, value in filters.items():
        entry, class_name = entry_of(key)
        keep &= entry.matches(table, value, class_name).fillna(False).astype(bool)
    return table[keep]


def _checked(key: str, value: Value) -> Value:
    """The value as the entry's own codec would give it back."""
    entry, _ = entry_of(key)
    return entry.decode(entry.encode(value)) if len(value) else ()


def _number(value: object) -> str:
    return repr(float(str(value))).removesuffix(".0")


# --- questions ---------------------------------------------------------------------------------------------------


def class_distribution(table: pd.DataFrame) -> pd.DataFrame:
    """Per class, over the photos of one run: mean_share, mean_share_when_present, present (photos), presence, n.

    n counts the photos whose model knows the class; without any (or without a photo where it is present) the means
    are None, not 0.
    """
    _one_run(table)
    rows = []
    for name in classes_of(table):
        share = shares(table, name).dropna()
        there = share[share >= PRESENT_SHARE]
        rows.append(
            {
                "class": name,
                "mean_share": _mean(share),
                "mean_share_when_present": _mean(there),
                "present": len(there),
                "presence": len(there) / len(share) if len(share) else None,
                "n": len(share),
            }
        )
    columns = ["class", "mean_share", "mean_share_when_present", "present", "presence", "n"]
    return pd.DataFrame(rows, columns=columns).set_index("class")


def co_occurrence(table: pd.DataFrame) -> pd.DataFrame:
    """int64 (C, C): photos of one run in which both classes are present; the diagonal counts the class itself."""
    _one_run(table)
    names = classes_of(table)
    there = (
        np.column_stack([present(table, n) for n in names]).astype(np.int64) if names else np.zeros((0, 0), np.int64)
    )
    return pd.DataFrame(there.T @ there, index=names, columns=names)


def folder_against_animal(table: pd.DataFrame) -> pd.DataFrame:
    """int64: photos of one run per folder label (rows; `""` without one) and animal (columns cat, dog, none)."""
    _one_run(table)
    label = table["label"].astype("object")
    counts = pd.crosstab(label.where(label.notna(), ""), table["animal"].astype("object"))
    return counts.reindex(columns=[*ANIMALS, "none"], fill_value=0).rename_axis(index="label", columns="animal")


@dataclass(frozen=True)
class KeyFigures:
    photos: int
    mean_foreground_share: float | None
    mean_confidence: float | None
    agreeing: int
    """Photos whose animal is the one that their folder claims ..."""
    claiming: int
    """... of those whose folder claims one."""


def key_figures(table: pd.DataFrame) -> KeyFigures:
    _one_run(table)
    verdict = agreement(table).dropna()
    background = (
        shares(table, BACKGROUND).dropna() if pixels_column(BACKGROUND) in table else pd.Series(dtype="float64")
    )
    return KeyFigures(
        photos=len(table),
        mean_foreground_share=_mean(1 - background),
        mean_confidence=_mean(table["confidence"].dropna()),
        agreeing=int((verdict == "agrees").sum()),
        claiming=len(verdict),
    )


def _mean(values: pd.Series) -> float | None:
    return float(values.mean()) if len(values) else None


def _one_run(table: pd.DataFrame) -> None:
    if (runs := table["run"].nunique()) > 1:
        raise UsageError(
            f"This table holds {runs} runs, which would count each photo {runs} times: choose one run first."
        )


# --- questions of the charts: small answers, whatever the number of rows -----------------------------------------


def share_by_label(table: pd.DataFrame) -> pd.DataFrame:
    """Per folder label (`""` without one) of one run: n, and the mean share of each class, NaN where none knows it."""
    _one_run(table)
    label = table["label"].astype("object")
    groups = label.where(label.notna(), "").rename("label")
    columns = {name: shares(table, name) for name in classes_of(table)}
    means = pd.DataFrame(columns, index=table.index, columns=list(columns), dtype="float64").groupby(groups).mean()
    means.insert(0, "n", groups.value_counts().reindex(means.index))
    return means


def histogram(values: pd.Series, bins: int = 20) -> pd.DataFrame:
    """int64 counts of values within 0..1 in equally wide bins: low, high, count. NaN is left out; 1 is in the last."""
    edges = np.linspace(0, 1, bins + 1)
    counts, _ = np.histogram(values.dropna().to_numpy("float64"), bins=edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})


def ordered(table: pd.DataFrame, column: str, *, descending: bool = False, name: str = "") -> NDArray[np.intp]:
    """Row positions sorted by a column, or by the share of class `name` if the column is `share`.

    Rows without a value come last either way; equal ones keep the table's order.
    """
    values = shares(table, name) if column == "share" else table[column]
    if values.dtype == "object" or not pd.api.types.is_numeric_dtype(values):
        values = pd.Series(pd.factorize(values.astype("object"), sort=True)[0], table.index).replace(-1, None)
    numbers = values.astype("float64").to_numpy(copy=True)
    if descending:
        numbers = -numbers
    return np.argsort(np.nan_to_num(numbers, nan=math.inf), kind="stable")
