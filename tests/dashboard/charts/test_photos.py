"""Charts say what their small frame says, in the colours of the overlays."""

import pandas as pd
import pytest

from dashboard.charts import photos as photo_charts
from dashboard.charts import theme
from seglib.classes import VOC_CLASSES
from seglib.query.filters import Filters

COLOURS = theme.class_colours(VOC_CLASSES)


@pytest.fixture
def distribution() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "mean_share": [0.7, 0.2, 0.1, 0.0],
            "present": [4, 2, 1, 0],
            "presence": [1, 0.5, 0.25, 0],
            "n": [4, 4, 4, 4],
        },
        index=pd.Index(["background", "cat", "<b>dog</b>", "sheep"], name="class"),
    )


def test_area_and_photos_of_each_present_class_but_the_background_the_largest_first(distribution):
    figure = photo_charts.class_distribution(distribution)
    means, presence, hits = figure.data
    texts = [note.text.replace("\xa0", " ") for note in figure.layout.annotations]
    assert list(means.x) == [0.2, 0.1]
    assert list(presence.x) == [0.5, 0.25]
    assert len({means.xaxis, presence.xaxis, hits.xaxis}) == 3  # side by side, not in each other
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]
    for bars in (presence, means, hits):
        assert list(bars.y) == ["cat", "&lt;b&gt;dog&lt;/b&gt;"]
        assert bars.customdata[1][0] == "present=%3Cb%3Edog%3C%2Fb%3E"
    assert texts == ["area", "20 %", "10 %", "photos", "50 %", "25 %"]
    assert [list(custom[1:]) for custom in hits.customdata] == [[0.2, 2, 4], [0.1, 1, 4]]  # n is shown on hover
    assert means.marker.color[0] == "#56b4e9"


def test_no_more_bars_than_asked_for(distribution):
    assert len(photo_charts.class_distribution(distribution, limit=1).data[0].x) == 1


def test_the_chart_in_words(distribution):
    assert theme.describe_distribution(distribution, 2).replace("\xa0", " ") == "background 70 %, cat 20 %"
    assert theme.describe_distribution(distribution.iloc[3:]) == "no class"


def test_an_empty_distribution_is_an_empty_chart(distribution):
    assert list(photo_charts.class_distribution(distribution.iloc[:0]).data[0].x) == []


@pytest.mark.parametrize(
    ("colour", "ink"), [("#000000", "#ffffff"), ("#ffffff", "#000000"), ("#56b4e9", "#000000"), ("#332288", "#ffffff")]
)
def test_text_on_a_colour_is_black_or_white_as_it_reads_best(colour, ink):
    assert theme.text_colour(colour) == ink


def test_the_parts_of_a_label_add_up_and_the_rest_is_other():
    means = pd.DataFrame(
        {"n": [2, 3], "background": [0.5, 0.6], "cat": [0.3, 0.1], "dog": [0.1, 0.3], "sofa": [0.1, 0.0]},
        index=pd.Index(["cats", ""], name="label"),
    )
    figure = photo_charts.share_by_label(means, limit=3)
    assert [bar.name for bar in figure.data] == ["background", "cat", "dog", "other"] or [
        bar.name for bar in figure.data
    ] == ["background", "dog", "cat", "other"]
    assert sum(bar.x[0] for bar in figure.data) == pytest.approx(1)
    assert list(figure.data[0].y) == ["cats n = 2", "(none) n = 3"]
    assert list(figure.data[-1].x) == pytest.approx([0.1, 0.0])
    assert [bar.text for bar in figure.data] == [bar.name for bar in figure.data]  # not by colour alone


def test_a_class_that_no_model_of_the_run_knows_takes_no_part():
    means = pd.DataFrame({"n": [1], "background": [1.0], "cat": [float("nan")]}, index=pd.Index(["a"], name="label"))
    assert [bar.name for bar in photo_charts.share_by_label(means).data] == ["background"]


@pytest.fixture
def bins() -> pd.DataFrame:
    return pd.DataFrame({"low": [0.0, 0.25, 0.5, 0.75], "high": [0.25, 0.5, 0.75, 1.0], "count": [0, 3, 0, 1]})


def test_a_bar_per_bin_without_the_empty_ends(bins):
    bar, hits = photo_charts.histogram(bins, "confidence").data
    assert list(bar.x) == list(hits.x) == [0.375, 0.625, 0.875]
    assert list(bar.y) == [3, 0, 1]
    assert list(hits.y) == [3, 0, 3]  # the smallest bar can be clicked over the whole height; where no photo is, none
    assert hits.customdata[0] == ["confidence=0.25..%3C0.5", "0.25 to 0.50", "3 photos"]
    assert hits.customdata[2][0] == "confidence=0.75..1"
    assert [custom[0] for custom in bar.customdata] == [custom[0] for custom in hits.customdata]


def test_shares_keep_the_whole_axis(bins):
    figure = photo_charts.histogram(bins, "share.cat", as_share=True)
    assert list(figure.data[0].y) == [0, 3, 0, 1]
    assert tuple(figure.layout.xaxis.range) == (0, 1)


def test_no_tick_stands_between_whole_photos(bins):
    assert photo_charts.histogram(bins, "confidence").layout.yaxis.dtick == 1
    assert photo_charts.histogram(bins.assign(count=100), "confidence").layout.yaxis.dtick is None


def test_no_photo_is_a_chart_without_bars_above_zero(bins):
    assert sum(photo_charts.histogram(bins.assign(count=0), "confidence").data[0].y) == 0
    assert theme.describe_histogram(bins.assign(count=0)) == "No photo."


def test_the_fullest_bin_in_words(bins):
    assert theme.describe_histogram(bins) == "Most of them, 3 photos, at 0.25 to 0.50."


def test_what_is_filtered_stays_strong_among_its_siblings(bins):
    present = Filters.decode("confidence=0.8..0.9")
    bar, _ = theme.fade_unselected(photo_charts.histogram(bins, "confidence"), present).data
    assert [opacity == 1 for opacity in bar.marker.opacity] == [False, False, True]
    assert theme.fade_unselected(photo_charts.histogram(bins, "confidence"), Filters()).data[0].marker.opacity is None


def test_regions_stand_side_by_side_and_the_last_are_all_others():
    counts = pd.DataFrame({"cat": [3, 2, 0], "dog": [4, 0, 1]}, index=pd.RangeIndex(3))
    cat, cat_hits, dog, dog_hits = photo_charts.regions(counts, COLOURS).data
    assert list(cat.y) == [3, 2, 0]
    assert list(dog_hits.y) == [4, 0, 4]
    assert [custom[0] for custom in cat_hits.customdata] == ["blobs.cat=0", "blobs.cat=1", "blobs.cat=2.."]
    assert cat_hits.customdata[2][1:] == ["cat: 2 regions or more", "0 photos"]
    assert all(left < right for left, right in zip(cat.x, dog.x, strict=True))
    assert list(photo_charts.regions(counts, COLOURS).layout.xaxis.ticktext) == [
        "0",
        "1",
        "2 or more",
    ]
    assert cat.marker.pattern.shape != dog.marker.pattern.shape  # not by colour alone


@pytest.fixture
def density() -> pd.DataFrame:
    return pd.DataFrame(
        {"x_low": [0.5, 0.75], "x_high": [0.75, 1.0], "y_low": [0.0, 0.5], "y_high": [0.5, 1.0], "count": [1, 9]}
    )


def test_a_square_carries_both_its_filters_and_is_stronger_with_more_photos(density):
    keys = ("confidence", "share.cat")
    figure = photo_charts.squares(density, keys, ("confidence", "share of cat"))
    (marks,) = figure.data
    assert marks.customdata[0][0] == "confidence=0.5..%3C0.75&share.cat=0..%3C0.5"
    assert marks.customdata[1][0] == "confidence=0.75..1&share.cat=0.5..1"
    assert [text.replace("\xa0", " ") for text in marks.customdata[1][1:]] == [
        "0.75 to 1.00",
        "50 % to 100 %",
        "9 photos",
    ]
    assert marks.marker.opacity[0] < marks.marker.opacity[1] == 1
    assert figure.layout.dragmode == "select"
    assert not figure.layout.shapes


def test_a_frame_shows_what_is_filtered(density):
    present = Filters.decode("confidence=0.8..1")
    (frame,) = photo_charts.squares(density, ("confidence", "share.cat"), ("a", "b"), present).layout.shapes
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.8, 1, 0, 1)


def test_squares_of_sizes_speak_of_whole_pixels():
    sizes = pd.DataFrame({"x_low": [300], "x_high": [319], "y_low": [1000], "y_high": [1000], "count": [2]})
    (marks,) = photo_charts.squares(sizes, ("width", "height"), ("width (px)", "height (px)"), unit=False).data
    assert marks.customdata[0] == ["width=300..319&height=1000", "300 to 319", "1,000", "2 photos"]


def test_no_photo_is_no_square(density):
    assert list(photo_charts.squares(density.iloc[:0], ("confidence", "share.cat"), ("a", "b")).data[0].x) == []


def test_a_box_and_a_place_to_click_per_folder():
    spread = pd.DataFrame(
        {"n": [2], "mean": [0.4], "low": [0.1], "q1": [0.2], "median": [0.3], "q3": [0.5], "high": [0.9]},
        index=pd.Index([""], name="label"),
    )
    *boxes, hits = photo_charts.share_spread(spread, "#112233").data
    spans = [(bar.base[0], bar.base[0] + bar.x[0]) for bar in boxes]
    assert spans == [pytest.approx(span) for span in ((0.1, 0.2), (0.2, 0.3), (0.3, 0.5), (0.5, 0.9))]
    for bar in boxes:
        assert list(bar.y) == list(hits.y) == ["(none) n = 2"]
        assert hits.customdata[0][0] == bar.customdata[0][0] == "label="
    faded, *_ = theme.fade_unselected(photo_charts.share_spread(spread, "#112233"), Filters.decode("label=cats")).data
    assert faded.marker.opacity[0] < 0.5


def test_colours_follow_the_palette():
    names = ["background", "aeroplane"]
    assert theme.class_colours(names, "voc") == {"background": "#000000", "aeroplane": "#800000"}
    assert theme.class_colours(names)["aeroplane"] == "#772211"


def test_the_tests_have_every_entry_checked():
    with pytest.raises(ValueError, match="nonsense"):
        theme.make_figure([theme.bars(x=[1], y=[2])], 100, nonsense=1)
