import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import seglib
from seglib import open as open_store
from seglib.data.resize import Resize
from seglib.errors import StoreError, UnknownName
from seglib.fileio import json_record
from seglib.maintenance import prune
from seglib.pipeline.session import RunOptions
from seglib.query import export
from seglib.store.store import Store


@pytest.fixture
def filled(paint, tmp_path, fake) -> Store:
    paint("cats/a.png", cat=(0, 0, 32, 48))
    paint("dogs/b.png", dog=(0, 0, 64, 24))
    store = Store.create(tmp_path / "store")
    seglib.run(tmp_path / "photos", store, fake, precision="fp32", options=RunOptions(workers=0))
    return store


def test_opening_needs_a_store(tmp_path):
    with pytest.raises(StoreError, match="run a model over a folder of photos first"):
        open_store(tmp_path / "nowhere")


def test_a_newer_store_is_not_touched(tmp_path):
    Store.create(tmp_path / "s")
    (tmp_path / "s" / "store.json").write_text(json.dumps({"schema": 99}))
    with pytest.raises(StoreError, match=r"layout 99.*upgrade"):
        open_store(tmp_path / "s")
    with pytest.raises(StoreError, match="upgrade"):
        Store.create(tmp_path / "s")


def test_a_newer_run_is_named(filled):
    file = next(filled.path.glob("runs/*/run.json"))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"schema": 99}))
    with pytest.raises(StoreError, match=r"fake-64x48-.* newer version"):
        filled.table()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"classes": 3}'])
def test_a_damaged_run_json_is_named(filled, content):
    next(filled.path.glob("runs/*/run.json")).write_text(content)
    with pytest.raises(StoreError, match=r"run\.json is damaged"):
        filled.table()
    ((name, why),) = filled.damaged_runs().items()
    assert name.startswith("fake-")
    assert "run.json is damaged" in why


def test_a_damaged_part_is_named_and_the_rest_of_the_store_is_fine(filled):
    part = next(filled.path.glob("runs/*/stats/*.parquet"))
    part.write_bytes(b"PAR1 no more")
    with pytest.raises(StoreError, match=part.name):
        filled.table()
    assert len(filled.files(filled.datasets()[0])) == 2


def test_deleting_the_damaged_part_as_told_brings_its_rows_back(filled, fake, tmp_path):
    expected = filled.table()
    next(filled.path.glob("runs/*/stats/*.parquet")).unlink()
    report = seglib.run(tmp_path / "photos", filled, fake, precision="fp32", options=RunOptions(workers=0))
    assert report.computed == 2
    pd.testing.assert_frame_equal(filled.table(), expected)


def test_the_rows_of_a_run_are_counted_without_reading_them(filled):
    (run,) = filled.runs()
    assert filled.count_rows(run) == 2
    next(filled.path.glob("runs/*/stats/*.parquet")).unlink()
    assert filled.count_rows(run) == 0


def test_an_empty_store_has_an_empty_table(tmp_path):
    table = Store.create(tmp_path / "s").table()
    assert table.empty
    assert {"path", "run", "confidence", "animal"} <= set(table.columns)


def test_unknown_names_list_the_known_ones(filled):
    with pytest.raises(UnknownName, match="fake-64x48-"):
        filled.table(["nothing"])
    with pytest.raises(UnknownName, match="photos"):
        filled.table(datasets=["nothing"])
    with pytest.raises(UnknownName):
        filled.run("nothing")


def test_a_class_that_a_model_does_not_know_is_null_and_never_zero(filled, fake, tmp_path):
    other = replace(fake, classes=("background", "cat", "dog", "horse"))
    seglib.run(tmp_path / "photos", filled, other, precision="fp32", options=RunOptions(workers=0))
    table = filled.table()
    assert len(table) == 4
    unknown = table["run"] != filled.runs()[0].run
    assert table.loc[unknown, "px:person"].isna().all()
    assert (table.loc[~unknown, "px:person"] == 0).all()
    assert str(table["px:person"].dtype) == "Int32"
    assert str(table["px:cat"].dtype) == "int32"
    assert str(table["blobs:person"].dtype) == "UInt16"


def test_the_version_follows_every_change(filled, fake, tmp_path, paint):
    first = filled.version()
    assert filled.version() == first
    paint("cats/c.png", "person")
    seglib.run(tmp_path / "photos", filled, fake, precision="fp32", options=RunOptions(workers=0))
    assert filled.version() != first


def test_the_overlay_shows_photo_and_class(filled):
    picture = filled.overlay("cats/a.png", alpha=1.0)
    assert picture.size == (64, 48)
    assert picture.getpixel((0, 0)) == (128, 0, 0)  # class 1 in VOC colours
    assert picture.getpixel((63, 0)) == (0, 0, 0)  # the photo's own background
    assert filled.overlay("cats/a.png", alpha=1.0, colours="okabe-ito").getpixel((0, 0)) == (0x56, 0xB4, 0xE9)


def test_a_photo_that_changed_is_not_shown_under_its_old_mask(filled, paint, tmp_path):
    paint("cats/a.png", "person")
    with pytest.raises(StoreError, match="changed since its scan"):
        filled.overlay("cats/a.png")
    (tmp_path / "photos" / "cats" / "a.png").unlink()
    with pytest.raises(StoreError, match="can no longer be read"):
        filled.overlay("cats/a.png")


def test_an_unknown_photo_and_a_missing_mask_are_sentences(filled):
    with pytest.raises(StoreError, match="has no photo"):
        filled.overlay("../../etc/passwd")
    image_id = filled.table()["image_id"].iloc[0]
    filled.mask_path(filled.runs()[0].run, image_id).unlink()
    with pytest.raises(StoreError, match="`verify`"):
        filled.overlay("cats/a.png")
    with pytest.raises(StoreError, match="`verify`"):
        filled.overlay("cats/a.png", run=filled.runs()[0].run)


def test_without_a_run_named_the_overlay_takes_one_that_has_the_photo(filled, fake, tmp_path):
    import shutil

    only = tmp_path / "only"
    only.mkdir()
    shutil.copy(tmp_path / "photos" / "dogs" / "b.png", only)
    seglib.run(only, filled, replace(fake, resize=Resize("32x48")), precision="fp32", options=RunOptions(workers=0))
    assert filled.runs()[-1].resize == "32x48"
    assert filled.overlay("cats/a.png").size == (64, 48)


def test_a_path_in_two_data_sets_needs_one_named(filled, fake, tmp_path, paint):
    import shutil

    shutil.copytree(tmp_path / "photos", tmp_path / "copy")
    seglib.run(tmp_path / "copy", filled, fake, precision="fp32", options=RunOptions(workers=0))
    with pytest.raises(StoreError, match="'copy', 'photos'"):
        filled.overlay("cats/a.png")
    assert filled.overlay("cats/a.png", dataset="copy").size == (64, 48)


def test_masks_hold_what_the_table_counts(filled):
    for row in filled.table().itertuples():
        mask = filled.mask(row.run, row.image_id)
        counts = np.bincount(mask.ravel(), minlength=4)
        assert counts.tolist() == [filled.table().loc[row.Index].get(f"px:{c}") for c in filled.runs()[0].classes]


def test_a_title_may_change_later_and_stays_unique(filled, fake, tmp_path):
    dataset = filled.register_dataset(tmp_path / "photos", "My pets")
    assert filled.datasets() == [dataset]
    assert filled.table()["dataset"].unique().tolist() == ["My pets"]
    (tmp_path / "other").mkdir()
    assert filled.register_dataset(tmp_path / "other", "My pets").name.startswith("My pets-")


def test_places_are_the_files_that_have_this_content_now(filled, fake, tmp_path, paint):
    ids = filled.table().set_index("path")["image_id"]
    (place,) = filled.locate_images([ids["cats/a.png"], "0" * 32]).to_dict("records")
    status = (tmp_path / "photos" / "cats" / "a.png").stat()
    assert (place["path"], place["bytes"], place["mtime_ns"]) == ("cats/a.png", status.st_size, status.st_mtime_ns)
    assert place["dataset"] == "photos"
    paint("cats/a.png", dog=(0, 0, 32, 48))  # another content under the same name
    (tmp_path / "photos" / "dogs" / "b.png").unlink()
    seglib.run(tmp_path / "photos", filled, fake, precision="fp32", options=RunOptions(workers=0))
    assert filled.locate_images(list(ids)).empty
    (new,) = filled.table()["image_id"]
    assert list(filled.locate_images([new])["path"]) == ["cats/a.png"]


def test_places_and_measures_of_nothing(filled, tmp_path):
    assert list(filled.locate_images([]).columns) == ["dataset", "path", "bytes", "mtime_ns", "image_id", "etag"]
    assert filled.locate_images([]).empty
    assert Store.create(tmp_path / "new").locate_images(["0" * 32]).empty
    assert filled.confidence_stats(filled.run(), []).empty


def test_measures_are_those_of_the_table(filled):
    table = filled.table().set_index("image_id")
    wanted = table.index[1]
    (found,) = filled.confidence_stats(filled.run(), [wanted]).to_dict("records")
    assert found == {"image_id": wanted} | table.loc[wanted, ["confidence", "entropy", "low_margin"]].to_dict()


# --- a store that somebody changed ---


@pytest.mark.parametrize(
    "change",
    [
        *({"run": "../../x"}, {"classes": [1]}, {"invocations": [{}]}, {"recipe": []}, {"created": None}),
        *({"model": {}}, {"untrained_classes": [[1]]}, {"untrained_classes": ["yak"]}, {"untrained_classes": None}),
    ],
)
def test_a_run_of_other_kinds_is_named(filled, change):
    file = next(filled.path.glob("runs/*/run.json"))
    file.write_bytes(json_record.encode(json_record.read(file, "") | change))  # with a checksum that is right
    assert filled.runs() == []
    (why,) = filled.damaged_runs().values()
    assert "run.json is damaged" in why


@pytest.mark.parametrize("change", [{"root": 7}, {"root": ""}, {"root": "\0"}, {"name": None}])
def test_a_data_set_of_other_kinds_is_named(filled, change):
    file = next(filled.path.glob("datasets/*/dataset.json"))
    file.write_bytes(json_record.encode(json_record.read(file, "") | change))  # with a checksum that is right
    (why,) = filled.damaged_datasets().values()
    assert "dataset.json is damaged" in why
    assert [one.name for one in filled.datasets()] == [file.parent.name]


def test_an_id_that_is_a_path_is_none(filled):
    for image_id in ("../../../etc/passwd", "A" * 32, "", "0" * 33):
        with pytest.raises(StoreError, match="not an image_id"):
            filled.mask_path("run", image_id)
        with pytest.raises(StoreError, match="not an image_id"):
            filled.thumbnail_path(image_id)


@pytest.mark.parametrize("name", ["runs", "tags", "thumbs"])
def test_folders_that_are_links_are_refused(filled, tmp_path, name):
    place = filled.path / name
    if place.exists():
        place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match=f"'{name}' in this store is a link"):
        open_store(filled.path)


def test_prune_follows_no_link_out_of_the_store(filled, tmp_path):
    kept = tmp_path / "outside" / "ab" / "abcdef.png"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (filled.path / "runs" / filled.run().run / "masks" / "cd").symlink_to(kept.parent)
    prune.prune(filled)
    assert kept.exists()


def test_a_path_instead_of_an_image_id_does_not_blame_the_store(filled):
    run = filled.runs()[-1].run
    for slip in ("cats/a.png", "", "../../etc/passwd", "A" * 32):
        with pytest.raises(StoreError, match=r"is not an image_id, which has 32 hex digits.*`table\(\)`") as refused:
            filled.mask(run, slip)
        assert "changed" not in str(refused.value)


def test_a_mask_that_is_a_link_is_missing(filled, tmp_path):
    run = filled.run().run
    mask = filled.mask_path(run, filled.table()["image_id"].iloc[0])
    mask.rename(tmp_path / "mask.png")
    mask.symlink_to(tmp_path / "mask.png")
    with pytest.raises(StoreError, match="missing or damaged"):
        filled.mask(run, mask.stem)


def test_an_export_stays_in_its_folder(filled, tmp_path, monkeypatch):
    for path in ("../../../x.png", "/x.png", "a/../../../../x.png", "a\0b.png"):
        row = {"run": "r", "dataset": "d", "path": path, "image_id": "0" * 32}
        assert (tmp_path / export._file_name(row)).resolve().is_relative_to(tmp_path / "r" / "d")
