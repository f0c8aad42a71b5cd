"""The chart of chosen fields, computed once per selection, and the ready filters that photos pass."""

from dataclasses import replace

import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.prepared.tables import prepared_table
from dashboard.queries.source import HASHES, PhotoQuery, RunSource
from seglib.query.fields import Field, list_fields
from seglib.query.filters import select
from seglib.query.own_chart.chart import (
    ChartChoice,
    ChartData,
    ChartKind,
    compute_chart,
    read_fields,
    suitable_fields,
)
from seglib.query.ready_filters import available_filters, measure_column, ready_filter

_cached = st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)


def chart_fields(source: RunSource) -> list[Field]:
    """Return the fields that an axis of a chart can have."""
    return suitable_fields(list_fields(photo_queries.schema_of(source).drop(columns="tags", errors="ignore")))


def own_chart(query: PhotoQuery, choice: ChartChoice) -> ChartData:
    """Return the chart of the counted photos. Raises `UsageError` for a choice that makes none."""
    return _own_chart(query, (choice.kind, choice.x, choice.y, choice.colour))


@_cached
def _own_chart(query: PhotoQuery, names: tuple[ChartKind, str, str, str]) -> ChartData:
    choice = ChartChoice(*names)
    if prepared := prepared_table(query.source):
        head = read_fields(prepared.head, choice)
        return compute_chart(
            choice, {name: replace(one, values=prepared.values(query.filters, name)) for name, one in head.items()}
        )
    table, chosen = photo_queries.table(query.source), photo_queries.counted_positions(query.source, query.filters)
    fields = read_fields(table, choice)
    if len(chosen) < len(table):
        fields = {name: replace(one, values=one.values.iloc[chosen]) for name, one in fields.items()}
    return compute_chart(choice, fields)


def ready_filters(source: RunSource) -> dict[str, int]:
    """Return the ready filters for which the run's photos are measured, with the number of rows that pass each."""
    return _ready_filters(source.without_tags())


@_cached
def _ready_filters(source: RunSource) -> dict[str, int]:
    if prepared := prepared_table(source):
        return {name: prepared.count(ready_filter(name)) for name in available_filters(prepared.head)}
    table = photo_queries.table(source)
    return {name: len(select(table[[measure_column(name)]], ready_filter(name))) for name in available_filters(table)}
