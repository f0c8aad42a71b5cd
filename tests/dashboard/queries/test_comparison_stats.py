"""What Compare asks of a comparison, on masks of 10 x 10 pixels that one can count by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dashboard.queries import comparison_stats
from dashboard.queries.comparison_stats import costliest, sort_by_disagreement, summarize_pair
from seglib.classes import VOC_CLASSES
from seglib.evaluation import comparison, truth_counting
from seglib.masks import difference
from seglib.masks.png import encode_index_png
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PIXELS, fill_store, make_run_config

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))

SEEN_BY_B = PIXELS | {
    "cats/a.jpg": {"dog": 20, "cat": 30},  # A: 50 cat
    "cats/c.jpg": {"cat": 20},  # A: 20 cat, 10 person
    "dogs/e.jpg": {"sofa": 40},  # A: nothing
}
"""A and B agree on 80, 100, 90, 100, 60 and 100 of 100 pixels."""


@pytest.fixture
def store(tmp_path) -> Store:
    fill_store(tmp_path / "store")
    fill_store(tmp_path / "store", code_schema=2, pixels=SEEN_BY_B)
    fill_store(tmp_path / "store", code_schema=3)
    return Store(tmp_path / "store")


@pytest.fixture
def found(store) -> comparison.Comparison:
    comparison.update_counts(store, [A, B, C])
    return comparison.load_comparison(store, [A, B, C])


def paths(found: comparison.Comparison, at) -> list[str]:
    return found.files["path"].iloc[at].tolist()


def test_the_figures_of_a_pair_are_those_of_the_library_and_only_of_what_is_there(found):
    shown = summarize_pair(found, A, B)
    assert shown.photos == 6
    assert list(shown.classes.index) == ["background", "dog", "cat", "person", "sofa"]
    assert shown.classes.loc["cat"].to_dict() == {"share_a": 70 / 600, "share_b": 50 / 600, "photos": 2}
    assert shown.classes.loc["sofa", "photos"] == 1
    whole = found.figures()[A, B]
    assert set(shown.figures) == {
        *("pixel_agreement", "foreground_agreement"),
        *(f"{kind}:{name}" for kind in ("iou", "area_difference") for name in shown.classes.index),
    }
    assert all(figure == whole[name] for name, figure in shown.figures.items())
    assert shown.figures["pixel_agreement"].value == 530 / 600
    assert comparison_stats.main_classes(shown.classes, 2) == ["dog", "cat"]


def test_flips_are_the_right_way_round_and_keep_the_largest_classes(found):
    flips = comparison_stats.flips(found, A, B, 4)
    assert list(flips.pixels.index) == list(flips.pixels.columns) == ["background", "dog", "cat", "person"]
    assert flips.pixels.loc["cat", "dog"] == 20
    assert flips.pixels.loc["dog", "cat"] == 0
    assert flips.pixels.loc["person", "background"] == 10
    assert (flips.total_pixels, flips.left_out) == (600, 1)
    assert flips.row_pixels["background"] == 370  # 40 of them in the column of sofa, which is not shown
    assert comparison_stats.flips(found, A, B, 9).pixels.loc["background", "sofa"] == 40


def test_what_is_not_compared_is_no_flip(store):
    """A run of few classes: what the other calls a person, or a dog, is not compared, in no figure."""
    few = ("background", "cat")
    seen = {name: {"cat": pixels.get("cat", 0)} for name, pixels in PIXELS.items()}
    run = fill_store(store.path, code_schema=4, classes=few, pixels=seen).run
    comparison.update_counts(store, [A, run])
    found = comparison.load_comparison(store, [A, run])
    flips = comparison_stats.flips(found, A, run, 7)
    assert list(flips.pixels.index) == list(flips.pixels.columns) == list(few)
    assert flips.pixels.to_numpy().tolist() == [[370, 0], [0, 70]]
    assert flips.total_pixels == 440  # 600 without 110 of dog and 50 of person
    assert found.measures[A, run]["pixel_agreement"].overall() == 1


def test_the_headline_holds_the_pairs_and_the_areas_of_all_runs(found):
    shown = comparison_stats.headline(found, A, B, 2)
    assert list(shown.agreement.pairs) == [(A, B), (A, C), (B, C)]
    assert shown.agreement.pairs[A, B] == found.figures()[A, B]["pixel_agreement"]
    assert shown.agreement.same == {(A, C)}
    assert (shown.agreement.flip.a, shown.agreement.flip.b) == ("background", "sofa")
    assert shown.details == {}
    assert shown.areas == {
        "dog": {A: 110 / 600, B: 130 / 600, C: 110 / 600},
        "cat": {A: 70 / 600, B: 50 / 600, C: 70 / 600},
    }


def test_the_headline_of_two_runs_has_the_agreement_per_class(store):
    comparison.update_counts(store, [A, B])
    found = comparison.load_comparison(store, [A, B])
    shown = comparison_stats.headline(found, A, B, 2)
    assert list(shown.details) == ["pixel_agreement", "foreground_agreement", "iou:dog", "iou:cat"]
    assert shown.details["iou:cat"] == found.figures()[A, B]["iou:cat"]


def test_shares_are_points_or_squares_of_the_photos_that_have_the_class(found, monkeypatch):
    points = comparison_stats.shares(found, A, B, "cat").set_index("path")[["x", "y"]]
    assert points.to_dict("index") == {"cats/a.jpg": {"x": 0.5, "y": 0.3}, "cats/c.jpg": {"x": 0.2, "y": 0.2}}
    monkeypatch.setattr(comparison_stats, "MAX_POINTS", 1)
    squares = comparison_stats.shares(found, A, B, "dog")
    assert squares["count"].sum() == 3
    for x, y in ((0, 0.2), (0.3, 0.3), (0.8, 0.8)):
        inside = (squares["x_low"] <= x) & (x < squares["x_high"]) & (squares["y_low"] <= y + 1e-9)
        assert (inside & (y < squares["y_high"])).sum() == 1
    (above,) = squares.loc[(squares["x_low"] == 0) & (squares["y_low"] > 0.1), "square"]
    assert paths(found, comparison_stats.rows_in_squares(found, A, B, "dog", {above})) == ["cats/a.jpg"]
    everywhere = comparison_stats.rows_in_squares(found, A, B, "dog", set(squares["square"]))
    assert len(everywhere) == squares["count"].sum()  # a photo without a dog in either is in no square
    assert len(comparison_stats.rows_in_squares(found, A, B, "dog", set())) == 0


@pytest.mark.parametrize(
    ("measure", "name", "first", "value"),
    [
        ("agreement", "", "dogs/e.jpg", 0.6),
        ("foreground", "", "dogs/e.jpg", 0.0),
        ("iou", "cat", "cats/a.jpg", 30 / 50),
        ("area", "cat", "cats/a.jpg", -0.2),
        ("area", "sofa", "dogs/e.jpg", 0.4),
    ],
)
def test_the_most_disagreeing_photo_comes_first(found, measure, name, first, value):
    there = sort_by_disagreement(found, A, B, measure, name=name, flip=())
    assert paths(found, there.rows[:1]) == [first]
    assert there.values[0] == pytest.approx(value)
    assert sorted(there.rows) == list(range(6))


def test_photos_that_do_not_define_a_measure_come_last(found):
    there = sort_by_disagreement(found, A, B, "iou", name="cat", flip=())
    assert np.isnan(there.values).tolist() == [False] * 2 + [True] * 4
    assert np.isnan(sort_by_disagreement(found, A, B, "iou", name="unheard-of", flip=()).values).all()


def test_a_flip_keeps_its_photos_only(found):
    there = sort_by_disagreement(found, A, B, "flip", name="", flip=("cat", "dog"))
    assert (paths(found, there.rows), there.values.tolist()) == (["cats/a.jpg"], [0.2])
    assert paths(found, sort_by_disagreement(found, A, B, "agreement", name="", flip=("cat", "cat")).rows) == [
        "cats/a.jpg",
        "cats/c.jpg",
    ]
    assert len(sort_by_disagreement(found, A, B, "flip", name="", flip=("dog", "cat")).rows) == 0
    assert len(sort_by_disagreement(found, A, B, "flip", name="", flip=("dog", "unheard-of")).rows) == 0


def test_parts_of_a_photo_are_those_of_the_map_of_differences(found, store):
    at = np.array([4, 0])
    shares = comparison_stats.category_shares_at(found, A, B, at)
    for row, image_id in zip(shares, found.files["image_id"].iloc[at], strict=True):
        masks = [store.mask(run, image_id) for run in (A, B)]
        there = difference.difference_map(*masks, *(store.run(run).classes for run in (A, B)))
        assert (row * 100).round(9).tolist() == list(difference.count_categories(there).values())


def test_all_runs_and_one_reference(found):
    matrix, consensus = comparison_stats.pairwise_matrix(found)
    assert matrix.loc[A, B] == matrix.loc[B, C] == 530 / 600
    assert matrix.loc[A, C] == 1
    assert consensus.value == 530 / 600
    against = comparison_stats.agreement_with(found, B)
    assert {run: figure.value for run, figure in against.items()} == {A: 530 / 600, C: 530 / 600}
    assert against[A].interval is not None


def test_taken_rows_are_compared_as_if_they_were_all(store, found):
    at = np.array([0, 4])
    part = found.take(at)
    whole = comparison.load_comparison(store, [A, B, C], files=found.files.iloc[at])
    assert part.files["path"].tolist() == ["cats/a.jpg", "dogs/e.jpg"]
    assert part.figures() == whole.figures()
    assert part.consensus_figure() == whole.consensus_figure()
    assert len(found.take(at[:0]).files) == 0


def draw_truth(folder: Path) -> Path:
    """One mask, of `cats/a.jpg` at its photo's size: cat in the upper half, just as A says."""
    mask = np.zeros((30, 40), np.uint8)
    mask[:15] = VOC_CLASSES.index("cat")
    (folder / "cats").mkdir(parents=True)
    (folder / "cats" / "a.png").write_bytes(encode_index_png(mask))
    return folder


def test_where_a_truth_is_known_the_runs_are_scored_by_it(store, found, tmp_path):
    assert comparison_stats.scores(store, [A, B], found.files) is None
    truth_counting.update_counts(store, open_drawn(draw_truth(tmp_path / "drawn"), format="voc"), [A, B, C])
    scores = comparison_stats.scores(store, [A, B], found.files)
    assert (scores.truth, scores.photos) == ("drawn", 1)
    assert scores.miou[A].value == 1
    assert scores.miou[B].value == pytest.approx((1 + 30 / 50 + 0) / 3)  # background, cat, and dog where there is none
    assert comparison_stats.scores(store, [A, B], found.files.iloc[1:]) is None


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0, 3.0, 2.0], "b"), ([1.0, None, 2.0], None), ([2.0, 2.0, 2.0], None), ([None, None, None], None)],
)
def test_the_costliest_run_is_known_only_if_all_costs_are(values, expected):
    assert costliest(pd.DataFrame({"run": ["a", "b", "c"], "gflops": values}), "gflops") == expected
