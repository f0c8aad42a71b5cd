"""Cached queries on the photos of a run.

They take a `RunSource` (store, its version, run) and an encoded filter and return mostly small frames. Caches are keyed
by these few strings, never by frames; the store's version changes with its files, so a run in progress is picked up at
the next rerun. Frames are shared between visitors and must not be modified.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.formatting import count
from dashboard.queries.prepared.tables import is_large, prepared_source, prepared_table, warm_lookups
from dashboard.queries.source import (
    HASHES,
    PhotoQuery,
    RunSource,
    damaged_measures,
    open_store,
    photo_query,
)
from dashboard.settings import large_run
from dashboard.state.crossfilter import without_keys
from dashboard.state.view import View
from seglib.errors import StoreError
from seglib.query import columns, fields
from seglib.query.fields import Field
from seglib.query.filter_kinds.base import FilterValue
from seglib.query.filter_kinds.names import ChoiceFilter, TagFilter
from seglib.query.filter_kinds.ranges import CountFilter
from seglib.query.filters import FILTERS, Filters, find_filter, passes_filter
from seglib.query.repeats import describe_repeats, first_datasets
from seglib.query.statistics import CLASS_COLUMNS, sort_positions
from seglib.store import tags
from seglib.store.records import Run
from seglib.store.store import Store

Positions = NDArray[np.integer]
"""Positions in a run's table; int32 in the caches, which hold many of them."""

_CHUNK_ROWS = 1 << 13
"""Rows looked at together for the first few photos of a selection."""


@dataclass(frozen=True)
class Selection:
    """What a page shows: the photos of one run that pass the view's filters."""

    store: Store
    run: Run
    source: RunSource
    view: View
    focus: str
    """The class in focus; empty if the run contains no classes."""

    @property
    def filters(self) -> Filters:
        return self.view.filters

    @property
    def classes(self) -> list[str]:
        return classes(self.source)

    def query(self, ignored_keys: Collection[str] = ()) -> PhotoQuery:
        """Return the photos that pass all filters except `ignored_keys`, a chart's own ones."""
        return photo_query(self.source, without_keys(self.filters, ignored_keys))


def read_newest_run(path: Path) -> None:
    """Read what every page of the most recently used run needs, so that later queries find it in the cache."""
    _, version, runs = open_store(path)
    if runs:
        source, state = prepared_source(RunSource(str(path), version, runs[-1].run))
        total_images(source)
        if state is not None and state.made:
            warm_lookups(source)


def failures(source: RunSource) -> pd.DataFrame:
    """Return the files that could not be read: dataset, path, label, reason, detail."""
    return _failures(source.without_tags())


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _failures(source: RunSource) -> pd.DataFrame:
    return source.store().failures()


def table(source: RunSource) -> pd.DataFrame:
    """Return all rows of the run with file size and time, without tags; must not be modified. Raises `StoreError` for a
    run that is too large for that.
    """
    if is_large(source):
        raise StoreError(
            f"From {count(large_run())} photos on, a run is shown by Overview, Explore and Image, not by this page."
        )
    return _table(source.without_tags())


@st.cache_resource(max_entries=3, show_spinner="Reading the store", hash_funcs=HASHES)
def _table(source: RunSource) -> pd.DataFrame:
    with_measures = not damaged_measures(source)
    return source.store().table([source.run], with_tags=False, with_scan=True, with_measures=with_measures)


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def _table_with_tags(source: RunSource) -> pd.DataFrame:
    """Return the same rows with their tags; all other columns are shared with `table`."""
    return with_tags(source, table(source))


@st.cache_resource(max_entries=3, show_spinner=False, hash_funcs=HASHES)
def tags_of_images(source: RunSource) -> pd.Series:
    """Return the tagged images; see `seglib.store.tags.tags_by_image`."""
    return tags.tags_by_image(source.store())


def with_tags(source: RunSource, rows: pd.DataFrame) -> pd.DataFrame:
    """Return these rows with a `tags` column."""
    return rows.assign(tags=tags.align_tags(tags_of_images(source), rows["image_id"]))


def table_with(source: RunSource, field: str) -> pd.DataFrame:
    """Return the table with what this field needs; must not be modified."""
    return _table_with_tags(source) if field == "tag" else table(source)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def list_fields(source: RunSource) -> list[Field]:
    """Return the fields of the run, with tags if there are any."""
    head = table_head(source)
    return fields.list_fields(head if tags_in_use(source) else head.drop(columns="tags"))


def known_field(source: RunSource, name: str) -> str:
    """Return the name of a field of the run, and the empty text for a name of none."""
    return name if name and any(field.name == name for field in list_fields(source)) else ""


def classes(source: RunSource) -> list[str]:
    return columns.classes_of(schema_of(source))


def schema_of(source: RunSource) -> pd.DataFrame:
    """Return a frame with the columns of the run's table, of which only their names and types are meant."""
    prepared = prepared_table(source)
    return prepared.head if prepared else table(source)


def total_images(source: RunSource) -> int:
    """Return the number of photos in the run, ignoring filters; see `counted_positions`."""
    return count_counted(source, Filters())


def options(source: RunSource, key: str) -> dict[str, int]:
    """Return value -> photos of the whole run for a filter with choices; a missing value is the empty string."""
    if isinstance(FILTERS[key], TagFilter):
        return _tag_options(source)
    return _options(source.without_tags(), key)


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _tag_options(source: RunSource) -> dict[str, int]:
    if prepared := prepared_table(source):
        return prepared.count_tags(Filters())
    return columns.count_tags(_table_with_tags(source)["tags"])


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _options(source: RunSource, key: str) -> dict[str, int]:
    if prepared := prepared_table(source):
        return prepared.count_options(key)
    frame = table(source)
    entry = FILTERS[key]
    if not isinstance(entry, ChoiceFilter):  # the choices are the classes present
        return {n: number for n in columns.classes_of(frame) if (number := int(columns.is_present(frame, n).sum()))}
    column = entry.column(frame).astype("object")
    counts = column.where(column.notna(), "").value_counts()
    return {str(value): int(value_count) for value, value_count in counts.sort_index().items()}


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=HASHES)
def _choice_codes(source: RunSource, key: str) -> tuple[NDArray[np.integer], list[str]]:
    """Return (code of each row of the run, values) of a filter with choices; -1 for a missing value."""
    entry = FILTERS[key]
    assert isinstance(entry, ChoiceFilter)
    return columns.category_codes(entry.column(table(source)))


def count_choices(source: RunSource, filters: Filters, key: str) -> dict[str, int]:
    """Return value -> files that pass the filters, for a filter with choices other than the classes present."""
    return _count_choices(source if key == "tag" else source.for_filters(filters), filters, key)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _count_choices(source: RunSource, filters: Filters, key: str) -> dict[str, int]:
    if prepared := prepared_table(source):
        return prepared.count_tags(filters) if key == "tag" else prepared.count_names(filters, key)
    chosen = selected_positions(source, filters)
    if key == "tag":
        return columns.count_tags(_table_with_tags(source)["tags"].iloc[chosen])
    codes, names = _choice_codes(source.without_tags(), key)
    of_chosen = codes if len(chosen) == len(codes) else codes[chosen]
    numbers = np.bincount(of_chosen.astype(np.intp) + 1, minlength=len(names) + 1).tolist()
    return dict(zip(["", *names], numbers, strict=True))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=HASHES)
def value_range(source: RunSource, key: str) -> tuple[int, int]:
    """Return the minimum and maximum in the run for an integer filter; (0, 0) if there are no values."""
    if prepared := prepared_table(source):
        low, high = prepared.value_range(key) or (0, 0)
        return int(low), int(high)
    (entry, name), frame = find_filter(key), table(source)
    numbers = columns.to_float64(
        entry.column(frame) if isinstance(entry, CountFilter) else columns.class_blobs(frame, name)
    )
    numbers = numbers[~np.isnan(numbers)]
    return (int(numbers.min()), int(numbers.max())) if len(numbers) else (0, 0)


def selected_positions(source: RunSource, filters: Filters) -> Positions:
    """Return the positions in the run's table of the photos that pass the filters, in table order."""
    return _selected_positions(source.for_filters(filters), filters)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _selected_positions(source: RunSource, filters: Filters) -> Positions:
    return np.flatnonzero(_passes_all(source, filters)).astype(np.int32)


def counted_positions(source: RunSource, filters: Filters) -> Positions:
    """Return the positions that figures count: the selected ones, each photo of several datasets in its first only."""
    return _counted_positions(source.for_filters(filters), filters)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _counted_positions(source: RunSource, filters: Filters) -> Positions:
    chosen = selected_positions(source, filters)
    if not _has_shared_photos(source.without_tags()):
        return chosen
    return chosen[first_datasets(table(source)[["dataset", "image_id"]].iloc[chosen])]


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _has_shared_photos(source: RunSource) -> bool:
    """Return whether any photo of the run is in several datasets."""
    return not first_datasets(table(source)).all()


def count_counted(source: RunSource, filters: Filters) -> int:
    """Return the number of photos that figures count."""
    return _count_counted(source.for_filters(filters), filters)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _count_counted(source: RunSource, filters: Filters) -> int:
    prepared = prepared_table(source)
    return prepared.count_counted(filters) if prepared else len(counted_positions(source, filters))


def repeats(source: RunSource, filters: Filters) -> list[str]:
    """Return a sentence on the selected photos that are in several datasets, if there are any."""
    if prepared := prepared_table(source):
        return describe_repeats(*prepared.left_out(filters)) if prepared.has_shared else []
    chosen, counted = selected_positions(source, filters), counted_positions(source, filters)
    if len(chosen) == len(counted):
        return []
    files = table(source)[["dataset", "image_id"]].iloc[chosen]
    return describe_repeats(files, np.isin(chosen, counted, assume_unique=True))


def _passes_all(source: RunSource, filters: Filters) -> NDArray[np.bool_]:
    """Return a bool mask of shape (rows of the run,): True for rows that pass every filter."""
    rows = len(table(source))
    packed = [_passes_filter(source.for_filters(Filters({key: value})), key, value) for key, value in filters.items()]
    if not packed:
        return np.ones(rows, bool)
    return np.unpackbits(reduce(np.bitwise_and, packed), count=rows).view(bool)


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _passes_filter(source: RunSource, key: str, value: FilterValue) -> NDArray[np.uint8]:
    """Apply a single filter, cached separately so that changing one does not recompute the others: 8 rows per byte."""
    uses_tags = find_filter(key)[0].uses_tags(value)
    return np.packbits(passes_filter(_table_with_tags(source) if uses_tags else table(source), key, value))


def check_filter(source: RunSource, key: str, value: FilterValue) -> None:
    """Raise `SegError` if the filter cannot be applied to the run; what it keeps is then in the cache."""
    if prepared := prepared_table(source):
        prepared.condition(Filters({key: value}))
        return
    _passes_filter(source.for_filters(Filters({key: value})), key, value)


def table_head(source: RunSource) -> pd.DataFrame:
    """Return the run's table with tags and without rows: its columns, and the names of its categories."""
    if prepared := prepared_table(source):
        return prepared.head
    return _table_with_tags(source).iloc[:0]


def sorted_positions(source: RunSource, filters: Filters, sort: str, name: str) -> Positions:
    """Return the same positions, sorted; `name` is the class for sorting by share."""
    return _sorted_positions(source.for_filters(filters), filters, sort, name)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _sorted_positions(source: RunSource, filters: Filters, sort: str, name: str) -> Positions:
    if prepared := prepared_table(source):
        return prepared.sorted_rows(filters, sort, name)
    if sort == "path":  # already in table order
        return selected_positions(source, filters)
    order = _sort_order(source.without_tags(), sort, _sort_class(sort, name))
    chosen: Positions = order[_passes_all(source, filters)[order]]
    return chosen


def _sort_class(sort: str, name: str) -> str:
    """Return the class that this order depends on; empty if it depends on none."""
    return name if sort.removeprefix("-") in CLASS_COLUMNS else ""


def first_positions(source: RunSource, filters: Filters, sort: str, name: str, number: int) -> Positions:
    """Return the first `number` of the sorted positions, each photo once, without sorting the whole selection."""
    return _first_positions(source.for_filters(filters), filters, sort, name, number)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _first_positions(source: RunSource, filters: Filters, sort: str, name: str, number: int) -> Positions:
    if prepared := prepared_table(source):
        return prepared.first_unique_rows(filters, sort, name, number)
    order, passes = _sort_order(source.without_tags(), sort, _sort_class(sort, name)), _passes_all(source, filters)
    images, found = table(source)["image_id"], np.zeros(0, np.int32)
    for start in range(0, len(order), _CHUNK_ROWS):
        some = order[start : start + _CHUNK_ROWS]
        found = np.concatenate([found, some[passes[some]]])
        found = found[~images.iloc[found].duplicated().to_numpy()][:number]
        if len(found) == number:
            break
    return found


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=HASHES)
def _sort_order(source: RunSource, sort: str, name: str) -> Positions:
    """Return the sorted positions of all photos of the run, so that any selection of them is sorted too."""
    if sort == "path":
        return np.arange(len(table(source)), dtype=np.int32)
    descending, column = sort.startswith("-"), sort.removeprefix("-")
    return sort_positions(table(source), column, descending=descending, name=name).astype(np.int32)


def unique_positions(source: RunSource, filters: Filters, sort: str, name: str) -> Positions:
    """Return the same sorted positions, keeping only the first of identical files, for the viewer."""
    return _unique_positions(source.for_filters(filters), filters, sort, name)


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=HASHES)
def _unique_positions(source: RunSource, filters: Filters, sort: str, name: str) -> Positions:
    chosen = sorted_positions(source, filters, sort, name)
    if prepared := prepared_table(source):
        return prepared.without_repeats(chosen)
    repeated = table(source)["image_id"].iloc[chosen].duplicated().to_numpy()
    return chosen[~repeated] if repeated.any() else chosen


def positions_of_image(source: RunSource, image_id: str) -> Positions:
    """Return the positions in the run's table of the files with this content."""
    return _positions_of_image(source.without_tags(), image_id)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _positions_of_image(source: RunSource, image_id: str) -> Positions:
    if prepared := prepared_table(source):
        return prepared.rows_of_image(image_id)
    return np.flatnonzero((table(source)["image_id"] == image_id).to_numpy()).astype(np.int32)


def image_ids_at(source: RunSource, chosen: Positions) -> pd.Series:
    """Return the image ids at these positions."""
    return (rows_at(source, chosen) if is_large(source) else table(source).iloc[chosen])["image_id"]


def rows_at(source: RunSource, chosen: Positions) -> pd.DataFrame:
    """Return the run's rows at these positions, with all columns of the table."""
    if prepared := prepared_table(source):
        return prepared.rows_at(chosen)
    return with_tags(source, table(source).iloc[chosen])


def tags_in_use(source: RunSource) -> list[str]:
    """Return every tag used in the store."""
    return list(columns.count_tags(tags_of_images(source)))
