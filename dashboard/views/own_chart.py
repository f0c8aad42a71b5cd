"""A chart whose kind and fields the visitor chooses; its marks filter the photos like those of the other charts."""

from collections.abc import Mapping

import streamlit as st

from dashboard.charts.own_chart import figure as own_figure
from dashboard.charts.own_chart.words import describe_omissions
from dashboard.components import layout
from dashboard.formatting import photo_count, user_message
from dashboard.queries.own_chart import charts
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.views.shared import crossfilter_chart
from seglib.errors import SegError
from seglib.query.fields import Field, Kind
from seglib.query.own_chart.chart import NEEDS_Y, WITHOUT_COLOUR, ChartChoice, ChartData, ChartKind

KINDS: dict[str, str] = {
    ChartKind.HISTOGRAM: "Histogram",
    ChartKind.BAR: "Bars",
    ChartKind.BOX: "Boxes",
    ChartKind.SCATTER: "Points",
    ChartKind.HEAT: "Cells",
}
_FIRST_CHOICES = ("column.brightness", "confidence", "width")
"""Fields along x before one is chosen: the first that the photos have."""

_SELECT_WIDTH = 150
"""Pixels; four of them fit in one row beside the sidebar of a small screen."""
_RANGED = (Kind.NUMBER, Kind.INTEGER, Kind.DATE)
_BOXED = (ChartKind.SCATTER, ChartKind.HEAT)


def own_chart(selection: Selection) -> None:
    fields = {field.name: field for field in charts.chart_fields(selection.source)}
    view = selection.view
    kind = ChartKind(view.chart_kind)
    first = next((name for name in _FIRST_CHOICES if name in fields), "")
    choice = ChartChoice(kind, view.chart_x or first, view.chart_y, view.chart_colour)
    with layout.card("A chart of your own", _how_to_use(kind)):
        _choices(choice, {name: field.label for name, field in fields.items()})
        unknown = [name for name in choice.names if name not in fields]
        if unknown:
            layout.remark(f"These photos have no field {unknown[0]!r} for a chart: choose another one.")
            return
        keys = _filter_keys(choice)
        try:
            data = charts.own_chart(selection.query(keys), choice)
        except SegError as error:
            layout.remark(user_message(str(error)))
            return
        _chart(selection, data, keys, fields)


def _how_to_use(kind: ChartKind) -> str:
    return "drag a box to filter" if kind in _BOXED else "a click on a bar filters"


def _choices(choice: ChartChoice, names: Mapping[str, str]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom", key="own-chart"):
        key = session.sync_widget("w:chart_kind", choice.kind.value)
        st.selectbox(
            "Kind",
            list(KINDS),
            format_func=lambda kind: KINDS[kind],
            key=key,
            on_change=session.widget_callback(key, lambda kind: session.update_view(chart_kind=kind)),
            width=_SELECT_WIDTH,
        )
        _field_select("Along x", "chart_x", choice.x, names)
        if choice.kind is not ChartKind.HISTOGRAM:
            none = [] if choice.kind in NEEDS_Y and choice.y else [""]
            text = "choose a field" if choice.kind in NEEDS_Y else "number of photos"
            _field_select("Along y", "chart_y", choice.y, {**dict.fromkeys(none, text), **names})
        if choice.kind not in WITHOUT_COLOUR:
            _field_select("Colour", "chart_colour", choice.colour, {"": "none", **names})


def _field_select(label: str, part: str, chosen: str, names: Mapping[str, str]) -> None:
    key = session.sync_widget(f"w:{part}", chosen)
    st.selectbox(
        label,
        list(dict.fromkeys([*names, chosen])),
        format_func=lambda name: names.get(name, name),
        key=key,
        on_change=session.widget_callback(key, lambda name: session.update_view(**{part: name})),
        width=_SELECT_WIDTH,
    )


def _filter_keys(choice: ChartChoice) -> tuple[str, ...]:
    """The filters that the chart's marks set."""
    if choice.kind in _BOXED:
        return tuple(dict.fromkeys((choice.x, choice.y)))
    if choice.kind is ChartKind.HISTOGRAM or not choice.y:
        return (choice.x,)
    return tuple(dict.fromkeys(name for name in (choice.x, choice.colour) if name))


def _chart(selection: Selection, data: ChartData, keys: tuple[str, ...], fields: Mapping[str, Field]) -> None:
    if not data.n:
        layout.remark("None of these photos has a value in every field of the chart.")
        return
    ranges = {key: fields[key].kind for key in keys if key.startswith("column.") and fields[key].kind in _RANGED}
    labels = [fields[name].label for name in data.choice.names]
    crossfilter_chart.crossfilter_chart(
        "own",
        lambda present: own_figure.draw(data, present, selection.run.classes, ranges),
        keys,
        alt=f"{KINDS[data.choice.kind]}: {', '.join(labels)} of {photo_count(data.n)}.",
        boxes=data.choice.kind in _BOXED,
        ranges=ranges,
    )
    layout.remark(" ".join([f"n = {photo_count(data.n)}.", *describe_omissions(data)]))
