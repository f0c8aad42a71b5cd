"""Counting runs against a truth: what is counted once, again, not at all, and removed with its run or photo."""

import pandas as pd
import pytest

import seglib
from seglib.data import resize
from seglib.errors import DatasetError, SegError, UnknownName
from seglib.evaluation import evaluation, sample_sheet, truth_counting
from seglib.maintenance import compact, prune, status
from seglib.pipeline import session
from seglib.pipeline.import_masks import import_masks
from seglib.store import ground_truth, pair_counts
from tests.annotated import open_drawn
from tests.seglib.evaluation.conftest import CLASSES, OPTIONS, draw, evaluated, values


def test_nothing_is_counted_twice_and_only_what_changed_is_counted_anew(store, drawn):
    first, _ = evaluated(store, drawn)
    again, found = evaluated(store, drawn)
    assert (first.computed, again.computed) == (3, 0)
    draw(drawn, "cats/a.png", cat=(0, 0, 32, 24))
    third, now = evaluated(store, drawn)
    assert third.computed == 1
    assert values(now)["iou:cat"] > values(found)["iou:cat"]
    compact.merge_parts(store)
    (run,) = store.runs()
    later = evaluation.load_evaluation(
        store, ground_truth.find_truth(store, "truth"), run.run
    )  # without the folder, as a page asks
    assert values(later) == values(now)
    with pytest.raises(UnknownName):
        ground_truth.find_truth(store, "gone")


def test_a_mask_that_cannot_be_used_is_left_out_with_a_reason(store, drawn):
    draw(drawn, "cats/a.png", (32, 24))
    draw(drawn, "cats/b.png", (48, 64))
    report, found = evaluated(store, drawn)
    assert found.files["path"].tolist() == ["dogs/c.png"]
    assert "'cats/a.png' is 32 x 24 pixels and its photo 64 x 48" in report.left_out["cats/a.png"]
    assert "EXIF orientation" in report.left_out["cats/b.png"]
    assert report.notes[-1] == "2 masks left out, which cannot be used."
    (drawn / "dogs" / "c.png").unlink()
    with pytest.raises(DatasetError, match=r"None of 2 masks in 'truth' can be used\. The mask 'cats/a\.png'"):
        evaluated(store, drawn)


def test_a_list_and_photos_without_a_mask(store, drawn):
    (drawn / "cats" / "b.png").unlink()
    report, found = evaluated(store, drawn)
    assert report.notes[1] == "2 of 3 photos have a mask: 2 by path."
    report, found = evaluated(store, drawn, names=["a", "dogs/c.png"])
    assert found.files["path"].tolist() == ["cats/a.png", "dogs/c.png"]
    with pytest.raises(DatasetError, match=r"None of the 1 photos has a mask in 'truth': photos are called 'cats"):
        evaluated(store, drawn, names=["b"])


def test_equal_photos_with_unlike_masks_are_left_out(store, drawn, tmp_path, fake):
    copy = tmp_path / "photos" / "cats" / "copy.png"
    copy.write_bytes((tmp_path / "photos" / "cats" / "b.png").read_bytes())
    seglib.run(tmp_path / "photos", store, fake, options=OPTIONS)
    draw(drawn, "cats/copy.png")
    report, found = evaluated(store, drawn)
    assert found.files["path"].tolist() == ["cats/a.png", "dogs/c.png"]
    assert set(report.left_out) == {"cats/b.png", "cats/copy.png"}
    assert "are the same photo, and their masks differ" in report.left_out["cats/b.png"]
    (drawn / "cats" / "copy.png").write_bytes((drawn / "cats" / "b.png").read_bytes())
    report, found = evaluated(store, drawn)
    assert (report.computed, len(found.files)) == (1, 4)


def test_an_all_void_truth_is_counted_once_and_says_nothing(store, drawn):
    draw(drawn, "cats/b.png", void=(0, 0, 64, 48))
    _, found = evaluated(store, drawn, names=["b"])
    assert set(values(found).values()) == {None}
    assert evaluated(store, drawn, names=["b"])[0].computed == 0


def test_counts_of_a_run_go_with_it_and_truths_without_an_evaluation_too(store, drawn):
    report, _ = evaluated(store, drawn)
    (run,) = store.runs()
    folder = pair_counts.evaluation_folder(store, run.run, report.truth.id)
    assert list(pd.read_parquet(sorted(folder.glob("part-*.parquet"))[0]))[:4] == ["image_id", "a", "b", "pixels"]
    assert status.read_status(store).stale == 0
    prune.prune(store)
    assert ground_truth.list_truths(store) == [report.truth]
    prune.remove_run(store, run.run)
    assert not folder.exists()
    prune.prune(store)
    assert ground_truth.list_truths(store) == []


@pytest.mark.slow
def test_a_picture_that_is_gone_takes_its_truth_along(store, drawn, tmp_path, fake):
    report, _ = evaluated(store, drawn)
    masks = store.path / "truths" / report.truth.id / "masks"
    (tmp_path / "photos" / "cats" / "a.png").unlink()
    seglib.run(tmp_path / "photos", store, fake, options=OPTIONS)
    assert len(list(masks.rglob("*.png"))) == 3
    prune.prune(store)
    assert len(list(masks.rglob("*.png"))) == 2
    assert evaluated(store, drawn)[0].computed == 0
    assert status.read_status(store).stale == 0
    draw(drawn, "cats/b.png", cat=(0, 0, 9, 9))  # another truth: the counts of the old one are stale
    evaluated(store, drawn)
    assert status.read_status(store).counts.stale_rows > 0
    prune.prune(store)
    assert status.read_status(store).stale == 0
    assert len(list(masks.rglob("*.png"))) == 2
    assert evaluated(store, drawn)[0].computed == 0


def test_a_damaged_mask_of_one_run_costs_its_photo_in_all_of_them(store, drawn, fake, tmp_path):
    from dataclasses import replace

    seglib.run(tmp_path / "photos", store, replace(fake, resize=resize.Resize("32")), options=OPTIONS)
    names = [run.run for run in store.runs()]
    damaged = store.table([names[1]]).set_index("path")["image_id"]["cats/a.png"]
    store.mask_path(names[1], damaged).write_bytes(b"no picture")
    report = truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), names)
    assert report.failed == (damaged,)
    assert report.files["path"].tolist() == ["cats/b.png", "dogs/c.png"]
    found = [evaluation.load_evaluation(store, report.truth, name, files=report.files) for name in report.runs]
    assert [len(one.files) for one in found] == [2, 2]
    assert evaluation.differences(found, resamples=0)[0].value is not None
    assert sample_sheet.draw_sheet(store, found, count=9, seed=0).height > 0


def test_runs_without_a_photo_in_common_are_a_sentence(store, drawn, fake, tmp_path, paint):
    from dataclasses import replace

    only = session.RunOptions(workers=0, names=("a",))
    other = session.RunOptions(workers=0, names=("b",))
    for side, options in (("40", only), ("32", other)):
        seglib.run(tmp_path / "photos", store, replace(fake, resize=resize.Resize(side)), options=options)
    names = [run.run for run in store.runs() if not run.resize.startswith("64")]
    with pytest.raises(DatasetError, match="no photo in common"):
        truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), names)


def test_what_cannot_be_calibrated_stops_before_anything_is_counted(store, drawn, tmp_path):
    draw(tmp_path / "masks", "cats/a.png", cat=(0, 0, 9, 9))
    own = import_masks(store, open_drawn(tmp_path / "masks", CLASSES), "own").run
    (run,) = [run.run for run in store.runs() if run.run != own]
    with pytest.raises(SegError):
        truth_counting.update_counts(store, open_drawn(drawn, classes=CLASSES), [run, own], calibration=True)
    assert list(store.path.glob("evaluate/*/part-*.parquet")) == []
