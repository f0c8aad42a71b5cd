"""Labels judged by probabilities of another size, against a plain loop, and the pass over a store."""

import numpy as np
import pytest
from PIL import Image

from seglib.classes import VOID
from seglib.evaluation import truth_counting
from seglib.evaluation.mistakes.label_judgement import judge_labels
from seglib.maintenance import compact, prune, status, verify
from seglib.masks import png
from seglib.metrics.label_quality import QualityCells
from seglib.models import registry
from seglib.store import pair_counts
from tests.annotated import open_drawn
from tests.seglib.evaluation.conftest import CLASSES, draw


@pytest.fixture(autouse=True)
def _known(fake, monkeypatch):
    """The fake model can be loaded again by its name."""
    monkeypatch.setitem(registry.MODELS, fake.name, fake)


def softmin(values) -> float:
    values = np.array(values, float)
    weights = np.exp((1 - values) / 0.1)
    return float((values * weights).sum() / weights.sum())


@pytest.mark.parametrize(
    ("size_hw", "grid_hw"), [((6, 9), (3, 3)), ((3, 3), (6, 9)), ((5, 7), (3, 4)), ((1, 1), (2, 2))]
)
def test_a_pixel_has_the_probabilities_of_the_nearest_one_of_the_grid(size_hw, grid_hw):
    rng = np.random.default_rng(7)
    probabilities = rng.dirichlet(np.full(4, 0.2), grid_hw).transpose(2, 0, 1).astype(np.float32)  # (C, h, w)
    labels = rng.integers(0, 5, size_hw).astype(np.uint8)
    labels[labels == 4] = VOID
    planes = [Image.fromarray(plane).resize(size_hw[::-1], Image.Resampling.NEAREST) for plane in probabilities]
    enlarged = np.array([np.asarray(plane) for plane in planes])
    columns, doubts = judge_labels(labels, probabilities)
    labelled = [(y, x) for y, x in np.ndindex(size_hw) if labels[y, x] != VOID]
    cells = QualityCells(1, 4, np.zeros(len(columns["a"]) - 1, int), *(np.array(v[:-1]) for v in columns.values()))
    if labelled:
        assert cells.scores()[0] == pytest.approx(softmin([enlarged[labels[at]][at] for at in labelled]), abs=1e-9)
    assert sum(columns["pixels"]) == labels.size
    expected = np.full(size_hw, VOID)
    for at in labelled:
        best = enlarged[(slice(None), *at)].argmax()
        if enlarged[labels[at]][at] < 0.1 and best != labels[at]:
            expected[at] = best
    assert cells.doubtful_pixels()[0] == (expected != VOID).sum()
    if doubts.shape == size_hw:
        assert (doubts == expected).all()
    else:
        assert (doubts == png.resize_mask(expected.astype(np.uint8), grid_hw[::-1])).all()


def scored(store, folder, **options):
    (run,) = store.runs()
    masks = open_drawn(folder, classes=CLASSES)
    report = truth_counting.update_counts(store, masks, [run.run], label_quality=True, **options)
    truths = report.files.drop_duplicates("image_id").set_index("image_id")["truth"]
    cells, known = pair_counts.read_quality(store, run.run, report.truth.id, truths, len(run.classes))
    names = [report.files.set_index("image_id")["path"][one] for one in truths.index]
    return report, dict(zip(names, cells.scores().tolist(), strict=True)), known


def test_a_wrong_mask_scores_low_and_nothing_is_scored_twice(store, drawn):
    first, scores, known = scored(store, drawn)
    assert first.computed == 3
    assert known.all()
    assert scores["cats/b.png"] > 0.5
    assert scores["dogs/c.png"] < 0.05  # a dog labelled cat
    assert scores["cats/a.png"] < 0.05  # half of the cat is none
    folder = pair_counts.evaluation_folder(store, first.runs[0], first.truth.id)
    image_id = first.files.set_index("path")["image_id"]["dogs/c.png"]
    doubts = png.decode_verified_png(pair_counts.doubt_path(folder, image_id).read_bytes())
    assert set(np.unique(doubts)) == {CLASSES.index("dog"), VOID}
    assert (doubts != VOID).sum() == 24 * 24  # of the grid, 64 x 48
    again, same, _ = scored(store, drawn)
    assert (again.computed, same) == (0, scores)
    pair_counts.doubt_path(folder, image_id).unlink()
    assert scored(store, drawn)[0].computed == 1
    draw(drawn, "cats/a.png", cat=(0, 0, 32, 24))
    third, better, _ = scored(store, drawn)
    assert third.computed == 1
    assert better["cats/a.png"] > 0.5
    compact.merge_parts(store)
    assert scored(store, drawn)[1] == better


def test_void_and_classes_that_the_run_cannot_have_are_left_out(store, drawn):
    draw(drawn, "cats/a.png", void=(0, 0, 64, 48))
    draw(drawn, "cats/b.png", cat=(0, 0, 32, 48), person=(40, 0, 64, 48))
    masks = open_drawn(drawn, classes=(*CLASSES[:3], "bird"))  # what was drawn as person is a bird
    (run,) = store.runs()
    report = truth_counting.update_counts(store, masks, [run.run], label_quality=True)
    truths = report.files.set_index("image_id")["truth"]
    cells, known = pair_counts.read_quality(store, run.run, report.truth.id, truths, len(run.classes))
    by_path = dict(zip(report.files["path"], cells.labelled_pixels().tolist(), strict=True))
    assert known.all()
    assert by_path["cats/a.png"] == 0
    assert by_path["cats/b.png"] == 40 * 48
    assert np.isnan(dict(zip(report.files["path"], cells.scores(), strict=True))["cats/a.png"])


def test_scores_go_with_their_photo_run_and_truth(store, drawn, tmp_path):
    report, _, _ = scored(store, drawn)
    folder = pair_counts.evaluation_folder(store, report.runs[0], report.truth.id)
    assert status.read_status(store).stale == 0
    assert list(verify.find_damaged_files(store)) == []
    image_id = report.files.set_index("path")["image_id"]["dogs/c.png"]
    pair_counts.doubt_path(folder, image_id).write_bytes(b"no picture")
    (damaged,) = verify.find_damaged_files(store)
    assert (damaged.kind, damaged.file) == (
        "mask",
        pair_counts.doubt_path(folder, image_id).relative_to(store.path).as_posix(),
    )
    assert len(verify.remove_damaged_counts(store)) == 1
    assert scored(store, drawn)[0].computed == 1
    stray = pair_counts.doubt_path(folder, "f" * 32)
    stray.parent.mkdir(parents=True, exist_ok=True)
    stray.write_bytes(b"of a photo that is gone")
    prune.prune(store)
    assert not stray.exists()
    assert scored(store, drawn)[0].computed == 0
    prune.remove_run(store, report.runs[0])
    assert not folder.exists()
