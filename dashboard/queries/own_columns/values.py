"""Values of a run's own columns: which columns there are, their ends, and how many photos have each choice.

Answers are small and cached by the store's version, like those of `queries.photos`.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.formatting import DASH
from dashboard.queries import photos as photo_queries
from dashboard.queries.prepared.tables import prepared_table
from dashboard.queries.source import HASHES, RunSource, error_message
from dashboard.state.own_columns import is_column_sort
from dashboard.state.view import View
from seglib.errors import SegError
from seglib.query.column_filter import as_numbers
from seglib.query.columns import category_codes
from seglib.query.fields import COLUMN_PREFIX, Field, Kind, find_field, own_columns
from seglib.query.filters import Filters, passes_filter
from seglib.store.own_columns import log

_DAY = 86_400_000_000
"""Microseconds."""


@dataclass(frozen=True)
class Ends:
    """The smallest and the largest value of a column, dates as microseconds since 1970."""

    low: float
    high: float
    is_whole: bool
    """Whether all values are whole numbers, or dates without a time."""


def list_columns(source: RunSource) -> list[Field]:
    """Return the own columns of the store and then the measures of its photos, as fields."""
    schema = photo_queries.schema_of(source)
    return [find_field(schema, f"column.{name}") for name in own_columns(schema)]


def split_columns(source: RunSource) -> tuple[list[Field], list[Field]]:
    """Return the own columns, and the measures of the photos."""
    added = _added_names(source.without_tags())
    fields = list_columns(source)
    return [one for one in fields if one.label in added], [one for one in fields if one.label not in added]


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def _added_names(source: RunSource) -> set[str]:
    return {column.name for column in log.list_columns(source.store())}


def ends(source: RunSource, column: Field) -> Ends | None:
    """Return the ends of a column of numbers or dates; None if this run's photos have no value."""
    return _ends(source.without_tags(), column.label, column.kind is Kind.DATE)


@st.cache_data(max_entries=256, show_spinner=False, hash_funcs=HASHES)
def _ends(source: RunSource, name: str, is_date: bool) -> Ends | None:
    unit = _DAY if is_date else 1
    if prepared := prepared_table(source):
        found = prepared.value_range(f"column.{name}")
        return found and Ends(*found, prepared.has_multiples(f"column.{name}", unit))
    numbers = as_numbers(photo_queries.table(source)[COLUMN_PREFIX + name])
    numbers = numbers[~np.isnan(numbers)]
    if not len(numbers):
        return None
    return Ends(float(numbers.min()), float(numbers.max()), bool((numbers % unit == 0).all()))


def count_choices(source: RunSource, filters: Filters, column: Field) -> dict[str, int]:
    """Return value -> files that pass the filters, for categories, true and false; "" counts those without a value.

    Values of the whole run, in their order.
    """
    return _count_choices(source.for_filters(filters), filters, column.label)


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=HASHES)
def _count_choices(source: RunSource, filters: Filters, name: str) -> dict[str, int]:
    if prepared := prepared_table(source):
        return prepared.count_column(filters, f"column.{name}")
    codes, names = category_codes(photo_queries.table(source)[COLUMN_PREFIX + name])
    chosen = photo_queries.selected_positions(source, filters)
    of_chosen = codes if len(chosen) == len(codes) else codes[chosen]
    numbers = np.bincount(of_chosen.astype(np.intp) + 1, minlength=len(names) + 1).tolist()
    values = [name.lower() for name in names] if names in (["False", "True"], ["True"], ["False"]) else names
    counts = dict(zip(values, numbers[1:], strict=True))
    return counts | ({"": numbers[0]} if (codes < 0).any() else {})


def column_texts(rows: pd.DataFrame, column: Field) -> list[str]:
    """Return the values of an own column in these few rows as pages show them, a dash where there is none."""
    return [format_value(value, column.kind) for value in rows[COLUMN_PREFIX + column.label].astype("object")]


def format_value(value: Any, kind: Kind) -> str:
    """Format a value: `1,600`, `0.125`, `2024-03-31 12:00`, `true`, a text as it is; a dash for none."""
    if pd.isna(value):
        return DASH
    if isinstance(value, pd.Timestamp):
        return value.isoformat(" ", "seconds").removesuffix(" 00:00:00").removesuffix(":00")
    if kind is Kind.BOOLEAN:
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,.6g}"
    return f"{value:,}" if kind is Kind.INTEGER else str(value)


def fit_to_columns(view: View, source: RunSource) -> tuple[View, list[str]]:
    """Drop filters and orders by columns that the store does not have or cannot read so, with a sentence for each."""
    notes = []
    filters = view.filters
    for key, value in view.filters.items():
        if key.startswith("column."):
            try:
                passes_filter(photo_queries.schema_of(source).iloc[:0], key, value)
            except SegError as error:
                notes.append(f"A filter of the link was left out: {error_message(error)}")
                filters = filters.replace(key, None)
    if is_column_sort(view.sort):
        try:
            find_field(photo_queries.schema_of(source), view.sort.removeprefix("-"))
        except SegError:
            name = view.sort.removeprefix("-").partition(".")[2]
            notes.append(f"There is no column {name!r} to sort by: the photos are sorted by path.")
            view = replace(view, sort="path")
    return (view if filters is view.filters else replace(view, filters=filters)), notes
