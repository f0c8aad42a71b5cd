"""Charts say what their small frame says, in the colours of the overlays."""

import pandas as pd
import pytest

from dashboard import charts


@pytest.fixture
def distribution() -> pd.DataFrame:
    return pd.DataFrame(
        {"mean_share": [0.7, 0.2, 0.1, 0.0], "present": [4, 2, 1, 0], "n": [4, 4, 4, 4]},
        index=pd.Index(["background", "cat", "<b>dog</b>", "sheep"], name="class"),
    )


def test_a_bar_per_present_class_the_largest_first(distribution):
    (bar,) = charts.class_distribution(distribution).data
    assert list(bar.x) == [0.7, 0.2, 0.1]
    assert list(bar.y) == ["background", "cat", "&lt;b&gt;dog&lt;/b&gt;"]
    assert [text.replace("\xa0", " ") for text in bar.text] == ["70 % in 4 of 4", "20 % in 2 of 4", "10 % in 1 of 4"]
    assert bar.marker.color[1] == "#56b4e9"


def test_no_more_bars_than_asked_for(distribution):
    assert len(charts.class_distribution(distribution, most=2).data[0].x) == 2


def test_the_chart_in_words(distribution):
    assert charts.in_words(distribution, 2).replace("\xa0", " ") == "background 70 %, cat 20 %"
    assert charts.in_words(distribution.iloc[3:]) == "no class"


def test_an_empty_distribution_is_an_empty_chart(distribution):
    assert list(charts.class_distribution(distribution.iloc[:0]).data[0].x) == []


def test_the_parts_of_a_label_add_up_and_the_rest_is_other():
    means = pd.DataFrame(
        {"n": [2, 3], "background": [0.5, 0.6], "cat": [0.3, 0.1], "dog": [0.1, 0.3], "sofa": [0.1, 0.0]},
        index=pd.Index(["cats", ""], name="label"),
    )
    figure = charts.share_by_label(means, most=3)
    assert [bar.name for bar in figure.data] == ["background", "cat", "dog", "other"] or [
        bar.name for bar in figure.data
    ] == ["background", "dog", "cat", "other"]
    assert sum(bar.x[0] for bar in figure.data) == pytest.approx(1)
    assert list(figure.data[0].y) == ["cats n = 2", "(none) n = 3"]
    assert list(figure.data[-1].x) == pytest.approx([0.1, 0.0])


def test_a_class_that_no_model_of_the_run_knows_takes_no_part():
    means = pd.DataFrame({"n": [1], "background": [1.0], "cat": [float("nan")]}, index=pd.Index(["a"], name="label"))
    assert [bar.name for bar in charts.share_by_label(means).data] == ["background"]


@pytest.fixture
def bins() -> pd.DataFrame:
    return pd.DataFrame({"low": [0.0, 0.25, 0.5, 0.75], "high": [0.25, 0.5, 0.75, 1.0], "count": [0, 3, 0, 1]})


def test_a_bar_per_bin_without_the_empty_ends(bins):
    (bar,) = charts.histogram(bins).data
    assert list(bar.x) == [0.375, 0.625, 0.875]
    assert list(bar.y) == [3, 0, 1]
    assert bar.customdata[0] == ["0.25 to 0.50", "3 photos"]


def test_shares_keep_the_whole_axis(bins):
    figure = charts.histogram(bins, as_share=True)
    assert list(figure.data[0].y) == [0, 3, 0, 1]
    assert tuple(figure.layout.xaxis.range) == (0, 1)


def test_no_tick_stands_between_whole_photos(bins):
    assert charts.histogram(bins).layout.yaxis.dtick == 1
    assert charts.histogram(bins.assign(count=100)).layout.yaxis.dtick is None


def test_no_photo_is_a_chart_without_bars_above_zero(bins):
    assert sum(charts.histogram(bins.assign(count=0)).data[0].y) == 0


def test_colours_follow_the_palette():
    names = ["background", "aeroplane"]
    assert charts.class_colours(names, "voc") == {"background": "#000000", "aeroplane": "#800000"}
    assert charts.class_colours(names)["aeroplane"] == "#332288"
