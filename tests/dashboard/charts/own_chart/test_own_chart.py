"""The chart of chosen fields says what its data say, in words, colours, filters and CSV."""

import numpy as np
import pandas as pd
import pytest

from dashboard.charts.own_chart.figure import draw, to_csv
from dashboard.charts.own_chart.words import describe_omissions, group_text, value_text
from seglib.query.fields import Field, Kind
from seglib.query.filters import Filters
from seglib.query.own_chart.axes import bin_values
from seglib.query.own_chart.chart import ChartChoice, ChartData, ChartKind, FieldValues, compute_chart

CLASSES = ("background", "cat", "dog")
RANGES = {"column.x": Kind.NUMBER}
FIELDS = {
    "label": FieldValues(
        Field("label", "Folder", Kind.CATEGORY), pd.Series(pd.Categorical(["cats", "cats", "<b>dogs</b>", None]))
    ),
    "content": FieldValues(
        Field("content", "Content", Kind.CATEGORY), pd.Series(pd.Categorical(["cat", "dog", "dog", "none"]))
    ),
    "column.x": FieldValues(Field("column.x", "x", Kind.NUMBER), pd.Series([1.0, 2.0, 3.0, np.nan])),
    "share.cat": FieldValues(
        Field("share.cat", "Share of cat", Kind.NUMBER, is_share=True), pd.Series([0.25, 0.5, 1.0, 0.0])
    ),
}


def compute(kind: str, x: str, y: str = "", colour: str = "") -> ChartData:
    choice = ChartChoice(ChartKind(kind), x, y, colour)
    return compute_chart(choice, {name: FIELDS[name] for name in choice.names})


def drawn(data: ChartData, active: str = ""):
    return draw(data, Filters.decode(active), CLASSES, RANGES)


def test_names_are_written_as_text_and_carry_their_filter():
    figure = drawn(compute("bar", "label"))
    bars, hits = figure.data
    assert list(figure.layout.xaxis.ticktext) == ["&lt;b&gt;dogs&lt;/b&gt;", "cats", "(none)"]
    assert list(bars.y) == [1, 2, 1]
    assert [custom[0] for custom in hits.customdata] == ["label=%3Cb%3Edogs%3C%2Fb%3E", "label=cats", "label="]
    assert hits.customdata[1][1] == "cats: 2 photos"


def test_stacked_counts_have_the_colours_of_the_classes():
    figure = drawn(compute("histogram", "label", colour="content"))
    *stacks, hits = figure.data
    assert [trace.name for trace in stacks] == ["cat", "dog", "none"]
    assert [trace.marker.color for trace in stacks[:2]] == ["#56b4e9", "#e69f00"]
    assert [base + height for base, height in zip(stacks[2].base, stacks[2].y, strict=True)] == [1, 2, 1]
    assert hits.customdata[1][1] == "cats: 2 photos<br>cat: 1<br>dog: 1"


def test_what_is_filtered_stays_strong_and_the_rest_fades():
    assert list(drawn(compute("bar", "label"), "label=cats").data[0].marker.opacity) == [0.28, 1, 0.28]
    numbers = drawn(compute("histogram", "column.x"), "column.x=1.5..2.5").data[0]
    opacity = {custom[0]: one for custom, one in zip(numbers.customdata, numbers.marker.opacity, strict=True)}
    assert (opacity["column.x=1.5..%3C1.55"], opacity["column.x=2.5..%3C2.55"]) == (1, 1)
    assert opacity["column.x=1..%3C1.05"] < 1


def test_bars_of_means_start_at_0_and_say_their_n():
    figure = drawn(compute("bar", "label", "share.cat"))
    bars, hits = figure.data
    assert list(bars.y) == [1.0, 0.375, 0.0]
    assert figure.layout.yaxis.title.text == "mean of Share of cat"
    assert figure.layout.yaxis.tickformat == ".0%"
    assert hits.customdata[1][1].replace("\xa0", " ") == "cats: mean 38 %, n = 2"


def test_boxes_span_their_quantiles():
    figure = drawn(compute("box", "label", "column.x"))
    low, middle, upper, high, hits = figure.data
    ends = [trace.base[1] + trace.y[1] for trace in (low, middle, upper, high)]
    assert ends == pytest.approx([1.25, 1.5, 1.75, 1.95])
    assert "n = 2" in hits.customdata[1][1]


def test_points_carry_short_ranges_around_their_values():
    figure = drawn(compute("scatter", "column.x", "share.cat", "content"))
    cat, dog = figure.data
    assert (list(cat.x), list(cat.y)) == ([1.0], [0.25])
    low, high = (float(text) for text in cat.customdata[0][0].removeprefix("column.x=").split("&")[0].split(".."))
    assert low <= 1 <= high
    assert high - low < 0.01
    assert "share.cat=0.25" in cat.customdata[0][0]
    assert len(dog.x) == 2
    assert figure.layout.dragmode == "select"


def test_cells_are_as_wide_as_their_bins():
    figure = drawn(compute("heat", "share.cat", "label"))
    (cells,) = figure.data
    assert sum(int(custom[1].split("<br>")[-1].split()[0]) for custom in cells.customdata) == 4
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;dogs&lt;/b&gt;", "cats", "(none)"]
    assert all("share.cat=" in custom[0] and "label=" in custom[0] for custom in cells.customdata)


def test_the_table_has_the_numbers_with_their_bounds_and_names_as_they_are():
    assert to_csv(compute("bar", "label", "column.x")).splitlines() == [
        "label,mean of column.x,photos",
        "<b>dogs</b>,3.0,1",
        "cats,1.5,2",
    ]
    first = to_csv(compute("histogram", "share.cat", colour="content")).splitlines()[:2]
    assert first == ["share.cat from,share.cat to,content,photos", "0,0.05,none,1"]


def test_what_is_left_out_and_summed_up_is_said(monkeypatch):
    assert describe_omissions(compute("histogram", "column.x")) == ["1 photo without a value is left out."]
    assert describe_omissions(compute("histogram", "label")) == []
    monkeypatch.setattr("seglib.query.own_chart.chart.MAX_POINTS", 2)
    monkeypatch.setattr("seglib.query.own_chart.chart.MAX_COLOURS", 2)
    assert describe_omissions(compute("scatter", "share.cat", "share.cat", "content")) == [
        "2 of 4 photos, drawn at random.",
        "The 2 least frequent of Content are summed up as other.",
    ]


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (Kind.NUMBER, 0.123456, "0.1235"),
        (Kind.NUMBER, 123456.7, "123,457"),
        (Kind.INTEGER, 2000, "2,000"),
        (Kind.NUMBER, -3.0, "-3"),
        (Kind.DATE, 0.0, "1970-01-01"),
    ],
)
def test_values_are_written_for_people(kind, value, text):
    assert value_text(Field("column.x", "x", kind), value) == text


@pytest.mark.parametrize(
    ("dates", "most", "first"),
    [
        (("2021-03-01", "2023-03-01"), 3, "2021"),
        (("2021-03-02", "2021-05-01"), 3, "2021-03"),
        (("2021-03-02", "2021-03-04"), 3, "2021-03-02"),
        (("2021-03-02T10:00", "2021-03-02T12:10"), 3, "2021-03-02 10:00 to 2021-03-02 11:00"),
        (("2021-03-01", "2021-03-20"), 3, "2021-03-01 to 2021-03-08"),
    ],
)
def test_periods_are_called_as_in_a_calendar(dates, most, first):
    axis = bin_values(Field("column.t", "t", Kind.DATE), pd.Series(np.array(dates, "datetime64[us]")), most)
    assert group_text(axis, axis.groups[0]) == first
