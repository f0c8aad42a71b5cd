"""Charts of comparisons carry what a click means, their intervals, and inert names."""

import numpy as np
import pandas as pd
import pytest

from dashboard.charts import comparison as comparison_charts
from dashboard.formatting import interval, percent_fixed, percentage_points
from seglib.metrics.bootstrap import Estimate


def figure_of(value: float | None, ends: tuple[float, float] | None) -> Estimate:
    return Estimate(value=value, interval=ends, mean=value, mean_interval=ends, n=5)


def test_a_point_carries_its_photo_and_a_name_is_no_html():
    frame = pd.DataFrame({"path": ["<b>x.jpg"], "image_id": ["a" * 32], "x": [0.5], "y": [0.25]})
    line, points = comparison_charts.shares(frame, "cat", "#123456").data
    assert (list(line.x), list(line.y)) == ([0, 1], [0, 1])
    assert points.customdata == (["a" * 32, "&lt;b&gt;x.jpg", "50\xa0%", "25\xa0%"],)
    assert (list(points.x), list(points.y)) == ([0.5], [0.25])


def test_squares_are_boxed_and_say_how_many_photos_they_are():
    ends = {"x_low": [0.0], "x_high": [0.04], "y_low": [0.2], "y_high": [0.24]}
    frame = pd.DataFrame({"square": [5], **ends, "count": [7]})
    figure = comparison_charts.shares(frame, "cat", "#123456")
    assert figure.layout.dragmode == "select"
    assert figure.data[1].customdata[0] == ["5", "7 photos", "0\xa0% to 4\xa0%", "20\xa0% to 24\xa0%"]
    assert (figure.data[1].x[0], figure.data[1].y[0]) == pytest.approx((0.02, 0.22))


def test_area_differences_take_the_colour_of_the_run_that_sees_more():
    (bars,) = comparison_charts.area_differences(
        {"cat": figure_of(0.02, (0.01, 0.05)), "dog": figure_of(-0.01, None)}
    ).data
    assert list(bars.x) == [2, -1]
    assert list(bars.marker.color) == [comparison_charts.B_COLOUR, comparison_charts.A_COLOUR]
    assert list(bars.error_x.array) == pytest.approx([3, 0])
    assert list(bars.error_x.arrayminus) == pytest.approx([1, 0])


def test_worth_draws_intervals_and_its_reference_hollow():
    figures = [figure_of(0.9, (0.85, 0.93)), figure_of(1.0, None)]
    figure = comparison_charts.cost_benefit([1.0, 10.0], ["<i>a", "b"], figures, cost="GFLOPs", merit="agreement")
    (points,) = figure.data
    assert list(points.marker.symbol) == ["circle", "circle-open"]
    assert list(points.error_y.array) == pytest.approx([0.03, 0])
    assert list(points.error_y.arrayminus) == pytest.approx([0.05, 0])
    assert points.text[0] == "&lt;i&gt;a"
    assert points.customdata[0] == ["1", "90.0\xa0%", "85.0 to 93.0\xa0%"]
    low, high = figure.layout.xaxis.range
    assert low < np.log10(1) < np.log10(10) < high
    assert figure.layout.yaxis.range[0] < 0.85
    assert figure.layout.yaxis.range[1] > 1


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (percent_fixed(0.9234), "92.3\xa0%"),
        (percent_fixed(None), "–"),
        (percent_fixed(float("nan")), "–"),
        (percentage_points(0.0123), "+1.2"),
        (percentage_points(-0.0123), "\N{MINUS SIGN}1.2"),
        (percentage_points(-0.0001), "\N{MINUS SIGN}0.01"),  # not "0.0 points", of which one cannot tell the sign
        (percentage_points(0.00004), "+0.004"),
        (percentage_points(1e-9), "0"),
        (percentage_points(0.0), "0"),
        (percentage_points(None), "–"),
        (interval((0.899, 0.944)), "89.9 to 94.4\xa0%"),
        (interval(None), "no interval"),
    ],
)
def test_figures_in_words(written, text):
    assert written == text
