"""What the Evaluate page asks: figures as the library's, and one can check them by eye."""

import numpy as np
import pytest

from dashboard.charts.evaluation import reliability
from dashboard.formatting import MEASURE_NAMES
from dashboard.queries import evaluation_stats
from dashboard.queries.evaluation_stats import SORT_MEASURES
from seglib.evaluation import evaluation, truth_counting
from seglib.masks import difference
from seglib.masks.difference import CATEGORIES
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PIXELS, draw_truth, fill_store, id_of, make_run_config

RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name


@pytest.fixture
def found(full):
    """Two runs against `conftest.TRUTH`; the other one sees all of the first photo's cat."""
    fill_store(full, code_schema=2, pixels=PIXELS | {"cats/a.jpg": {"cat": 60}})
    store = Store(full)
    report = truth_counting.update_counts(store, open_drawn(draw_truth(full.parent / "masks")), [RUN, OTHER])
    return [evaluation.load_evaluation(store, report.truth, run) for run in (RUN, OTHER)]


def test_figures_are_those_of_the_counts(found):
    figures = evaluation_stats.figures(found)
    assert list(figures) == [RUN, OTHER]
    assert set(figures[RUN]) == set(MEASURE_NAMES)
    assert figures[RUN]["pixel_accuracy"].value == pytest.approx(260 / 300)
    assert figures[OTHER]["pixel_accuracy"].value == pytest.approx(270 / 300)
    iou = [130 / 140, 50 / 90, 80 / 110]
    assert figures[RUN]["miou"].value == pytest.approx(sum(iou) / 3)
    assert figures[RUN]["ece"].value is None
    gains = evaluation_stats.differences(found)
    assert [gain.value for gain in gains if gain.measure == "pixel_accuracy"] == [pytest.approx(10 / 300)]


def test_classes_that_are_somewhere_the_largest_first_behind_background(found):
    shown = evaluation_stats.class_figures(found[0])
    assert shown.names == ["background", "dog", "cat"]
    assert shown.figures["iou:cat"].value == pytest.approx(50 / 90)
    assert shown.figures["dice:cat"].value == pytest.approx(100 / 140)
    assert shown.truth["cat"] == pytest.approx(90 / 300)
    assert evaluation_stats.main_classes(found[0], 1) == ["background"]


def test_the_confusion_has_the_truth_in_rows(found):
    shown = evaluation_stats.confusion(found[0], 3)
    assert shown.pixels.loc["cat", "dog"] == 30 * 12
    assert shown.pixels.loc["dog", "cat"] == 0
    assert shown.row_pixels["cat"] == 90 * 12
    assert (shown.left_out, shown.total_pixels) == (0, 300 * 12)
    fewer = evaluation_stats.confusion(found[0], 2)
    assert (fewer.left_out, fewer.total_pixels) == (1, 300 * 12)  # all that are labelled, whatever is shown
    assert fewer.row_pixels.sum() < fewer.total_pixels


def test_the_headline_holds_all_runs_and_background_last(found):
    shown = evaluation_stats.headline(found, 3)
    assert list(shown.classes) == ["dog", "cat", "background"]
    figures = evaluation_stats.figures(found)
    assert shown.verdict.scores == {run: figures[run]["miou"] for run in (RUN, OTHER)}
    assert shown.accuracy == {run: figures[run]["pixel_accuracy"] for run in (RUN, OTHER)}
    assert shown.classes["cat"][RUN] == found[0].figures()["iou:cat"]
    gap = shown.verdict.gap(OTHER, RUN)
    assert gap.value == pytest.approx(figures[OTHER]["miou"].value - figures[RUN]["miou"].value)
    assert gap.differing == 1  # the cat of which the first run misses ten pixels
    assert shown.verdict.gap(RUN, OTHER).interval == tuple(-end for end in reversed(gap.interval))


def test_calibration(found):
    unit, curve = evaluation_stats.reliability(found[0])
    assert unit == "images"
    assert curve["n"].sum() == 3
    figure = reliability(curve, unit)
    assert len(figure.data[1].x) == 3
    assert "photos" in figure.data[1].hovertemplate


@pytest.mark.parametrize("grade", list(SORT_MEASURES))
def test_the_worst_photo_comes_first(found, grade):
    order = evaluation_stats.sort_worst_first(found[0], grade, "cat", ())
    paths = found[0].files["path"].iloc[order.rows].tolist()
    assert paths[0] == ("cats/a.jpg" if grade == "boundary" else "cats/b.jpg")  # a is right but for its outline
    known = order.values[~np.isnan(order.values)]
    assert (np.diff(known) >= 0).all()
    assert len(order.rows) == 3


def test_a_cell_names_its_photos(found):
    order = evaluation_stats.sort_worst_first(found[0], "miou", "cat", ("cat", "background"))
    assert found[0].files["path"].iloc[order.rows].tolist() == ["cats/a.jpg"]
    assert order.values.tolist() == pytest.approx([0.1])
    for cell in (("zebra", "cat"), ("cat", "zebra"), ("dog", "cat")):
        assert len(evaluation_stats.sort_worst_first(found[0], "miou", "cat", cell).rows) == 0
    assert np.isnan(evaluation_stats.sort_worst_first(found[0], "iou", "zebra", ()).values).all()


def test_parts_are_those_of_the_picture(found, full):
    store, one = Store(full), found[0]
    at = np.arange(len(one.files))
    parts = evaluation_stats.category_shares_at(one, at)
    for row, mask_id, shares in zip(one.files["image_id"], one.files["truth"], parts, strict=True):
        right = ground_truth.read_mask(store, one.truth, mask_id)
        map_ = evaluation.error_map(right, store.mask(RUN, row), one.truth, one.run)
        assert shares.tolist() == pytest.approx([n / map_.size for n in difference.count_categories(map_).values()])
    assert parts.shape == (3, len(CATEGORIES))


def test_what_a_trimap_calls_background_is_invented_and_not_void(full, tmp_path):
    """A run that sees a person where a trimap has background is wrong there, in the figures and on the picture."""
    from PIL import Image

    folder = tmp_path / "trimaps"
    folder.mkdir()
    trimap = np.full((30, 40), 2, np.uint8)
    trimap[:6], trimap[6] = 1, 3
    Image.fromarray(trimap).save(folder / "c.png")
    store = Store(full)
    done = truth_counting.update_counts(store, open_drawn(folder, format="trimap"), [RUN])
    one = evaluation.load_evaluation(store, done.truth, RUN)
    (shares,) = evaluation_stats.category_shares_at(one, np.array([0]))
    by_name = dict(zip([category.key for category in CATEGORIES], shares.tolist(), strict=True))
    assert by_name["uncompared"] == pytest.approx(1 / 30)  # the border
    assert by_name["only_b"] == pytest.approx(2 / 30)  # two of the three rows of the person; one is the border
    assert one.measures["pixel_accuracy"].overall() == pytest.approx(27 / 29)
    assert id_of("cats/c.jpg") == one.files["image_id"].iloc[0]


def test_runs_are_told_against_each_other_on_the_photos_of_both(found, full):
    store = Store(full)
    fill_store(full, code_schema=3, pixels={"cats/a.jpg": {"cat": 60}})
    third = make_run_config(3).run_name
    truth_counting.update_counts(store, open_drawn(full.parent / "masks"), [third])
    about = found[0].truth
    assert evaluation.evaluated_runs(store, about) == [run.run for run in store.runs()]
    every = [evaluation.load_evaluation(store, about, run) for run in (RUN, third)]
    assert [len(one.files) for one in evaluation.restrict_to_common_files(every)] == [1, 1]
    assert evaluation.restrict_to_common_files([]) == []
