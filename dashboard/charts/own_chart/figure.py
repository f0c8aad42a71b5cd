"""Draw the chart whose fields the visitor chooses: histogram, bars, boxes, scatter plot, or cells with counts.

In: `ChartData` of `seglib.query.own_chart`, whose groups carry the filters of the marks.
"""

from collections.abc import Sequence

import plotly.graph_objects as go

from dashboard.charts.own_chart.bars import draw_boxes, draw_counts, draw_means
from dashboard.charts.own_chart.cells import draw_cells, draw_points
from dashboard.charts.own_chart.parts import Look
from dashboard.state.crossfilter import RangeKinds
from seglib.query.export import csv_text
from seglib.query.fields import Kind
from seglib.query.filters import Filters
from seglib.query.histograms import QUANTILES
from seglib.query.own_chart.axes import Axis, format_value
from seglib.query.own_chart.chart import ChartData, ChartKind


def draw(data: ChartData, active: Filters, classes: Sequence[str], ranges: RangeKinds) -> go.Figure:
    """`active`: the chart's own filters; `classes`: all of the run, whose colours groups of that name have."""
    figure = {
        ChartKind.HISTOGRAM: draw_counts,
        ChartKind.BAR: draw_counts if data.y_field is None else draw_means,
        ChartKind.BOX: draw_boxes,
        ChartKind.SCATTER: draw_points,
        ChartKind.HEAT: draw_cells,
    }[data.choice.kind](data, Look(active, tuple(classes), ranges))
    figure.layout.meta = to_csv(data)
    return figure


def to_csv(data: ChartData) -> str:
    """The numbers of the chart: the groups by name or bounds, and what was computed for each."""
    columns: dict[str, list[object]] = {}
    if data.choice.kind is ChartKind.SCATTER:
        assert data.y_field is not None
        for field, axis in ((data.x.field, "x"), (data.y_field, "y")):
            values = data.frame[axis].tolist()
            columns[field.name] = [format_value(field, value) if field.kind is Kind.DATE else value for value in values]
    else:
        columns |= _csv_groups(data.x, data.frame["x"].tolist())
    if data.y is not None:
        columns |= _csv_groups(data.y, data.frame["y"].tolist())
    if data.colour is not None and data.colour.field.name not in columns:
        columns |= _csv_groups(data.colour, data.frame["colour"].tolist())
    of = f" of {data.y_field.name}" if data.y_field is not None else ""
    names = {"count": "photos", "n": "photos", "mean": f"mean{of}"}
    names |= {name: f"{quantile:.0%}{of}".replace("50%", "median") for name, quantile in QUANTILES.items()}
    columns |= {names[name]: data.frame[name].tolist() for name in data.frame.columns if name in names}
    return csv_text(columns)


def _csv_groups(axis: Axis, places: Sequence[int]) -> dict[str, list[object]]:
    groups = [axis.groups[place] for place in places]
    if not axis.is_numeric:
        return {axis.field.name: [group.label for group in groups]}
    return {
        f"{axis.field.name} from": [format_value(axis.field, group.low) for group in groups],
        f"{axis.field.name} to": [format_value(axis.field, group.high) for group in groups],
    }
