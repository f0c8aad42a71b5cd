"""The chart of slices: its rows, its marks, and that names are text."""

import csv
import io

from dashboard.charts import slices as slice_charts
from dashboard.charts.theme import fade_unselected
from seglib.query.filters import Filters
from tests.dashboard.answers.test_slices import CHANCE, table


def test_rows_are_sorted_and_marks_say_what_is_beyond_chance():
    found = table(("<b>x</b>", 41, CHANCE, 50), ("b", 60, CHANCE, 1234), ("c", 75, CHANCE, 50), ("d", 3, None, 2))
    figure = slice_charts.slice_dots(found, "mIoU")
    assert [label.partition(" <span")[0] for label in figure.layout.yaxis.categoryarray] == [
        "c",
        "b",
        "&lt;b&gt;x&lt;/b&gt;",
    ]
    assert "n = 1,234" in figure.layout.yaxis.categoryarray[1]
    marks = {trace.name: list(trace.x) for trace in figure.data if trace.type == "scatter"}
    assert marks == {"lower, beyond chance": [0.41], "higher, beyond chance": [0.75], "within chance": [0.6]}
    (band,) = [trace for trace in figure.data if trace.type == "bar"]
    assert [round(width, 6) for width in band.x] == [0.2] * 3
    rows = list(csv.DictReader(io.StringIO(figure.layout.meta)))
    assert [row["camera"] for row in rows] == ["<b>x</b>", "b", "c", "d"]
    assert rows[3]["photos"] == "2"
    fade_unselected(figure, Filters.decode("column.camera=b"))  # every trace has the filters of its marks
    assert slice_charts.describe(found).startswith("<b>x</b> 41.0")


def test_long_names_that_begin_alike_keep_rows_of_their_own():
    long = "a" * 40
    figure = slice_charts.slice_dots(table(*((f"{long}{i}", 60, CHANCE, 50) for i in range(3))), "mIoU")
    assert len(set(figure.layout.yaxis.categoryarray)) == 3


def test_at_most_thirty_rows_are_drawn():
    figure = slice_charts.slice_dots(table(*((f"c{i:02}", 60, CHANCE, 50) for i in range(40))), "mIoU")
    assert len(figure.layout.yaxis.categoryarray) == slice_charts.MAX_SLICES
