"""Charts of several runs: what is undefined is not drawn, and names stay text."""

import pytest

from dashboard.charts.runs import MAX_BARS_WITH_INTERVALS, class_bars, describe, interval_dots
from seglib.metrics.bootstrap import Estimate


def figure(value: float | None, *ends: float) -> Estimate:
    return Estimate(value=value, interval=tuple(ends) or None, mean=value, mean_interval=None, n=9)


def test_dots_have_their_intervals_and_undefined_ones_are_left_out():
    drawn = interval_dots(["<i> · 224", "b"], {"mIoU": [figure(0.4, 0.3, 0.6), figure(None)]}, best=[True])
    (trace,) = drawn.data
    assert list(trace.x) == [0.4]
    assert list(trace.y) == ["<b>&lt;i&gt;<br>224</b>"]
    assert (trace.error_x.array, trace.error_x.arrayminus) == (pytest.approx((0.2,)), pytest.approx((0.1,)))
    assert drawn.layout.xaxis.range[0] < 0.3 < 0.6 < drawn.layout.xaxis.range[1]
    assert list(drawn.layout.yaxis.categoryarray) == ["b", "<b>&lt;i&gt;<br>224</b>"]  # the first on top
    assert interval_dots(["a"], {"mIoU": [figure(None)]}).layout.xaxis.range is not None


def test_bars_stand_side_by_side_and_their_intervals_are_drawn_where_there_is_room():
    drawn = class_bars(
        ["cat", "dog"], {"a": [figure(0.4, 0.3, 0.6), figure(0.1)], "b": [figure(None), figure(0.2)]}, axis="IoU"
    )
    assert [list(trace.x) for trace in drawn.data] == [[0.4, 0.1], [None, 0.2]]
    assert drawn.data[0].error_x.visible is True
    names = [str(number) for number in range(MAX_BARS_WITH_INTERVALS + 1)]
    many = class_bars(names, {"a": [figure(0.4, 0.3, 0.5)] * len(names)}, axis="IoU")
    assert many.data[0].error_x.visible is False
    assert class_bars([], {}, axis="IoU").layout.height > 0


def test_figures_are_told_to_screen_readers():
    said = describe(["a", "b"], [figure(0.4, 0.3, 0.6), figure(None)])
    assert said.replace("\xa0", " ") == "a 40.0 % (30.0 to 60.0 %), b –"
