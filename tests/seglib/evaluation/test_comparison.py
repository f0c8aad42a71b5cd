"""Comparing runs: what is counted, kept, reused and said, on masks that a person can check by eye."""

import os
import signal
import subprocess
import sys
import time
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglib.errors import UnknownName, UsageError
from seglib.evaluation import comparison
from seglib.fileio import parquet_parts
from seglib.maintenance import compact, prune, status
from seglib.masks import png
from seglib.masks.png import encode_index_png
from seglib.metrics import confusion
from seglib.metrics.measures import agreement_measures
from seglib.pipeline.import_masks import import_masks
from seglib.query.filters import Filters
from seglib.store import pair_counts
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.conftest import ROOT

NAMES = ("background", "cat", "dog", "person")


def boxed(size_wh=(16, 12), **boxes) -> np.ndarray:
    """A mask of background with boxes (left, top, right, bottom)."""
    mask = np.zeros(size_wh[::-1], np.uint8)
    for name, (left, top, right, bottom) in boxes.items():
        mask[top:bottom, left:right] = NAMES.index(name)
    return mask


@pytest.fixture
def keep(tmp_path, paint, fake):
    """A store with four photos; `keep("name", {"cats/a": mask, ...})` makes a run of masks and returns its name."""
    from seglib.pipeline import run, session

    for name in ("cats/a.png", "cats/b.png", "dogs/c.png", "dogs/d.png"):
        paint(name, size_wh=(64, 48 + len(name)) if "d.png" in name else (64, 48), cat=(0, 0, ord(name[5]) - 90, 9))
    store = Store.create(tmp_path / "store")
    run.run(tmp_path / "photos", store, fake, options=session.RunOptions(workers=0))

    def kept(name: str, masks: dict[str, np.ndarray], classes=NAMES) -> str:
        folder = tmp_path / "masks" / name
        for photo, mask in masks.items():
            (folder / photo).parent.mkdir(parents=True, exist_ok=True)
            (folder / f"{photo}.png").write_bytes(encode_index_png(mask))
        return import_masks(store, open_drawn(folder, classes), name).run

    kept.store = store
    return kept


PHOTOS = ("cats/a", "cats/b", "dogs/c", "dogs/d")
CAT, DOG, NOTHING = boxed(cat=(0, 0, 8, 6)), boxed(dog=(0, 0, 8, 6)), boxed()
MORE = boxed(cat=(0, 0, 10, 6), dog=(12, 6, 16, 12))


@pytest.fixture
def two(keep):
    a = keep("a", dict(zip(PHOTOS, (CAT, CAT, MORE, NOTHING), strict=True)))
    b = keep("b", dict(zip(PHOTOS, (CAT, DOG, CAT, NOTHING), strict=True)))
    return keep.store, a, b


def compared(store, *runs, **options) -> comparison.Comparison:
    comparison.update_counts(store, runs)
    return comparison.load_comparison(store, runs, **options)


def values(found: comparison.Comparison, pair) -> dict[str, float | None]:
    return {name: measure.overall() for name, measure in found.measures[pair].items()}


def test_a_run_agrees_with_an_equal_one(keep):
    masks = dict(zip(PHOTOS, (CAT, DOG, MORE, NOTHING), strict=True))
    pair = keep("a", masks), keep("b", masks)
    found = compared(keep.store, *pair)
    assert {v for n, v in values(found, pair).items() if n.startswith("iou") and v is not None} == {1}
    assert values(found, pair)["pixel_agreement"] == values(found, pair)["foreground_agreement"] == 1
    assert found.consensus.overall() == 1
    assert values(found, pair)["iou:person"] is None


def test_a_run_cannot_be_compared_with_itself_alone(two):
    store, a, _ = two
    with pytest.raises(UsageError, match="two different runs"):
        comparison.update_counts(store, [a, a])
    with pytest.raises(UnknownName):
        comparison.update_counts(store, [a, "gone"])


def test_the_order_of_the_runs_turns_the_matrix_and_nothing_else(two):
    store, a, b = two
    there, back = compared(store, a, b), compared(store, b, a)
    assert there.flips(a, b).loc["cat", "dog"] == 48  # b's photo: a says cat, b says dog
    assert there.flips(a, b).loc["dog", "cat"] == 0
    assert (there.flips(a, b) == back.flips(b, a).T).all().all()
    for name, value in values(there, (a, b)).items():
        assert values(back, (b, a))[name] == (-value if name.startswith("area") else value)
    there_images, back_images = there.images(a, b), back.images(b, a)
    assert there_images["path"].tolist() == back_images["path"].tolist()
    assert len(list((store.path / "compare").iterdir())) == 1


def test_most_disagreeing_images_come_first_and_a_cell_names_its_images(two):
    found = compared(*two)
    frame = found.images(*two[1:])
    assert frame["path"].tolist()[0] == "cats/b.png"
    assert frame["pixel_agreement"].tolist() == sorted(frame["pixel_agreement"])
    flipped = found.flipped_files(*two[1:], "cat", "dog")
    assert flipped["path"].tolist() == ["cats/b.png"]
    assert flipped["share"].tolist() == [48 / 192]
    assert found.flipped_files(*two[1:], "dog", "cat").empty


def test_filters_speak_of_the_first_run_and_read_no_mask(two, monkeypatch):
    store, a, b = two
    whole = compared(store, a, b)
    monkeypatch.setattr(Store, "mask", lambda *_: pytest.fail("a mask was read"))
    cats = comparison.load_comparison(store, [a, b], Filters.decode("label=cats"))
    assert cats.files["path"].tolist() == ["cats/a.png", "cats/b.png"]
    assert values(cats, (a, b))["pixel_agreement"] == (192 + 144) / 384
    assert (
        len(comparison.load_comparison(store, [a, b], Filters.decode("present=dog")).files) == 1
    )  # a sees a dog in c alone
    assert (
        len(comparison.load_comparison(store, [b, a], Filters.decode("present=dog")).files) == 1
    )  # and b one in b alone
    nothing = comparison.load_comparison(store, [a, b], Filters.decode("path=nowhere"))
    assert set(values(nothing, (a, b)).values()) == {None}
    assert nothing.consensus.overall() is None
    assert nothing.pairs()["images"].tolist() == [0]
    files = whole.files[whole.files["label"] == "dogs"]
    assert comparison.load_comparison(store, [a, b], files=files).files["path"].tolist() == ["dogs/c.png", "dogs/d.png"]


def test_two_equal_files_count_twice(two, tmp_path, fake):
    from seglib.pipeline import run, session

    store, a, b = two
    (tmp_path / "photos" / "cats" / "copy.png").write_bytes((tmp_path / "photos" / "cats" / "b.png").read_bytes())
    run.run(tmp_path / "photos", store, fake, options=session.RunOptions(workers=0))
    found = compared(store, a, b)
    assert found.files["path"].tolist().count("cats/copy.png") == 1
    assert found.flips(a, b).loc["cat", "dog"] == 96


# --- grids ---


def test_masks_meet_on_the_finer_grid_by_nearest_neighbour(keep):
    fine = boxed((32, 24), cat=(0, 0, 17, 12))
    a = keep("coarse", {"cats/a": CAT})
    b = keep("fine", {"cats/a": fine})
    found = compared(keep.store, a, b)
    larger = np.asarray(Image.fromarray(CAT).resize((32, 24), Image.Resampling.NEAREST))
    assert (found.flips(a, b).to_numpy() == confusion.confusion_matrix(larger, fine, 4, 4)).all()
    assert found.flips(a, b).to_numpy().sum() == 32 * 24


@pytest.mark.parametrize(
    ("shapes", "finest"),
    [([(4, 4), (5, 5)], (5, 5)), ([(2, 8), (4, 4)], (2, 8)), ([(8, 2), (4, 4), (2, 8)], (2, 8)), ([(3, 5)], (3, 5))],
)
def test_the_finer_grid_has_more_pixels_and_on_a_tie_more_width(shapes, finest):
    for order in (shapes, shapes[::-1]):
        assert {m.shape for m in png.resize_to_finest([np.zeros(s, np.uint8) for s in order])} == {finest}


# --- many runs ---


def test_pairs_do_not_depend_on_further_runs_and_consensus_is_all_of_them(keep):
    first = dict(zip(PHOTOS, (CAT, CAT, MORE, NOTHING), strict=True))
    second = dict(zip(PHOTOS, (CAT, DOG, CAT, NOTHING), strict=True))
    third = dict(zip(PHOTOS, (DOG, DOG, CAT, boxed((20, 15), person=(0, 0, 20, 3))), strict=True))
    a, b, c = keep("a", first), keep("b", second), keep("c", third)
    alone = values(compared(keep.store, a, b), (a, b))
    found = compared(keep.store, a, b, c)
    assert values(found, (a, b)) == alone
    assert list(found.counts) == list(combinations((a, b, c), 2))
    agreeing = [np.sum((first[p] == second[p]) & (second[p] == third[p])) for p in PHOTOS[:3]] + [20 * 12]
    assert found.consensus.overall() == sum(agreeing) / (3 * 192 + 300)
    assert found.consensus.per_image()[0] == (192 - 48) / 192
    matrix = found.matrix("pixel_agreement")
    assert (matrix.fillna(1) == matrix.fillna(1).T).all().all()
    areas = found.matrix("area_difference:dog").fillna(0)
    assert (areas == -areas.T).all().all()
    assert areas.loc[a, c] == found.measures[a, c]["area_difference:dog"].overall() > 0
    again = compared(keep.store, c, b, a)
    assert again.consensus.overall() == found.consensus.overall()


def test_classes_are_matched_by_name_with_a_sentence(keep):
    pets = keep("pets", {"cats/a": np.where(CAT == 1, 1, 0).astype(np.uint8)}, ("background", "pet"))
    swapped = keep("swapped", {"cats/a": np.where(CAT == 1, 2, 0).astype(np.uint8)}, ("background", "dog", "cat"))
    a = keep("a", {"cats/a": CAT})
    found = compared(keep.store, a, swapped)
    assert values(found, (a, swapped))["iou:cat"] == 1
    (note,) = found.notes
    assert "All runs know background, cat, dog;" in note
    assert "(person)" in note
    found = compared(keep.store, a, pets)
    assert values(found, (a, pets)).keys() >= {"iou:background"}
    assert "iou:cat" not in values(found, (a, pets))
    found = compared(keep.store, a, swapped, pets)
    assert found.consensus.overall() == 1  # of the pixels that all call background
    assert found.consensus.columns[1].sum() == 192 - 48


def test_photos_that_a_run_lacks_are_left_out_and_said(keep):
    a, b = keep("a", {"cats/a": CAT, "cats/b": CAT}), keep("b", {"cats/a": CAT})
    found = compared(keep.store, a, b)
    assert found.files["path"].tolist() == ["cats/a.png"]
    assert found.notes[0].startswith("1 of 2 photos are left out")


# --- kept, reused, resumed ---


def test_nothing_is_counted_twice(two, monkeypatch):
    store, a, b = two
    first = comparison.update_counts(store, [a, b])
    assert (first.images, first.computed, first.reused) == (4, 4, 0)
    monkeypatch.setattr(Store, "mask", lambda *_: pytest.fail("a mask was read"))
    again = comparison.update_counts(store, [b, a])
    assert (again.images, again.computed, again.reused) == (4, 0, 4)


def test_progress_counts_what_was_there_before(two):
    store, a, b = two
    seen = []
    comparison.update_counts(store, [a, b], on_progress=lambda p: seen.append((p.done, p.total)))
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    seen.clear()
    comparison.update_counts(store, [a, b], on_progress=lambda p: seen.append((p.done, p.total)))
    assert seen == [(4, 4)]


def test_the_parts_are_plain(two):
    store, a, b = two
    comparison.update_counts(store, [b, a])
    folder = store.path / "compare" / f"{a}--{b}"
    cells = pd.read_parquet(folder)
    assert list(cells) == ["image_id", "a", "b", "pixels"]
    assert (cells["pixels"] > 0).all()
    assert (cells.groupby("image_id")["pixels"].sum() == 192).all()
    assert cells[(cells["a"] == 1) & (cells["b"] == 2)]["pixels"].tolist() == [48]


def test_what_two_processes_counted_counts_once(two):
    store, a, b = two
    found = compared(store, a, b)
    folder = pair_counts.pair_folder(store, a, b)
    parquet_parts.append(store.atomic, folder, parquet_parts.read(folder, pair_counts.CELLS_SCHEMA))
    doubled = comparison.load_comparison(store, [a, b])
    assert (doubled.flips(a, b) == found.flips(a, b)).all().all()
    compact.merge_parts(store)
    assert len(parquet_parts.list_parts(folder)) == 1
    assert parquet_parts.count_rows(folder) == len(found.counts[a, b].pixels)


def test_a_damaged_mask_costs_its_image_alone(two):
    store, a, b = two
    bad = store.table([a]).set_index("path")["image_id"]["cats/b.png"]
    store.mask_path(a, bad).write_bytes(b"no picture")
    report = comparison.update_counts(store, [a, b])
    assert (report.computed, report.failed) == (3, (bad,))
    found = comparison.load_comparison(store, [a, b])
    assert "cats/b.png" not in found.files["path"].tolist()
    assert comparison.update_counts(store, [a, b]).failed == (bad,)  # tried again, since it may have been made anew


KILLED = """
import sys
from seglib.evaluation import comparison
from seglib.store import pair_counts
from seglib.store.store import Store
from tests.annotated import open_drawn
pair_counts.COMMIT_IMAGES = 1
def stop(progress):
    print(progress.done, flush=True)
    if progress.done == 2:
        import time; time.sleep(60)
comparison.update_counts(Store(sys.argv[1]), sys.argv[2:], threads=1, on_progress=stop)
"""


@pytest.mark.slow
def test_a_killed_comparison_continues(two):
    store, a, b = two
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store.path), a, b], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    while process.stdout.readline().strip() != "2":
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    report = comparison.update_counts(store, [a, b])
    assert (report.computed, report.reused) == (2, 2)
    assert comparison.load_comparison(store, [a, b]).flips(a, b).to_numpy().sum() == 4 * 192
    assert not (store.path / "tmp").exists()


def test_prune_and_removal_of_a_run_take_its_counts_along(keep, tmp_path, fake):
    from seglib.pipeline import run, session

    masks = dict(zip(PHOTOS, (CAT, CAT, MORE, NOTHING), strict=True))
    other = dict(zip(PHOTOS, (CAT, DOG, CAT, NOTHING), strict=True))
    store = keep.store
    a, b, c = keep("a", masks), keep("b", other), keep("c", dict.fromkeys(PHOTOS, NOTHING))
    compared(store, a, b, c)
    assert status.read_status(store).counts.folders == 4
    assert status.read_status(store).stale == 0
    (tmp_path / "photos" / "cats" / "b.png").unlink()
    run.run(tmp_path / "photos", store, fake, options=session.RunOptions(workers=0))
    before = status.read_status(store).counts
    assert before.stale_rows > 0
    prune.prune(store)
    after = status.read_status(store)
    assert (after.stale, after.counts.rows) == (0, before.rows - before.stale_rows)
    found = comparison.load_comparison(store, [a, b, c])
    assert len(found.files) == 3
    prune.remove_run(store, c)
    assert [p.name for p in (store.path / "compare").iterdir()] == [f"{a}--{b}"]


@pytest.mark.slow
def test_a_run_in_use_is_not_removed(two):
    store, a, b = two

    said = []

    def look(_):
        code = (
            "import sys; from seglib.maintenance import prune; from seglib.store.store import Store;"
            "prune.remove_run(Store(sys.argv[1]), sys.argv[2])"
        )
        command = [sys.executable, "-c", code, str(store.path), a]
        if not said:
            said.append(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr)

    comparison.update_counts(store, [a, b], on_progress=look)
    assert "A process is adding to the run" in said[0]


def test_version_changes_with_the_counts_alone(two):
    store, a, b = two
    before, whole = pair_counts.version(store), store.version()
    comparison.update_counts(store, [a, b])
    assert pair_counts.version(store) != before
    assert store.version() == whole


def test_tables_for_export(two):
    found = compared(*two)
    pairs = found.pairs(seed=3)
    assert {"a", "b", "images", "pixel_agreement", "pixel_agreement_mean", "pixel_agreement_low"} <= set(pairs)
    assert {"iou:cat", "iou:cat_mean", "iou:cat_n", "area_difference:cat_mean_high"} <= set(pairs)
    flips = found.all_flips()
    assert flips["share"].sum() == pytest.approx(1)
    assert flips[(flips["class_a"] == "cat") & (flips["class_b"] == "dog")]["pixels"].tolist() == [48]
    assert len(found.all_images()) == 4


def test_a_thousand_images_of_two_runs_are_asked_in_no_time(two):
    store, a, b = two
    found = compared(store, a, b)
    many = found.counts[a, b].take(np.arange(100_000) % 4)
    begun = time.process_time()
    measures = agreement_measures(many)
    assert measures["pixel_agreement"].overall() == found.measures[a, b]["pixel_agreement"].overall()
    assert time.process_time() - begun < 5


def test_a_pair_is_told_from_a_consensus_whatever_the_runs_are_called(tmp_path):
    store, names = Store.create(tmp_path / "store"), {"consensus-imported-0a1b2c3d", "net-64-0a1b2c3d"}
    folder = pair_counts.pair_folder(store, *names)
    folder.mkdir(parents=True)
    assert [(path, schema) for path, schema, _ in pair_counts.part_folders(store)] == [
        (folder, pair_counts.CELLS_SCHEMA)
    ]
    assert pair_counts.orphaned_folders(store, names, set()) == []
    pair_counts.write_run_names(store, three := pair_counts.consensus_folder(store, [*names, "x"]), [*names, "x"])
    assert pair_counts.orphaned_folders(store, names, set()) == [three]
