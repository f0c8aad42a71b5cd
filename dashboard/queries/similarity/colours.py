"""The colours of a map's points by a field: categories with a legend, numbers and dates on a scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.charts.theme import class_colours
from dashboard.formatting import choice_name, count, percent
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import HASHES, RunSource, photo_query
from seglib.classes import BACKGROUND, VOC_CLASSES
from seglib.query import columns
from seglib.query.fields import Field, Kind, field_values, find_field, list_fields
from seglib.query.filters import Filters
from seglib.store.schemas import TAG_SEPARATOR

MAX_CATEGORIES = 11
"""The most frequent values that have a colour of their own; the others share one."""

MISSING_CODE, FIRST_CODE, LEVELS = 1, 2, 254
"""Codes of a photo without a value, of the first colour, and how many there are on the scale of a number."""

NO_VALUE = "no value"
_DISTINCT = ("cat", "dog", "sheep", "person", "horse", "bird", "cow", "bottle", "aeroplane", "sofa", "boat", "train")
"""Classes whose colours differ most."""

_CLASS_FIELDS = ("content", "dominant", "animal")
_SCALES = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
_CLIPPED = 0.01
"""Share of the values at either end of a scale that have the colour of its end, so that a few do not stretch it."""


@dataclass(frozen=True)
class ColourScale:
    field: Field
    categories: tuple[tuple[str, str], ...] = ()
    """(name, `#rrggbb`) of each colour from code 2 on; an empty colour is a grey."""
    low: str = ""
    high: str = ""
    """Texts at the ends of the scale of a number or date; empty for categories."""

    @property
    def is_continuous(self) -> bool:
        return self.field.kind in _SCALES


def colour_fields(source: RunSource) -> list[Field]:
    """Return the fields that can colour a map: all but the path, which is another one for each photo."""
    fields = [field for field in list_fields(photo_queries.table(source)) if field.name != "path"]
    return [*fields, Field("tag", "Tag", Kind.TAGS)]


def colour_codes(source: RunSource, field: str) -> tuple[ColourScale, NDArray[np.uint8]]:
    """Return the scale and the code, uint8 (rows,), of every photo of a run. Raises `UnknownName`."""
    return _colour_codes(source if field == "tag" else source.without_tags(), field)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _colour_codes(source: RunSource, name: str) -> tuple[ColourScale, NDArray[np.uint8]]:
    table = photo_queries.table(source)
    table = photo_queries.with_tags(source, table) if name == "tag" else table
    field, values = find_field(table, name), field_values(table, name)
    if field.kind in _SCALES:
        return _scale(field, values)
    codes, names = columns.category_codes(values.astype("category"))
    numbers = np.bincount(codes[codes >= 0], minlength=len(names))
    frequent = np.argsort(-numbers, kind="stable")[:MAX_CATEGORIES]
    frequent = frequent[numbers[frequent] > 0]
    code_of = np.full(len(names) + 1, FIRST_CODE + len(frequent), np.uint8)  # the last one is for a missing value
    code_of[frequent] = FIRST_CODE + np.arange(len(frequent))
    code_of[-1] = MISSING_CODE
    shown = [names[at] for at in frequent]
    paint = _colours(source, name, shown)
    categories = [(_category_text(field, one), colour) for one, colour in zip(shown, paint, strict=True)]
    if rest := int((numbers > 0).sum()) - len(frequent):
        categories.append((f"{count(rest)} other value{'' if rest == 1 else 's'}", ""))
    return ColourScale(field, tuple(categories)), code_of[codes]


def _colours(source: RunSource, field: str, names: Sequence[str]) -> list[str]:
    """Return the colours of classes for classes and for folders that are called like one, else any that differ."""
    of_class = class_colours(photo_queries.classes(source))
    as_class = {name: name for name in names} if field in _CLASS_FIELDS else {}
    if field == "label":
        as_class = photo_statistics.classes_of_labels(photo_query(source, Filters()))
    used: dict[str, str] = {}
    for name in names:
        colour = of_class.get(as_class.get(name, ""), "")
        if colour and colour not in used.values():
            used[name] = colour
    spare = (colour for colour in _spare_colours() if colour not in used.values())
    return [used.get(name) or next(spare) for name in names]


def _spare_colours() -> list[str]:
    """Return twice as many as there are categories, those that differ most first, so that enough are left."""
    colours = class_colours(VOC_CLASSES)
    return [colours[name] for name in dict.fromkeys([*_DISTINCT, *VOC_CLASSES]) if name != BACKGROUND]


def _category_text(field: Field, name: str) -> str:
    if field.kind is Kind.TAGS:
        return name.replace(TAG_SEPARATOR, ", ")
    if field.kind is Kind.BOOLEAN:
        return "yes" if name == "True" else "no"
    return choice_name(field.name, name)


def _scale(field: Field, values: pd.Series) -> tuple[ColourScale, NDArray[np.uint8]]:
    numbers = _as_numbers(values)
    known = np.isfinite(numbers)
    codes = np.full(len(numbers), MISSING_CODE, np.uint8)
    if not known.any():
        return ColourScale(field), codes
    low, high = np.quantile(numbers[known], (_CLIPPED, 1 - _CLIPPED))
    if low == high:
        low, high = numbers[known].min(), numbers[known].max()
    part = ((numbers[known] - low) / (high - low or 1)).clip(0, 1)
    codes[known] = FIRST_CODE + np.rint(part * (LEVELS - 1)).astype(np.uint8)
    below, above = numbers[known].min() < low, numbers[known].max() > high
    texts = [_number_text(field, end) for end in (low, high)]
    return ColourScale(field, low="≤ " * bool(below) + texts[0], high="≥ " * bool(above) + texts[1]), codes


def _as_numbers(values: pd.Series) -> NDArray[np.float64]:
    """float64 (N,): numbers as they are, dates as days since 1970; NaN where there is none."""
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        days = (values - pd.Timestamp(0)) / pd.Timedelta(days=1)
        return np.asarray(days.to_numpy(np.float64, na_value=np.nan), np.float64)
    return columns.to_float64(values)


def _number_text(field: Field, number: float) -> str:
    if field.kind is Kind.DATE:
        return str((pd.Timestamp(0) + pd.Timedelta(days=float(number))).date())
    if field.is_share:
        return percent(float(number))
    return count(round(number)) if field.kind is Kind.INTEGER else f"{number:.3g}"


def value_texts(rows: pd.DataFrame, name: str) -> list[str]:
    """Return what the field says of these rows of a run's table, with tags."""
    field, values = find_field(rows, name), field_values(rows, name)
    if field.kind in (Kind.NUMBER, Kind.INTEGER):
        return [NO_VALUE if np.isnan(number) else _number_text(field, number) for number in _as_numbers(values)]
    texts = values.astype("object").where(values.notna(), None)
    return [NO_VALUE if text is None else _category_text(field, str(text)) for text in texts]
