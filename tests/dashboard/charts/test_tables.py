"""The CSV of each chart holds what the chart shows: tidy columns, numbers as they are, names as they are."""

import io

import numpy as np
import pandas as pd
import pytest

from dashboard.charts import comparison, evaluation, photos, runs, tables, theme
from seglib.classes import VOC_CLASSES
from seglib.metrics.bootstrap import Estimate

NASTY = '<b>cat</b>, "=1"'


def table_of(figure) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(figure.layout.meta), keep_default_na=False, na_values=[""])


def values(frame: pd.DataFrame) -> list[list[object]]:
    return frame.astype("object").where(frame.notna(), None).to_numpy().tolist()


def test_a_class_distribution():
    frame = pd.DataFrame(
        {"mean_share": [0.7, 0.1 + 0.2], "present": [4, 2], "presence": [1.0, 0.5], "n": [4, 4]},
        index=pd.Index(["background", NASTY], name="class"),
    )
    table = table_of(photos.class_distribution(frame))
    assert table.columns.tolist() == [
        "class",
        "mean share (0 to 1)",
        "photos with at least 0.5 % of it",
        "share of photos (0 to 1)",
        "photos",
    ]
    assert values(table) == [["background", 0.7, 4, 1.0, 4], [NASTY, 0.30000000000000004, 2, 0.5, 4]]


def test_shares_by_label_are_tidy_and_hold_the_rest():
    means = pd.DataFrame(
        {"n": [2, 3], "background": [0.5, 0.6], "cat": [0.3, 0.1], "sofa": [0.2, 0.3]},
        index=pd.Index(["=cats", ""], name="label"),
    )
    table = table_of(photos.share_by_label(means, limit=2))
    assert values(table) == [
        ["'=cats", "background", 0.5, 2],
        [None, "background", 0.6, 3],
        ["'=cats", "sofa", 0.2, 2],
        [None, "sofa", 0.3, 3],
        ["'=cats", "other", 0.3, 2],
        [None, "other", 0.1, 3],
    ]


def test_a_spread():
    spread = pd.DataFrame(
        {"n": [7], "mean": [0.31], "low": [0.05], "q1": [0.2], "median": [0.3], "q3": [0.4], "high": [0.9]},
        index=pd.Index(["cats"], name="label"),
    )
    table = table_of(photos.share_spread(spread, "#112233"))
    assert table.columns.tolist()[1:3] == ["share: 5 % (0 to 1)", "share: 25 % (0 to 1)"]
    assert values(table) == [["cats", 0.05, 0.2, 0.3, 0.4, 0.9, 0.31, 7]]


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("low_margin", ["low margin from (0 to 1)", "low margin to (0 to 1)", "photos"]),
        ("share.tv set", ["share of tv set from (0 to 1)", "share of tv set to (0 to 1)", "photos"]),
    ],
)
def test_a_histogram(key, columns):
    bins = pd.DataFrame({"low": [0.0, 0.25, 0.5], "high": [0.25, 0.5, 1.0], "count": [3, 0, 1]})
    table = table_of(photos.histogram(bins, key))
    assert table.columns.tolist() == columns
    assert values(table) == [[0.0, 0.25, 3], [0.25, 0.5, 0], [0.5, 1.0, 1]]


def test_regions_have_no_upper_end_at_the_last():
    counts = pd.DataFrame({"cat": [4, 2], "dog": [5, 1]}, index=pd.RangeIndex(2, name="regions"))
    table = table_of(photos.regions(counts, theme.class_colours(VOC_CLASSES)))
    assert values(table) == [["cat", 0, 0, 4], ["cat", 1, None, 2], ["dog", 0, 0, 5], ["dog", 1, None, 1]]


def test_squares_of_measures_and_of_pixels():
    frame = pd.DataFrame({"x_low": [0.5], "x_high": [0.75], "y_low": [0.0], "y_high": [0.1], "count": [9]})
    table = table_of(photos.squares(frame, ("confidence", "share.cat"), ("a", "b")))
    assert table.columns.tolist()[:3] == [
        "confidence from (0 to 1)",
        "confidence to (0 to 1)",
        "share of cat from (0 to 1)",
    ]
    assert values(table) == [[0.5, 0.75, 0.0, 0.1, 9]]
    sizes = pd.DataFrame({"x_low": [400], "x_high": [449], "y_low": [300], "y_high": [349], "count": [9]})
    table = table_of(photos.squares(sizes, ("width", "height"), ("a", "b"), unit=False))
    assert table.columns.tolist() == [
        "width from (px)",
        "width to (px)",
        "height from (px)",
        "height to (px)",
        "photos",
    ]
    assert values(table) == [[400, 449, 300, 349, 9]]


def test_compared_shares_of_photos_and_of_squares():
    frame = pd.DataFrame({"image_id": ["a"], "path": ["-cats/a.jpg"], "x": [0.125], "y": [1 / 3]})
    table = table_of(comparison.shares(frame, "cat", "#112233"))
    assert table.columns.tolist() == ["path", "share of cat in A (0 to 1)", "share of cat in B (0 to 1)"]
    assert values(table) == [["'-cats/a.jpg", 0.125, 1 / 3]]
    frame = pd.DataFrame(
        {"square": [3], "x_low": [0.5], "x_high": [0.6], "y_low": [0.1], "y_high": [0.2], "count": [2]}
    )
    assert values(table_of(comparison.shares(frame, "cat", "#112233"))) == [[0.5, 0.6, 0.1, 0.2, 2]]


def test_differences_and_costs_have_their_intervals():
    sure = Estimate(value=1 / 3, interval=(0.25, 0.5), mean=0.3, mean_interval=None, n=4)
    alone = Estimate(value=-0.5, interval=None, mean=0.3, mean_interval=None, n=4)
    table = table_of(comparison.area_differences({"cat": sure, NASTY: alone}))
    assert table.columns.tolist()[1:] == [
        "B minus A, share of all pixels",
        "95 % interval from",
        "95 % interval to",
    ]
    assert values(table) == [["cat", 1 / 3, 0.25, 0.5], [NASTY, -0.5, None, None]]
    table = table_of(comparison.cost_benefit([1.5, 20.0], ["a", "b"], [sure, alone], cost="GFLOPs", merit="mIoU"))
    assert table.columns.tolist()[:3] == ["run", "GFLOPs", "mIoU (0 to 1)"]
    assert values(table) == [["a", 1.5, 1 / 3, 0.25, 0.5], ["b", 20.0, -0.5, None, None]]


def test_runs_side_by_side_are_one_row_per_figure():
    known = Estimate(value=0.5, interval=(0.25, 0.75), mean=None, mean_interval=None, n=4)
    unknown = Estimate(value=None, interval=None, mean=None, mean_interval=None, n=0)
    dots = runs.interval_dots(
        ["U-Net · 224", NASTY], {"mIoU": [known, unknown], "accuracy": [known, known]}, best=[True]
    )
    table = table_of(dots)
    assert table.columns.tolist()[:3] == ["name", "measure", "value (0 to 1)"]
    assert values(table) == [
        ["U-Net · 224", "mIoU", 0.5, 0.25, 0.75],
        [NASTY, "mIoU", None, None, None],
        ["U-Net · 224", "accuracy", 0.5, 0.25, 0.75],
        [NASTY, "accuracy", 0.5, 0.25, 0.75],
    ]
    table = table_of(runs.class_bars(["cat"], {"A": [known], "B": [unknown]}, axis="IoU"))
    assert table.columns.tolist()[:3] == ["class", "run", "IoU (0 to 1)"]
    assert values(table) == [["cat", "A", 0.5, 0.25, 0.75], ["cat", "B", None, None, None]]


def test_calibration_holds_the_bins_that_hold_anything():
    curve = pd.DataFrame(
        {"low": [0.0, 0.5], "high": [0.5, 1.0], "n": [0, 12], "confidence": [np.nan, 0.7], "accuracy": [np.nan, 0.65]}
    )
    table = table_of(evaluation.reliability(curve, "pixels"))
    assert table.columns.tolist()[-1] == "pixels"
    assert values(table) == [[0.5, 1.0, 0.7, 0.65, 12]]


def test_a_matrix_is_one_row_per_cell():
    pixels = pd.DataFrame([[3, 1], [0, 4]], index=["cat", NASTY], columns=["cat", "dog"])
    table = pd.read_csv(io.StringIO(tables.cells(("truth", "prediction"), {"pixels": pixels, "share": pixels / 8})))
    assert table.columns.tolist() == ["truth", "prediction", "pixels", "share"]
    assert values(table) == [
        ["cat", "cat", 3, 0.375],
        ["cat", "dog", 1, 0.125],
        [NASTY, "cat", 0, 0.0],
        [NASTY, "dog", 4, 0.5],
    ]


def test_a_chart_without_a_table_has_the_values_of_its_marks():
    marks = [
        theme.DIAGONAL,
        theme.bars(
            x=[1.5, 2.5],
            y=["<b>&lt;b&gt;</b>  ", "dog"],
            name="A &amp; B",
            error_x={"array": [0.5, 1.0], "arrayminus": [0.25, 0.5]},
        ),
        theme.bars(x=[1, 1], y=["a", "b"], marker={"color": theme.INVISIBLE}),
    ]
    table = table_of(theme.make_figure(marks, 100, xaxis={"title": {"text": "mIoU"}}))
    assert table.columns.tolist() == ["series", "mIoU", "y", "95 % interval from", "95 % interval to"]
    assert values(table) == [["A & B", 1.5, "<b>", 1.25, 2.0], ["A & B", 2.5, "dog", 2.0, 3.5]]
    plain = theme.make_figure([theme.points(x=[1], y=[2])], 100)
    assert plain.layout.meta == "x,y\n1,2\n"
