"""Charts of chosen fields: bins and groups by their own filters, statistics against pandas."""

import numpy as np
import pandas as pd
import pytest

from seglib.errors import UnknownName, UsageError
from seglib.query.fields import Field, Kind, find_field
from seglib.query.filters import Filters, select
from seglib.query.histograms import QUANTILES
from seglib.query.own_chart import chart
from seglib.query.own_chart.axes import OTHER, Axis, bin_values, group_names, make_edges, range_filter, round_step
from seglib.query.own_chart.chart import ChartChoice, ChartData, ChartKind, compute_chart, read_fields, suitable_fields
from seglib.query.ready_filters import READY_FILTERS, available_filters, ready_filter

ROWS = 3000
KINDS = {"share.cat": "unit", "confidence": "unit", "width": "count", "blobs.cat": "count"}
NUMERIC_FIELDS = ["share.cat", "confidence", "width", "blobs.cat", "column.iso", "column.depth", "column.taken"]
GROUPED_FIELDS = ["label", "split", "animal", "column.camera", "column.flash"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 101, ROWS)
    taken = np.datetime64("2023-11-20T08:00:00") + rng.integers(0, 400 * 86400, ROWS).astype("timedelta64[s]")
    taken[::50] = np.datetime64("NaT")
    iso = pd.array(rng.choice([100, 200, 400, 6400], ROWS), dtype="Int64")
    iso[:100] = pd.NA
    depth = rng.normal(0, 3, ROWS)
    depth[::7] = np.nan
    cameras = np.array([f"camera {n}" for n in range(40)], dtype=object)
    return pd.DataFrame(
        {
            "path": [f"{n}.jpg" for n in range(ROWS)],
            "label": pd.Categorical(rng.choice(["cats", "dogs", None], ROWS)),
            "split": pd.Categorical(rng.choice(["train", "test"], ROWS)),
            "animal": pd.Categorical(rng.choice(["cat", "dog", "none"], ROWS)),
            "width": rng.integers(200, 500, ROWS).astype(np.int32),
            "height": np.full(ROWS, 300, np.int32),
            "grid_width": 10,
            "grid_height": 10,
            "px:background": 100 - pixels,
            "px:cat": pixels,
            "blobs:cat": rng.integers(0, 4, ROWS).astype(np.uint16),
            "confidence": rng.random(ROWS).astype(np.float32),
            "column:iso": iso,
            "column:depth": depth,
            "column:taken": taken.astype("datetime64[us]"),
            "column:camera": pd.Categorical(rng.choice(cameras, ROWS, p=np.arange(1, 41) / 820)),
            "column:flash": pd.array(rng.choice([True, False, None], ROWS), dtype="boolean"),
        }
    )


def draw(table: pd.DataFrame, kind: str, x: str, y: str = "", colour: str = "") -> ChartData:
    choice = ChartChoice(ChartKind(kind), x, y, colour)
    return compute_chart(choice, read_fields(table, choice))


def passing(table: pd.DataFrame, *filters: str) -> pd.DataFrame:
    """The rows that pass the filters of marks, by the filters themselves."""
    for text in filters:
        table = select(table, Filters.decode(text))
    return table


# --- each mark counts the photos that its filter selects ---


@pytest.mark.parametrize("name", [*NUMERIC_FIELDS, *GROUPED_FIELDS])
@pytest.mark.parametrize("kind", ["histogram", "bar"])
def test_each_bar_counts_the_photos_that_its_filter_selects(table, kind, name):
    data = draw(table, kind, name)
    counted = 0
    for line in data.frame.itertuples():
        group = data.x.groups[line.x]
        if group.filter:
            assert line.count == len(passing(table, group.filter)), group
        counted += line.count
    assert counted == data.n == ROWS - data.missing
    assert len(data.x.groups) <= (chart.MAX_BINS if kind == "histogram" else 31) + 1


@pytest.mark.parametrize("names", [("label", "share.cat"), ("column.taken", "column.camera"), ("confidence", "width")])
def test_each_cell_counts_the_photos_that_its_filters_select(table, names):
    data = draw(table, "heat", *names)
    assert data.y is not None
    for line in data.frame.iloc[:: max(len(data.frame) // 40, 1)].itertuples():
        filters = data.x.groups[line.x].filter, data.y.groups[line.y].filter
        if all(filters):
            assert line.count == len(passing(table, *filters))
    assert data.frame["count"].sum() == data.n


# --- statistics against pandas ---


@pytest.mark.parametrize("colour", ["", "animal", "column.camera", "confidence"])
def test_means_are_those_of_pandas(table, colour):
    data = draw(table, "bar", "label", "column.depth", colour)
    for line in data.frame.itertuples():
        filters = [data.x.groups[line.x].filter]
        if data.colour is not None:
            filters.append(data.colour.groups[line.colour].filter)
        if all(filters):
            values = passing(table, *filters)["column:depth"].dropna()
            assert (line.n, line.mean) == (len(values), pytest.approx(values.mean()))


def test_the_mean_of_true_and_false_is_the_share_of_true(table):
    data = draw(table, "bar", "split", "column.flash")
    expected = table.groupby("split", observed=True)["column:flash"].mean()
    assert data.frame["mean"].tolist() == pytest.approx(expected.tolist())
    assert data.missing == table["column:flash"].isna().sum()


def test_boxes_are_the_quantiles_of_pandas(table):
    data = draw(table, "box", "column.iso", "share.cat", "split")
    assert data.colour is not None
    for line in data.frame.itertuples():
        values = passing(table, data.x.groups[line.x].filter, data.colour.groups[line.colour].filter)["px:cat"] / 100
        expected = values.quantile(list(QUANTILES.values())).tolist()
        assert [getattr(line, name) for name in QUANTILES] == pytest.approx(expected)
        assert (line.n, line.mean) == (len(values), pytest.approx(values.mean()))
    assert data.frame["n"].sum() == data.n == ROWS - 100


def test_a_scatter_plot_of_many_photos_is_a_sample_and_of_few_is_all_of_them(table):
    data = draw(table, "scatter", "confidence", "share.cat", "animal")
    assert (len(data.frame), data.n) == (chart.MAX_POINTS, ROWS)
    known = set(zip(table["confidence"].astype("float64"), table["px:cat"] / 100, strict=True))
    assert set(zip(data.frame["x"], data.frame["y"], strict=True)) <= known
    again = draw(table, "scatter", "confidence", "share.cat", "animal")
    pd.testing.assert_frame_equal(again.frame, data.frame)
    few = draw(table.head(50), "scatter", "column.taken", "column.depth")
    complete = table.head(50)[["column:taken", "column:depth"]].notna().all(axis=1).sum()
    assert len(few.frame) == few.n == complete < 50
    assert few.n + few.missing == 50


# --- bins ---


def make_field(kind: Kind, name: str = "column.x") -> Field:
    return Field(name, "x", kind)


@pytest.mark.parametrize(
    ("low", "high", "most", "edges"),
    [
        (0, 100, 10, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110]),
        (3, 4, 4, [3, 3.5, 4, 4.5]),
        (3, 4, 3, [3, 3.5, 4, 4.5]),
        (-0.3, 0.3, 3, [-0.4, -0.2, 0, 0.2, 0.4]),
        (5, 5, 10, [5, 5.1]),
        (0.001, 0.0031, 5, [0.001, 0.0015, 0.002, 0.0025, 0.003, 0.0035]),
    ],
)
def test_edges_are_round(low, high, most, edges):
    assert make_edges(make_field(Kind.NUMBER), low, high, most).tolist() == pytest.approx(edges)


def test_whole_numbers_have_bins_of_whole_numbers():
    assert make_edges(make_field(Kind.INTEGER), 0, 3, 40).tolist() == [0, 1, 2, 3, 4]


def test_values_up_to_1_end_at_1():
    share = make_field(Kind.NUMBER, "share.cat")
    edges = make_edges(share, 0, 1, 10)
    assert edges.tolist() == pytest.approx(np.linspace(0, 1, 11))
    axis = bin_values(share, pd.Series([0.0, 0.95, 1.0]), 10)
    assert axis.codes.tolist() == [0, 9, 9]
    assert axis.groups[-1].filter == "share.cat=0.9..1"
    assert axis.groups[0].filter == "share.cat=0..%3C0.1"
    assert bin_values(share, pd.Series([1.0, 1.0]), 10).codes.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("first", "last", "labels"),
    [
        ("2024-01-31", "2024-03-01", ["2024-01-01..2024-02-01", "2024-02-01..2024-03-01", "2024-03-01..2024-04-01"]),
        ("2021-05-05", "2024-03-01", ["2021-01-01..2022-01-01", "2022-01-01..2023-01-01", "2023-01-01..2024-01-01"]),
        ("2024-01-03", "2024-01-16", ["2024-01-01..2024-01-08", "2024-01-08..2024-01-15", "2024-01-15..2024-01-22"]),
        ("2024-01-01T10:05", "2024-01-01T12:55", ["2024-01-01T10:00..2024-01-01T11:00"]),
    ],
    ids=["months", "years", "weeks from Monday on", "hours"],
)
def test_dates_are_divided_at_the_calendar(first, last, labels):
    values = pd.Series(np.array([first, last], "datetime64[us]"))
    axis = bin_values(make_field(Kind.DATE), values, 4)
    assert [group.label for group in axis.groups][: len(labels)][:3] == labels
    assert axis.codes.tolist() == [0, len(axis.groups) - 1]


def test_a_single_date_and_no_value_at_all_have_axes():
    one = bin_values(make_field(Kind.DATE), pd.Series(np.array(["2024-01-31T10:00:00"], "datetime64[us]")), 10)
    assert (len(one.groups), one.codes.tolist()) == (1, [0])
    none = bin_values(make_field(Kind.NUMBER), pd.Series([np.nan, np.nan]), 10)
    assert (none.groups, none.codes.tolist()) == ((), [-1, -1])


def test_infinite_numbers_are_on_no_axis():
    axis = bin_values(make_field(Kind.NUMBER), pd.Series([0.0, np.inf, -np.inf, 1.0]), 4)
    assert (axis.codes >= 0).tolist() == [True, False, False, True]


@pytest.mark.parametrize(("least", "step"), [(0, 0.1), (1, 1), (1.01, 2), (3, 5), (7, 10), (0.03, 0.05), (0.2, 0.2)])
def test_steps_are_round(least, step):
    assert round_step(least) == pytest.approx(step)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("share.cat", Kind.NUMBER, "share.cat=0.2..%3C0.4"),
        ("column.x", Kind.NUMBER, "column.x=0.2..%3C0.4"),
    ],
)
def test_ranges_are_written_as_their_filters_read_them(name, kind, text):
    assert range_filter(make_field(kind, name), 0.2, 0.4, below=True) == text
    assert Filters.decode(text).encode() == text


def test_a_bin_of_whole_numbers_ends_before_the_next_one():
    width = make_field(Kind.INTEGER, "width")
    assert range_filter(width, 200, 250, below=True) == "width=200..249"
    assert range_filter(width, 200, 250) == "width=200..250"


# --- names ---


def test_names_beyond_the_most_frequent_are_merged(table):
    axis: Axis = group_names(find_field(table, "column.camera"), table["column:camera"], 30)
    assert len(axis.groups) == 30
    assert axis.groups[-1].label == OTHER
    assert axis.groups[-1].filter == ""
    assert axis.merged == 40 - 29
    counts = table["column:camera"].value_counts()
    assert {group.label for group in axis.groups[:-1]} == set(counts.index[:29])
    assert (axis.codes == 29).sum() == counts.iloc[29:].sum()


def test_rows_without_a_name_are_a_group_of_their_own(table):
    data = draw(table, "histogram", "label")
    assert [group.label for group in data.x.groups] == ["cats", "dogs", ""]
    assert data.x.groups[-1].filter == "label="
    assert data.missing == 0


def test_true_and_false_are_written_as_in_filters(table):
    axis = group_names(find_field(table, "column.flash"), table["column:flash"], 30)
    assert [group.filter for group in axis.groups] == ["column.flash=false", "column.flash=true", "column.flash="]


# --- what makes no chart ---


@pytest.mark.parametrize(
    ("kind", "x", "y", "sentence"),
    [
        ("histogram", "path", "", "is text, which has no groups"),
        ("histogram", "", "", "needs a field along x"),
        ("scatter", "confidence", "", "needs a field along y"),
        ("scatter", "label", "confidence", "Folder is neither"),
        ("scatter", "confidence", "label", "Folder is neither"),
        ("heat", "label", "", "needs a field along y"),
        ("box", "label", "split", "Split has no quantiles"),
        ("box", "label", "column.flash", "flash has no quantiles"),
        ("bar", "label", "split", "Split has no mean"),
        ("bar", "label", "column.taken", "taken has no mean"),
    ],
)
def test_a_choice_that_makes_no_chart_is_a_sentence(table, kind, x, y, sentence):
    with pytest.raises(UsageError, match=sentence):
        draw(table, kind, x, y)


def test_a_field_that_the_table_lacks_is_a_sentence(table):
    with pytest.raises(UnknownName, match=r"no field 'column\.gone'"):
        draw(table, "histogram", "column.gone")


@pytest.mark.parametrize("kind", list(ChartKind))
def test_no_photos_and_no_values_make_an_empty_chart(table, kind):
    for rows in (table.head(0), table.head(1).assign(**{"column:depth": np.nan})):
        data = draw(rows, kind, "column.depth", "confidence", "label")
        assert (len(data.frame), data.n) == (0, 0)


def test_axes_are_offered_for_all_fields_but_texts(table):
    from seglib.query.fields import list_fields

    names = [field.name for field in suitable_fields(list_fields(table.assign(tags="", content="", dominant="")))]
    assert {"column.camera", "label", "share.cat"} <= set(names)
    assert not {"path", "tag"} & set(names)


# --- ready filters ---


def test_ready_filters_are_offered_where_there_are_measures(table):
    assert available_filters(table) == []
    measured = table.assign(**{"column:sharpness": np.linspace(0, 1, ROWS, dtype=np.float32)})
    assert available_filters(measured) == ["Blurred"]
    assert select(measured, ready_filter("Blurred"))["column:sharpness"].max() < 0.29


@pytest.mark.parametrize("name", READY_FILTERS)
def test_a_ready_filter_is_an_ordinary_filter(name):
    assert Filters.decode(ready_filter(name).encode()) == ready_filter(name)
