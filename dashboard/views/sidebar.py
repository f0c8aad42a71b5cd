"""Filter sidebar: the active run on top, and one widget for each entry of `seglib.query.filters.FILTERS`.

Takes the selection's source and runs; each widget's callback updates the visitor's view. A filter added to the library
appears here automatically, under "More filters".
"""

from collections.abc import Callable, Sequence
from functools import partial

import streamlit as st

from dashboard.formatting import choice_name, escape_markdown, run_labels
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.expressions.typed import WHERE
from dashboard.queries.source import RunSource, photo_query
from dashboard.state import session
from dashboard.state.crossfilter import without_keys
from dashboard.views import quality_filters
from dashboard.views.own_columns import column_filters
from dashboard.views.selection import expression
from dashboard.views.shared.choice_widget import choose_values
from seglib.classes import ANIMALS
from seglib.query.columns import AGREEMENTS
from seglib.query.filter_kinds.base import Filter
from seglib.query.filter_kinds.names import NamesFilter, PresentFilter
from seglib.query.filter_kinds.ranges import ClassBlobsFilter, ClassShareFilter, CountFilter, RangeFilter
from seglib.query.filter_kinds.texts import ColumnFilter, TextFilter
from seglib.query.filter_text import MAX_COUNT
from seglib.query.filters import FILTERS
from seglib.store.records import Run

MAIN_FILTERS: tuple[str, ...] = (
    "dataset",
    "label",
    "present",
    "share",
    "agreement",
    "confidence",
    "tag",
    "split",
    "path",
)
"""Filters that are always visible, in this order."""

MOST_FREQUENT = ""
"""Focus value if no class is chosen: the most frequent class, which may change with each filter."""

COLUMN = "column"
"""The filter by own columns, which has a section of its own."""

_ORDERS = {"agreement": AGREEMENTS, "animal": (*ANIMALS, "none"), "split": ("train", "val", "test")}


def render_runs(runs: Sequence[Run], active: str) -> None:
    """Draw the choice of the active run, newest first."""
    names = [run.run for run in reversed(runs)]
    labels = run_labels(runs)
    with st.sidebar:
        key = session.sync_widget("w:run", active)
        st.selectbox(
            "Run",
            names,
            format_func=lambda name: labels[name],
            key=key,
            on_change=session.widget_callback(key, _choose_run),
        )


def render_filters(source: RunSource, focus: str) -> None:
    rest = [key for key in FILTERS if key not in (*MAIN_FILTERS, WHERE, COLUMN)]
    active = {key.partition(".")[0] for key in session.view().filters}
    with st.sidebar:
        expression.render(source)
        for key in MAIN_FILTERS:
            _widget(source, FILTERS[key], focus)
        _widget(source, FILTERS[COLUMN], focus)
        quality_filters.render(source)
        more = st.expander("More filters", expanded=bool(active & set(rest)), key="w:more", on_change="rerun")
        if more.open:  # skip the widgets of a collapsed section
            with more:
                for key in rest:
                    _widget(source, FILTERS[key], focus)


def _widget(source: RunSource, entry: Filter, focus: str) -> None:
    for kind, draw in _WIDGETS.items():
        if isinstance(entry, kind):
            draw(source, entry, focus)
            return


def _choice(source: RunSource, entry: Filter, _: str) -> None:
    chosen = [str(value) for value in session.view().filters.get(entry.key, ())]
    values = list(dict.fromkeys([*_sort_values(entry, photo_queries.options(source, entry.key)), *chosen]))
    if len(values) < 2 and not chosen:
        return
    photos_of = _count_passing(source, entry)
    choose_values(
        f"w:{entry.key}",
        entry.label,
        values,
        chosen,
        photos_of,
        name_of=partial(choice_name, entry.key),
        apply=partial(_set_filter, entry.key),
    )


def _count_passing(source: RunSource, entry: Filter) -> dict[str, int]:
    """Return value -> photos that have it and pass all other filters."""
    others = without_keys(session.view().filters, (entry.key,))
    if isinstance(entry, PresentFilter):
        return photo_statistics.count_present(photo_query(source, others))
    return photo_queries.count_choices(source, others, entry.key)


def _sort_values(entry: Filter, photos_of: dict[str, int]) -> list[str]:
    """Sort the choices: known vocabularies in their own order, classes by number of photos, the rest by name."""
    if isinstance(entry, PresentFilter) or entry.key in ("dominant", "content"):
        return sorted(photos_of, key=lambda value: -photos_of[value])
    order = _ORDERS.get(entry.key, ())
    return sorted(photos_of, key=lambda value: (order.index(value) if value in order else len(order), value))


def _range(_: RunSource, entry: Filter, __: str) -> None:
    _slider(entry.key, entry.label, "%.2f")


def _class_range(source: RunSource, entry: Filter, focus: str) -> None:
    """Draw one slider for the chosen class, and one for each other class that is already filtered."""
    photos_of = photo_queries.options(source, "present")
    names = [MOST_FREQUENT, *sorted(photos_of, key=lambda n: -photos_of[n])]
    wanted = session.view().focus
    filters = session.view().filters
    usual = photo_statistics.main_class(photo_query(source, filters))
    why = "filtered" if any(key.startswith(f"{entry.key}.") for key in filters) else "most frequent"
    key = session.sync_widget("w:focus", wanted)
    st.selectbox(
        "Class",
        list(dict.fromkeys([*names, wanted])),
        format_func=lambda name: name or (f"{usual} ({why})" if usual else why.capitalize()),
        key=key,
        help="The class whose share is charted, filtered and sorted by",
        on_change=session.widget_callback(key, _choose_focus),
    )
    chosen = [key.partition(".")[2] for key in filters if key.startswith(f"{entry.key}.")]
    for name in dict.fromkeys([*([focus] if focus else []), *chosen]):
        _slider(f"{entry.key}.{name}", f"{entry.label} {escape_markdown(name)}", "percent")


def _slider(key: str, label: str, form: str) -> None:
    chosen = session.view().filters.get(key, (0.0, 1.0))
    widget = session.sync_widget(f"w:{key}", chosen)
    st.slider(
        label,
        0.0,
        1.0,
        step=0.01,
        format=form,
        key=widget,
        on_change=session.widget_callback(widget, partial(_set_range, key)),
    )


def _class_count(source: RunSource, entry: Filter, focus: str) -> None:
    """Draw one slider for each class whose regions are already filtered, and one for the chosen class."""
    chosen = [key.partition(".")[2] for key in session.view().filters if key.startswith(f"{entry.key}.")]
    for name in dict.fromkeys([*chosen, *([focus] if focus else [])]):
        _count_slider(source, f"{entry.key}.{name}", f"{entry.label} {escape_markdown(name)}")


def _count(source: RunSource, entry: Filter, _: str) -> None:
    _count_slider(source, entry.key, entry.label)


def _count_slider(source: RunSource, key: str, label: str) -> None:
    """Draw a slider between the run's minimum and maximum; a handle at either end means no limit."""
    ends = photo_queries.value_range(source, key)
    low, high = (int(end) for end in session.view().filters.get(key, ends))
    chosen = max(low, ends[0]), min(high, ends[1])
    if ends[0] == ends[1] or chosen[0] > chosen[1]:
        return
    widget = session.sync_widget(f"w:{key}", chosen)
    apply = session.widget_callback(widget, partial(_set_counts, key, ends))
    st.slider(label, ends[0], ends[1], step=1, key=widget, on_change=apply)


def _text(_: RunSource, entry: Filter, __: str) -> None:
    key = session.sync_widget(f"w:{entry.key}", session.view().filters.get(entry.key, ""))
    st.text_input(
        entry.label,
        key=key,
        placeholder="e.g. cat.41",
        on_change=session.widget_callback(key, partial(_set_filter, entry.key)),
    )


_WIDGETS: dict[type, Callable[[RunSource, Filter, str], None]] = {
    ColumnFilter: lambda source, _, __: column_filters.render(source),
    NamesFilter: _choice,
    ClassShareFilter: _class_range,
    RangeFilter: _range,
    ClassBlobsFilter: _class_count,
    CountFilter: _count,
    TextFilter: _text,
}
"""Kind of filter -> function that draws it; the first matching kind is used."""


def _set_filter(key: str, value: Sequence[str]) -> None:
    session.set_view(session.view().with_filter(key, value if isinstance(value, str) else tuple(value)))


def _set_range(key: str, value: tuple[float, float]) -> None:
    low, high = round(value[0], 4), round(value[1], 4)
    session.set_view(session.view().with_filter(key, None if (low, high) == (0, 1) else (low, high)))


def _set_counts(key: str, ends: tuple[int, int], value: tuple[int, int]) -> None:
    low, high = value[0] if value[0] > ends[0] else 0, value[1] if value[1] < ends[1] else MAX_COUNT
    session.set_view(session.view().with_filter(key, None if value == ends else (low, high)))


def _choose_run(run: str) -> None:
    session.update_from_first_page(run=run)


def _choose_focus(name: str) -> None:
    session.update_from_first_page(focus=name)
