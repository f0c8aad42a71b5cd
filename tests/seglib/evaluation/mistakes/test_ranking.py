"""Which photos come first, and what is said of them."""

import numpy as np
import pandas as pd
import pytest

from seglib.errors import UnknownName
from seglib.evaluation import evaluation, truth_counting
from seglib.evaluation.mistakes import ranking
from seglib.evaluation.mistakes.agreement import rank_by_agreement
from seglib.models import registry
from tests.annotated import open_drawn
from tests.seglib.evaluation.conftest import CLASSES, draw


@pytest.fixture(autouse=True)
def _known(fake, monkeypatch):
    """The fake model can be loaded again by its name."""
    monkeypatch.setitem(registry.MODELS, fake.name, fake)


@pytest.fixture
def loaded(store, drawn):
    """a: half of its cat is background; b: its mask lies 2 px too far right; c: a dog labelled cat."""
    draw(drawn, "cats/b.png", cat=(2, 0, 34, 48))
    (run,) = store.runs()
    report = truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), [run.run], label_quality=True)
    return store, report, ranking.load_label_quality(store, report.truth, run.run)


def test_every_order_and_its_reasons(loaded):
    _, _, quality = loaded
    frame = quality.photos("quality").set_index("path")
    assert frame["score"].is_monotonic_increasing
    assert frame.index[-1] == "cats/b.png"
    assert frame["class"].to_dict() == {
        "cats/a.png": "cat",
        "cats/b.png": frame["class"]["cats/b.png"],
        "dogs/c.png": "cat",
    }
    assert frame["reason"]["dogs/c.png"] == "labelled cat, the model sees dog: 18.8 % of the pixels"
    assert frame["reason"]["cats/a.png"] == "labelled cat, the model sees background: 25.0 % of the pixels"
    assert "the mask would fit better 2 px further left" in frame["reason"]["cats/b.png"]
    assert quality.photos("place")["path"].iloc[0] == "cats/b.png"
    both = quality.photos()["path"].tolist()
    assert both[:2] == [frame.index[0], "cats/b.png"]  # first of one list, then first of the other
    assert frame["doubtful"]["dogs/c.png"] == pytest.approx(48 * 48 / (128 * 96))
    with pytest.raises(UnknownName, match="order"):
        quality.photos("worst")


def test_a_class_ranks_by_its_own_pixels_and_leaves_out_photos_without_it(loaded):
    _, _, quality = loaded
    assert quality.photos("quality", "dog")["path"].tolist() == ["dogs/c.png"]
    cats = quality.photos("quality", "cat")
    assert set(cats["class"]) == {"cat"}
    assert cats["class_score"].is_monotonic_increasing
    assert len(cats) == 3
    assert quality.photos("quality", "person").empty
    with pytest.raises(UnknownName, match="class"):
        quality.photos("quality", "horse")


def test_files_can_be_selected_and_equal_photos_share_their_score(loaded):
    store, report, quality = loaded
    keep = (quality.files["path"] != "cats/a.png").to_numpy()
    chosen = quality.select(keep)
    every = quality.photos().set_index("path")["score"]
    assert chosen.photos().set_index("path")["score"].to_dict() == every.drop("cats/a.png").to_dict()
    table = store.table([report.runs[0]])
    twice = pd.concat([table, table.assign(path="copy/" + table["path"])], ignore_index=True)
    again = ranking.load_label_quality(store, report.truth, report.runs[0], files=twice).photos("quality")
    assert len(again) == 6
    assert (again.groupby("image_id")["score"].nunique() == 1).all()
    assert ranking.scored_runs(store, report.truth) == list(report.runs)
    nothing = quality.select(np.zeros(3, bool)).photos()
    assert nothing.empty
    assert list(nothing) == list(quality.photos())


def test_without_probabilities_masks_are_ranked_by_the_class_that_agrees_least(loaded):
    store, report, _ = loaded
    (found,) = evaluation.load_evaluations(store, report)
    frame = rank_by_agreement(found).set_index("path")
    assert frame["agreement"].is_monotonic_increasing
    assert frame["agreement"]["dogs/c.png"] == 0
    assert frame["reason"]["cats/a.png"] == "mask and ground truth share 50 % of what either calls cat"
    assert frame["agreement"]["cats/b.png"] == pytest.approx(28 / 34, abs=0.08)
    assert rank_by_agreement(found, "dog")["path"].tolist() == ["dogs/c.png"]
    with pytest.raises(UnknownName):
        rank_by_agreement(found, "horse")
