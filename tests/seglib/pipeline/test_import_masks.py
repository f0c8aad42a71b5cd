"""Somebody else's masks as a run: taken in once, compared like ours, and of unknown confidence."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import seglib
from seglib.errors import DatasetError, UsageError
from seglib.evaluation import comparison
from seglib.maintenance import status
from seglib.masks.png import encode_index_png
from seglib.pipeline import session
from seglib.pipeline.import_masks import import_masks
from seglib.query import export, filters, histograms, statistics
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.annotated import open_drawn

CLASSES = ("background", "cat", "dog", "person")


@pytest.fixture
def store(tmp_path, paint, fake) -> Store:
    for name in ("cats/a.png", "cats/b.png", "dogs/c.png"):
        paint(name, cat=(0, 0, 10 + ord(name[5]) % 7, 9))
    store = Store.create(tmp_path / "store")
    seglib.run(tmp_path / "photos", store, fake, options=session.RunOptions(workers=0))
    return store


def write(folder, **masks):
    folder.mkdir(exist_ok=True)
    for name, mask in masks.items():
        (folder / f"{name}.png").write_bytes(encode_index_png(mask))


def test_our_own_exported_masks_come_back_as_an_equal_run(store, tmp_path):
    (ours,) = store.runs()
    export.write_folder(tmp_path / "out", export.mask_files(store, None, Filters()))
    report = import_masks(store, open_drawn(tmp_path / "out" / ours.run, CLASSES), "theirs")
    assert (report.images, report.computed, report.failed, report.unmatched) == (3, 3, {}, 0)
    comparison.update_counts(store, [ours.run, report.run])
    found = comparison.load_comparison(store, [ours.run, report.run])
    assert found.consensus.overall() == 1
    mine, theirs = (store.stats(store.run(name)).sort_values("image_id") for name in (ours.run, report.run))
    same = [c for c in mine if c not in ("confidence", "entropy", "low_margin")]
    pd.testing.assert_frame_equal(mine[same].reset_index(drop=True), theirs[same].reset_index(drop=True))


def test_the_record_says_where_it_came_from_and_what_nobody_knows(store, tmp_path):
    write(tmp_path / "m", a=np.ones((5, 7), np.uint8))
    report = import_masks(store, open_drawn(tmp_path / "m", ("nothing", "pet")), "my UNet/2")
    run = store.run(report.run)
    assert report.run.startswith("my_UNet_2-imported-")
    assert (run.model, run.resize, run.precision, run.weights_sha256, run.parameters) == (
        "my_UNet_2", "imported", None, None, None,
    )  # fmt: skip
    assert run.recipe == {"imported": "my UNet/2"}
    assert run.classes == ("nothing", "pet")
    (row,) = store.table([run.run]).to_dict("records")
    assert (row["path"], row["grid_width"], row["grid_height"], row["px:pet"]) == ("cats/a.png", 7, 5, 35)
    assert pd.isna([row["confidence"], row["entropy"], row["low_margin"], row["animal"]]).all()
    assert row["dominant"] == "pet"


def test_the_same_masks_are_the_same_run_and_others_another(store, tmp_path):
    write(tmp_path / "m", a=np.ones((5, 7), np.uint8))
    first = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    again = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    assert (again.run, again.computed, again.reused) == (first.run, 0, 1)
    assert import_masks(store, open_drawn(tmp_path / "m", (*CLASSES, "more")), "x").run != first.run
    write(tmp_path / "m", a=np.zeros((5, 7), np.uint8))
    other = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    assert other.run != first.run
    assert store.table([first.run])["px:cat"].tolist() == [35]


def test_a_mask_that_cannot_be_used_costs_itself(store, tmp_path):
    write(tmp_path / "m", a=np.ones((5, 7), np.uint8), b=np.full((5, 7), 255, np.uint8))
    (tmp_path / "m" / "c.png").write_bytes(b"no picture")
    report = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    assert report.computed == 2
    assert set(report.failed) == {"c.png"}
    write(tmp_path / "m", b=np.full((5, 7), 200, np.uint8), y=np.zeros((2, 2), np.uint8))
    report = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    assert "holds the value 200" in report.failed["b.png"]
    (tmp_path / "m" / "a.png").unlink()
    (tmp_path / "m" / "b.png").write_bytes(b"no picture")
    before = store.runs()
    with pytest.raises(DatasetError, match="None of 2 masks can be used"):
        import_masks(store, open_drawn(tmp_path / "m", CLASSES), "bad")
    assert store.runs() == before


def test_a_dataset_without_a_photo_is_a_sentence(tmp_path):
    (tmp_path / "photos").mkdir()
    write(tmp_path / "masks", a=np.zeros((4, 4), np.uint8))
    store = Store.create(tmp_path / "store")
    store.register_dataset(tmp_path / "photos")  # as a run leaves it that was stopped at once
    with pytest.raises(DatasetError, match="no readable photo of 'photos': run a model over its folder first"):
        import_masks(store, open_drawn(tmp_path / "masks", CLASSES), "theirs")


def test_void_pixels_belong_to_no_class(store, tmp_path):
    mask = np.array([[0, 1, 255, 255]], np.uint8)
    write(tmp_path / "m", a=mask)
    run = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x").run
    row = store.table([run]).set_index("path").loc["cats/a.png"]
    assert [row[f"px:{name}"] for name in CLASSES[:2]] == [1, 1]
    assert (store.mask(run, row["image_id"]) == mask).all()


def test_without_photos_or_matches_it_is_a_sentence(store, tmp_path):
    write(tmp_path / "m", z=np.ones((5, 7), np.uint8))
    with pytest.raises(DatasetError, match="None of the 3 photos"):
        import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x")
    write(tmp_path / "m", a=np.ones((5, 7), np.uint8))
    with pytest.raises(UsageError, match="letters or digits"):
        import_masks(store, open_drawn(tmp_path / "m", CLASSES), "//")
    with pytest.raises(UsageError, match="run a model on them first"):
        import_masks(Store.create(tmp_path / "empty"), open_drawn(tmp_path / "m", CLASSES), "x")


def test_questions_about_unknown_confidence_are_answered_with_nothing(store, tmp_path):
    write(tmp_path / "m", **{name: np.ones((48, 64), np.uint8) for name in "abc"})
    run = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x").run
    table = store.table([run])
    assert statistics.key_figures(table).mean_confidence is None
    assert histograms.histogram(table["confidence"])["count"].sum() == 0
    assert filters.select(table, Filters.decode("confidence=0..1")).empty
    assert statistics.sort_positions(table, "confidence", descending=True).tolist() == [0, 1, 2]
    both = store.table()
    assert both["confidence"].notna().sum() == 3
    assert export.csv_bytes(export.stats_frame(store, [run])).count(b"\n") == 4
    assert status.read_status(store).runs[-1].rows == 3


def test_a_folder_of_photos_and_one_of_masks_make_a_store(photos, tmp_path):
    write(
        tmp_path / "m", a=np.ones((48, 64), np.uint8), d=np.zeros((48, 64), np.uint8), nobody=np.ones((4, 4), np.uint8)
    )
    (photos / "cats" / "broken.jpg").write_bytes(b"no picture")
    store = Store.create(tmp_path / "made")
    report = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "theirs", photos=photos)
    assert (report.images, report.computed, report.unmatched, report.without_photo) == (2, 2, 2, ("nobody.png",))
    assert store.failures()["path"].tolist() == ["cats/broken.jpg"]
    table = store.table([report.run]).set_index("path")
    assert table[["width", "height"]].loc["cats/a.png"].tolist() == [64, 48]
    with Image.open(store.thumbnail_path(table.loc["cats/a.png", "image_id"])) as thumbnail:
        assert thumbnail.size == (64, 48)
    again = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "theirs", photos=photos)
    assert (again.run, again.computed, again.reused) == (report.run, 0, 2)
    assert len(store.datasets()) == 1


def test_a_run_after_an_import_knows_the_photos(photos, fake, tmp_path):
    write(tmp_path / "m", a=np.ones((48, 64), np.uint8))
    store = Store.create(tmp_path / "made")
    imported = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "theirs", photos=photos).run
    report = seglib.run(photos, store, fake, options=session.RunOptions(workers=0))
    assert (report.computed, report.failed) == (4, 0)
    comparison.update_counts(store, [imported, report.run])
    assert len(comparison.load_comparison(store, [imported, report.run]).files) == 1


def test_confidence_maps_give_the_mean_confidence_of_labelled_pixels(photos, tmp_path):
    mask = np.ones((2, 4), np.uint8)
    mask[0] = 255
    write(tmp_path / "m", a=mask, b=mask, c=mask, d=mask)
    (tmp_path / "c").mkdir()
    sure = np.array([[9, 9, 9, 9], [0, 255, 255, 0]], np.uint8)
    Image.fromarray(sure).save(tmp_path / "c" / "a.png")
    Image.fromarray(sure.astype(np.uint16) * 257).save(tmp_path / "c" / "b.png")
    Image.fromarray(sure[:1]).save(tmp_path / "c" / "c.png")
    store = Store.create(tmp_path / "made")
    masks = open_drawn(tmp_path / "m", CLASSES)
    report = import_masks(store, masks, "x", photos=photos, confidence=tmp_path / "c")
    assert report.failed == {
        "c.png": "The confidence map 'c.png' is 4 x 1 pixels and its mask 4 x 2: both must have the same size."
    }
    confidence = store.table([report.run]).set_index("path")["confidence"]
    assert confidence["cats/a.png"] == pytest.approx(0.5)
    assert confidence["cats/b.png"] == pytest.approx(0.5)
    assert np.isnan(confidence["dogs/d.png"])
    assert import_masks(store, masks, "x", photos=photos).run != report.run


def test_identical_photos_with_unlike_masks_are_left_out(photos, tmp_path):
    (photos / "dogs" / "e.png").write_bytes((photos / "cats" / "a.png").read_bytes())
    (photos / "dogs" / "f.png").write_bytes((photos / "cats" / "b.png").read_bytes())
    mask = np.ones((48, 64), np.uint8)
    write(tmp_path / "m", a=mask, e=2 * mask, b=mask, f=mask, c=mask)
    store = Store.create(tmp_path / "made")
    report = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x", photos=photos)
    assert set(report.failed) == {"a.png", "e.png"}
    assert "are the same photo, and their masks differ" in report.failed["a.png"]
    assert (report.computed, len(store.table([report.run]))) == (2, 3)


def test_masks_of_other_shapes_are_refused_unless_all_have_one_size(photos, tmp_path):
    def add(name: str, **shapes: tuple[int, int]):
        write(tmp_path / name, **{key: np.ones(shape, np.uint8) for key, shape in shapes.items()})
        return import_masks(
            Store.create(tmp_path / f"store {name}"), open_drawn(tmp_path / name, CLASSES), "x", photos=photos
        )

    scaled = add("scaled", a=(480, 640), b=(48, 64), c=(90, 128), d=(24, 32))  # 90: in steps
    assert (scaled.computed, len(scaled.notes)) == (4, 2)
    mixed = add("mixed", a=(48, 64), b=(480, 480), c=(480, 720), d=(64, 48))
    assert mixed.computed == 1
    assert mixed.failed["b.png"] == (
        "The mask 'b.png' is 480 x 480 pixels and its photo 64 x 48: expected the photo's size, a size of its shape, "
        "or one size for all masks."
    )
    assert "expected the photo's size" in mixed.failed["c.png"]
    assert "without the photo's EXIF orientation" in mixed.failed["d.png"]
    grid = add("grid", a=(224, 224), b=(224, 224), c=(224, 224))
    assert grid.computed == 3
    assert grid.notes[2] == "All masks have 224 x 224 pixels, whatever their photos' shapes, as a model's grid has."


def test_confidence_of_0_and_1_alone_is_refused(photos, tmp_path):
    mask = np.ones((48, 64), np.uint8)
    write(tmp_path / "m", a=mask, b=mask)
    write(tmp_path / "plain", a=mask, b=mask)
    (tmp_path / "c").mkdir()
    Image.fromarray(mask).save(tmp_path / "c" / "a.png")
    Image.fromarray(0 * mask).save(tmp_path / "c" / "b.png")
    store = Store.create(tmp_path / "made")
    report = import_masks(store, open_drawn(tmp_path / "m", CLASSES), "x", photos=photos, confidence=tmp_path / "c")
    assert report.failed == {
        "a.png": "The confidence map 'a.png' holds only 0 and 1: expected confidence 0..1 as 0..255."
    }
    assert store.table([report.run])["confidence"].tolist() == [0]
