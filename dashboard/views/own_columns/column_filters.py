"""Filters by own columns in the sidebar: a slider for numbers and dates, choices for categories, a field for text.

Takes the run's source; each widget's callback updates the visitor's view. With many columns, the visitor chooses whose
filters are shown.
"""

import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

import streamlit as st

from dashboard.formatting import display_name, escape_markdown
from dashboard.queries.own_columns import values
from dashboard.queries.own_columns.values import Ends
from dashboard.queries.source import RunSource
from dashboard.state import session
from dashboard.state.crossfilter import without_keys
from dashboard.views.shared.choice_widget import choose_values
from seglib.errors import FilterError
from seglib.query.column_filter import Range, parse_range
from seglib.query.fields import Field, Kind

MAX_WIDGETS = 8
"""With more columns than this, the visitor chooses whose filters are shown."""

_STEPS = 100
"""Steps of a slider over numbers that are not whole."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS_WITH_TIMES = 2
"""Dates with times that span more days than this are chosen by day."""


def render(source: RunSource) -> None:
    """Draw the sections; none for columns that the store does not have."""
    own, measures = values.split_columns(source)
    _section(source, own, "Your columns", "own")
    _section(source, measures, "Measured from the photos", "measured")


def _section(source: RunSource, columns: Sequence[Field], title: str, name: str) -> None:
    if not columns:
        return
    active = {column.name for column in columns} & {*session.view().filters}
    was_open = f"_columns_open:{name}"
    expanded = bool(active) or st.session_state.get(was_open, False)  # it stays open when its last filter goes
    section = st.expander(title, expanded=expanded, key=f"w:columns:{name}", on_change="rerun")
    st.session_state[was_open] = section.open
    if not section.open:  # skip the widgets of a collapsed section
        return
    with section:
        shown = list(columns)
        if len(columns) > MAX_WIDGETS:
            labels = {column.name: column.label for column in columns}
            chosen = st.multiselect(
                "Filter by",
                list(labels),
                format_func=lambda name: labels.get(name, name),
                key=f"w:columns:{name}:shown",
                placeholder="Choose columns",
            )
            shown = [column for column in columns if column.name in {*chosen, *active}]
        for column in shown:
            _WIDGETS[column.kind](source, column)


def _widget_key(column: Field) -> str:
    """The widget's key, which becomes a class of the page: names of columns may be anything."""
    return f"w:column:{hashlib.sha256(column.name.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"


def _texts(column: Field) -> list[str]:
    return [str(text) for text in session.view().filters.get(column.name, ())]


def _set(column: Field, texts: list[str]) -> None:
    session.set_view(session.view().with_filter(column.name, tuple(texts) or None))


def _choice(source: RunSource, column: Field) -> None:
    chosen = _texts(column)
    others = without_keys(session.view().filters, (column.name,))
    photos_of = values.count_choices(source, others, column)
    choose_values(
        _widget_key(column),
        escape_markdown(column.label),
        list(dict.fromkeys([*photos_of, *chosen])),
        chosen,
        photos_of,
        name_of=display_name,
        apply=partial(_set, column),
    )


def _text(_: RunSource, column: Field) -> None:
    key = session.sync_widget(_widget_key(column), next((text for text in _texts(column) if text), ""))
    st.text_input(
        escape_markdown(column.label),
        key=key,
        placeholder="contains …",
        on_change=session.widget_callback(key, lambda text: _set(column, [text] if text else [])),
    )


# --- sliders -----------------------------------------------------------------------------------------------------


def _chosen_range(column: Field) -> Range | None:
    """The range of the view's filter; None without one, and if it is none of this column's kind."""
    texts = [text for text in _texts(column) if text]
    try:
        return parse_range(texts[-1], column.kind, column.name) if texts else None
    except FilterError:  # the page says so
        return None


def _number(source: RunSource, column: Field) -> None:
    ends = values.ends(source, column)
    if ends is None or ends.low == ends.high:
        return
    convert: Callable[[float], float] = int if ends.is_whole else float
    step = 1 if ends.is_whole else _slider_step(ends.high - ends.low)
    low, high = convert(ends.low), convert(ends.high)
    chosen = _chosen_range(column) or Range(low, high)
    value = convert(min(max(chosen.low, low), high)), convert(min(max(chosen.high, low), high))
    key = session.sync_widget(_widget_key(column), value)
    st.slider(
        escape_markdown(column.label),
        low,
        high,
        step=step,
        format=None if ends.is_whole else "%.6g",
        key=key,
        on_change=session.widget_callback(key, partial(_set_numbers, column, (low, high))),
    )


def _slider_step(width: float) -> float:
    """A power of ten that gives at least `_STEPS` steps."""
    return float(f"1e{int(f'{width / _STEPS:e}'.partition('e')[2])}")


def _set_numbers(column: Field, ends: tuple[float, float], value: tuple[float, float]) -> None:
    """A handle at either end means no limit there."""
    low, high = (str(end) if isinstance(end, int) else f"{end:.12g}" for end in value)
    low, high = "" if value[0] <= ends[0] else low, "" if value[1] >= ends[1] else high
    _set(column, [f"{low}..{high}"] if low or high else [])


def _date(source: RunSource, column: Field) -> None:
    ends = values.ends(source, column)
    if ends is None or ends.low == ends.high:
        return
    by_day = ends.is_whole or ends.high - ends.low > _DAYS_WITH_TIMES * 86_400_000_000
    convert = _as_date if by_day else _as_time
    low, high = convert(ends.low), convert(ends.high)
    if low == high:
        return
    chosen = _chosen_range(column)
    value = _clamped(chosen, ends, convert) if chosen else (low, high)
    key = session.sync_widget(_widget_key(column), value)
    st.slider(
        escape_markdown(column.label),
        low,
        high,
        step=timedelta(days=1) if by_day else timedelta(minutes=1),
        format="YYYY-MM-DD" if by_day else "YYYY-MM-DD HH:mm",
        key=key,
        on_change=session.widget_callback(key, partial(_set_dates, column, (low, high))),
    )


def _clamped(
    chosen: Range, ends: Ends, convert: Callable[[float], date | datetime]
) -> tuple[date | datetime, date | datetime]:
    last = chosen.high - 1 if chosen.below else chosen.high  # the last microsecond of the day
    low, high = (min(max(end, ends.low), ends.high) for end in (chosen.low, last))
    return convert(low), convert(high)


def _as_date(microseconds: float) -> date:
    return _as_time(microseconds).date()


def _as_time(microseconds: float) -> datetime:
    return (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None)


def _set_dates(
    column: Field, ends: tuple[date | datetime, date | datetime], value: tuple[date | datetime, date | datetime]
) -> None:
    low = "" if value[0] <= ends[0] else value[0].isoformat()
    high = "" if value[1] >= ends[1] else value[1].isoformat()
    _set(column, [f"{low}..{high}"] if low or high else [])


_WIDGETS: dict[Kind, Callable[[RunSource, Field], None]] = {
    Kind.NUMBER: _number,
    Kind.INTEGER: _number,
    Kind.DATE: _date,
    Kind.CATEGORY: _choice,
    Kind.BOOLEAN: _choice,
    Kind.TEXT: _text,
}
"""Kind of a column -> function that draws its filter."""
