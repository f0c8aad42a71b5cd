"""Cut images into slices by the values of a field: categories, quartiles, whole numbers, dates, tags.

    cut = FieldValues.read(table, "column.camera").cut()
    [(one.name, len(rows)) for one, rows in zip(cut.slices, cut.rows)]

Images without a value are a slice of their own. Only tags make slices that overlap.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.evaluation.slices import ranges
from seglib.evaluation.slices.ranges import Group
from seglib.query.columns import category_codes, split_tags, to_float64
from seglib.query.fields import Field, Kind, field_values, find_field
from seglib.query.filters import Filters

MAX_SLICES = 30
"""Categories and tags beyond the most frequent ones are put together, or left out."""

_MAX_TEXTS_COMPARED = 10_000
"""With more distinct texts than this, slices of texts have no filter."""

NO_VALUE = "no value"
NO_TAG = "no tag"


@dataclass(frozen=True)
class Slice:
    """The images with one value, or one range of values, of a field."""

    name: str
    where: str | None
    """The filter that selects its images, as text (`label=cats`); None if no filter does."""
    missing: bool = False
    """Whether it holds the images without a value."""


@dataclass(frozen=True, eq=False)
class FieldValues:
    """The values of a field for N images, with the dtype of the field's kind."""

    field: Field
    values: pd.Series

    @classmethod
    def read(cls, table: pd.DataFrame, name: str) -> "FieldValues":
        """Read the values from a frame of `Store.table`. Raises `UnknownName` if there is no such field."""
        return cls(find_field(table, name), field_values(table, name))

    def take(self, rows: NDArray[Any]) -> "FieldValues":
        """Select images by position, or by a bool (N,)."""
        return FieldValues(self.field, self.values.iloc[rows])

    def cut(self) -> "Cut":
        return cut_into_slices(self.values, self.field)


@dataclass(frozen=True, eq=False)
class Cut:
    """N images cut into slices: categories by frequency, numbers and dates ascending, images without a value last."""

    field: Field
    slices: tuple[Slice, ...]
    rows: tuple[NDArray[np.intp], ...]
    """Positions of each slice's images among the N, ascending."""
    images: int
    left_out: int = 0
    """Number of tags that are too rare to be a slice of their own."""

    @property
    def overlaps(self) -> bool:
        """Whether an image may be in several slices, as with tags."""
        return self.field.kind is Kind.TAGS


class _Codes(NamedTuple):
    codes: NDArray[np.integer]
    """(N,): index into `groups`; -1 without a value."""
    groups: Sequence[Group]


def cut_into_slices(values: pd.Series, field: Field) -> Cut:
    """Cut images by their values of a field, one per image, with the dtype of the field's kind.

    Categories and texts are slices as they are: the 30 most frequent, and all others together. Numbers are cut at their
    quartiles, equal numbers into the same slice; a number that at least a quarter of the images have, and each of at
    most 8 whole numbers, is a slice of its own. Dates are cut into days, weeks, months, years or decades, the finest of
    these with at most 24 slices. Tags overlap.
    """
    if field.kind is Kind.TAGS:
        return _cut_tags(values, field)
    codes, groups = _number_groups(values, field)
    slices = [Slice(name, None if text is None else _filter_text(field.name, text)) for name, text in groups]
    rows = [np.flatnonzero(codes == code) for code in range(len(groups))]
    missing = np.flatnonzero(codes < 0)
    if len(missing):
        of_names = field.kind in (Kind.CATEGORY, Kind.BOOLEAN) or field.name.startswith("column.")
        slices.append(Slice(NO_VALUE, _filter_text(field.name, "") if of_names else None, missing=True))
        rows.append(missing)
    return Cut(field, tuple(slices), tuple(rows), len(values))


def _number_groups(values: pd.Series, field: Field) -> _Codes:
    if field.kind in (Kind.NUMBER, Kind.INTEGER):
        return _cut_numbers(values, whole=field.kind is Kind.INTEGER, as_share=field.is_share)
    if field.kind is Kind.DATE:
        return _cut_dates(values)
    codes, names = category_codes(values)
    if field.kind is Kind.BOOLEAN:
        names = [name.lower() for name in names]
    return _cut_texts(codes, names) if field.kind is Kind.TEXT else _most_frequent(codes, names)


def _filter_text(key: str, text: str) -> str:
    return Filters.from_pairs([(key, text)]).encode()


def _cut_texts(codes: NDArray[np.integer], names: Sequence[str]) -> _Codes:
    cut = _most_frequent(codes, names)
    lowered = [name.lower() for name in names] if len(names) <= _MAX_TEXTS_COMPARED else []
    return _Codes(cut.codes, [Group(name, text if _finds_one(text, lowered) else None) for name, text in cut.groups])


def _finds_one(text: str | None, lowered: Sequence[str]) -> bool:
    """Whether the filter of a text, which finds all texts that contain it, finds one of these only."""
    return text is not None and sum(text.lower() in other for other in lowered) == 1


def _most_frequent(codes: NDArray[np.integer], names: Sequence[str]) -> _Codes:
    """Keep the most frequent names, and put the others together."""
    counts = np.bincount(codes[codes >= 0], minlength=len(names))
    order = sorted((i for i, name in enumerate(names) if counts[i] and name), key=lambda i: (-counts[i], names[i]))
    kept = order if len(order) <= MAX_SLICES + 1 else order[:MAX_SLICES]
    place = np.full(len(names) + 1, -1)  # the last one is for code -1
    place[kept] = np.arange(len(kept))
    groups = [Group(names[i], names[i]) for i in kept]
    if others := order[len(kept) :]:
        place[others] = len(kept)
        groups.append(Group(f"{len(others):,} others", None))
    return _Codes(place[codes], groups)


def _cut_numbers(values: pd.Series, *, whole: bool, as_share: bool) -> _Codes:
    numbers = to_float64(values)
    known = ~np.isnan(numbers)
    codes = np.full(len(numbers), -1)
    distinct, place, counts = np.unique(numbers[known], return_inverse=True, return_counts=True)
    if not len(distinct):
        return _Codes(codes, [])
    starts = ranges.start_groups(counts, whole=whole)
    codes[known] = (np.searchsorted(starts, np.arange(len(distinct)), side="right") - 1)[place]
    return _Codes(codes, ranges.name_groups(distinct, starts, whole=whole, as_share=as_share))


def _cut_dates(values: pd.Series) -> _Codes:
    days = values.to_numpy("datetime64[us]").astype("datetime64[D]")
    known = ~np.isnat(days)
    codes = np.full(len(days), -1)
    codes[known], groups = ranges.group_days(days[known])
    return _Codes(codes, groups)


def _cut_tags(values: pd.Series, field: Field) -> Cut:
    codes, joined = category_codes(values)
    tags_of = [split_tags(text) for text in joined]
    counts = np.bincount(codes[codes >= 0], minlength=len(joined))
    photos: dict[str, int] = {}
    for names, count in zip(tags_of, counts.tolist(), strict=True):
        for name in names if count else ():
            photos[name] = photos.get(name, 0) + count
    order = sorted(photos, key=lambda name: (-photos[name], name))
    slices, rows = [], []
    for name in order[:MAX_SLICES]:
        hits = np.array([*(name in names for names in tags_of), False])
        slices.append(Slice(name, _filter_text(field.name, name)))
        rows.append(np.flatnonzero(hits[codes]))
    untagged = np.flatnonzero(np.array([*(not names for names in tags_of), True])[codes])
    if len(untagged):
        slices.append(Slice(NO_TAG, _filter_text(field.name, ""), missing=True))
        rows.append(untagged)
    return Cut(field, tuple(slices), tuple(rows), len(values), max(0, len(order) - MAX_SLICES))
