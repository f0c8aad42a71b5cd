"""Section of Compare and Evaluate: the photos cut by a field of the visitor's choice, and each slice measured.

Takes a `RunSelection` and a query of the slices, and draws on the page; clicking a slice filters the page to it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard.answers import slices as answers
from dashboard.charts import slices as slice_charts
from dashboard.charts import theme
from dashboard.components import layout
from dashboard.formatting import (
    DASH,
    count,
    escape_markdown,
    interval,
    percent_fixed,
    percent_with_interval,
    photo_count,
)
from dashboard.queries import photos as photo_queries
from dashboard.state import crossfilter, session
from dashboard.views.multi_run.run_selection import RunSelection
from dashboard.views.shared import crossfilter_chart
from seglib.errors import UnknownName
from seglib.evaluation.slices.figures import SliceFigures, SliceTable
from seglib.query.fields import Field, Kind
from seglib.query.filters import Filters

TABLE = {"slices": "Every slice: both figures with their intervals, and what as many random photos have"}

_MAX_UNBROKEN = 24
"""Longest name in characters that is not broken into lines in the table."""

_UNBROKEN = str.maketrans({" ": "\N{NO-BREAK SPACE}", "-": "\N{NON-BREAKING HYPHEN}"})

_NAME_KINDS = (Kind.CATEGORY, Kind.BOOLEAN, Kind.TAGS)
"""Kinds of fields whose filter takes several names; the others take one range."""


def slices(
    selection: RunSelection, load: Callable[[str], SliceTable], *, measures: Mapping[str, str], worst: str, about: str
) -> None:
    """Let the visitor choose a field, and show the slices by it.

    `load` returns the slices by a field; `measures`: measure of the slices -> what it is called, the main one first;
    `worst`: what its lowest value is; `about`: which runs the figures are of.
    """
    fields = {field.name: field for field in photo_queries.list_fields(selection.base.source) if field.name != "path"}
    by = session.view().by
    if by and by not in fields:
        layout.remark(f"The link names the field {by}, which these photos do not have: choose another.")
        by = ""
    _choose_field(fields, by)
    if not by:
        return
    try:
        table = load(by)
    except UnknownName as error:
        layout.remark(str(error))
        return
    noun, measure = answers.field_noun(table.field), measures[table.measures[0]]
    with layout.card(f"By {noun}", f"{about}, over all pixels, n = {photo_count(table.images)}", stretch=False):
        st.markdown(f"**{escape_markdown(answers.sentence(table, measure, worst=worst))}**")
        if len(table.rows) < 2:
            return
        if slice_charts.drawn_slices(table):
            own = crossfilter.only_keys(selection.base.filters, (by,))
            crossfilter_chart.plot(
                "slices",
                theme.fade_unselected(slice_charts.slice_dots(table, measure), own),
                alt=f"Dots: {measure} by {noun}, the lowest first: {slice_charts.describe(table)}.",
                on_marks=partial(_apply, table.field),
            )
        layout.html_table([], ["", "photos", *_head(measures), "as many random photos"], _lines(table))
        layout.remarks([*answers.remarks(table), *_notes(table), answers.METHOD])


def with_slices(
    export_table: Callable[[str, str], bytes], export_slices: Callable[[str], bytes]
) -> Callable[[str, str], bytes]:
    """Return a function that makes one of a page's tables, of `TABLE` too, from its name and the kind of file."""

    def make(name: str, kind: str) -> bytes:
        return export_slices(kind) if name in TABLE else export_table(name, kind)

    return make


def _choose_field(fields: Mapping[str, Field], by: str) -> None:
    key = session.sync_widget("w:by", by)
    st.selectbox(
        "Slices by",
        ["", *fields],
        format_func=lambda name: fields[name].label if name else "no field",
        key=key,
        help="Cuts the photos by a field and measures each slice, the worst first",
        on_change=session.widget_callback(key, lambda name: session.update_view(by=name)),
        width=260,
    )


def _head(measures: Mapping[str, str]) -> list[str]:
    main, *others = measures.values()
    return [main, f"{main}, mean over photos", *others]


def _lines(table: SliceTable) -> list[list[str]]:
    return [_line(table, row) for row in table.rows[: slice_charts.MAX_SLICES]]


def _line(table: SliceTable, row: SliceFigures) -> list[str]:
    main, *others = (row.estimates[name] for name in table.measures)
    chance = interval(main.random_range) if main.random_range else DASH
    name = answers.slice_name(table.field, row.slice)
    mark = " below" if main.is_below else " above" if main.is_above else ""
    return [
        name if len(name) > _MAX_UNBROKEN else name.translate(_UNBROKEN),
        count(row.images),
        percent_with_interval(main.figure.value, main.figure.interval),
        percent_with_interval(main.figure.mean, main.figure.mean_interval),
        *(percent_fixed(one.figure.value) for one in others),
        chance + mark,
    ]


def _notes(table: SliceTable) -> list[str]:
    more = len(table.rows) - slice_charts.MAX_SLICES
    left_out = [f"The {slice_charts.MAX_SLICES} lowest of {count(len(table.rows))} slices."] if more > 0 else []
    return [*left_out, "A click on a slice shows its photos alone, another one all; the slices stay."]


def _apply(field: Field, marks: Sequence[object]) -> None:
    """Callback: filter the page to the slice that was clicked, or show all photos if it was filtered to it."""
    before, keys = session.view().filters, (field.name,)
    if field.kind in _NAME_KINDS:
        now = crossfilter.apply_marks(marks, keys, before)
    else:
        others, own = crossfilter.without_keys(before, keys), crossfilter.only_keys(before, keys)
        chosen = crossfilter.only_keys(crossfilter.apply_marks(marks, keys, others), keys)
        if marks and not chosen:  # a slice that no filter selects
            return
        now = Filters({**others, **({} if own == chosen else chosen)})
    if now != before:
        session.set_filters(now)
