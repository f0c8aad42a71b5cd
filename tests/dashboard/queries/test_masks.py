"""Which masks are offered for the photos of a run, and what is read of them before anything is computed."""

import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dashboard.queries import masks as mask_queries
from dashboard.queries.source import RunSource, open_store
from seglib.annotations.options import MaskOptions
from seglib.classes import VOC_CLASSES, palette
from seglib.evaluation import truth_counting
from seglib.masks import png
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.annotated import open_drawn
from tests.dashboard.conftest import PIXELS, TRUTH, draw_truth, fill_store, id_of, make_run_config, mask_of

RUN = make_run_config().run_name
SIZE_WH = (40, 30)


@pytest.fixture(autouse=True)
def _wait_for_the_thread(monkeypatch):
    monkeypatch.setattr(mask_queries, "WAIT_SECONDS", 60.0)
    mask_queries._offers.clear()


@pytest.fixture
def data(full) -> Path:
    (full.parent / "data").mkdir()
    return full.parent / "data"


def offer(data: Path, *runs: str) -> mask_queries.Offer:
    _, version, _ = open_store(data.parent / "store")
    found = mask_queries.offered((data,), RunSource(str(data.parent / "store"), version, RUN), runs or (RUN,))
    assert found is not None
    return found


def titles(data: Path) -> list[str]:
    return [source.title for source in offer(data).sources]


def inspect(masks: Path, *runs: str, **options: object) -> mask_queries.Inspection:
    store = next(parent / "store" for parent in masks.parents if (parent / "store").is_dir())
    _, version, _ = open_store(store)
    source = RunSource(str(store), version, RUN)
    found = mask_queries.inspected(masks, source, runs or (RUN,), MaskOptions(**options), "okabe-ito")
    assert found is not None
    return found


def photo(grey: bool = False) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE_WH[::-1], 3), np.uint8)
    return Image.fromarray(pixels[..., 0] if grey else pixels)


# --- which are offered ---


def test_masks_that_fit_photos_are_offered_and_those_of_others_are_not(data):
    draw_truth(data / "masks")
    draw_truth(data / "elsewhere", {"x/1.jpg": {"cat": 5}, "x/2.jpg": {"cat": 5}})
    found = offer(data)
    assert [source.title for source in found.sources] == ["data/masks", "data/masks/cats", "data/masks/dogs"]
    assert ("data/elsewhere", "no file is named like one of these photos") in found.left_out


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("grey", [False, True])
def test_photos_that_are_named_like_photos_are_not_masks(data, suffix, grey):
    for name in PIXELS:
        if "<" not in name:
            file = (data / "small" / name).with_suffix(suffix)
            file.parent.mkdir(parents=True, exist_ok=True)
            photo(grey).save(file)
    found = offer(data)
    assert found.sources == ()
    assert ("data/small", "these are photos") in found.left_out


def test_a_folder_of_jpegs_is_not_even_looked_at(data):
    for name in ("cats/a.jpg", "cats/b.jpg"):
        (data / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        photo().save(data / "photos" / name)
    assert offer(data) == mask_queries.Offer((), (), offer(data).surveyed_at)


def test_the_photos_themselves_are_not_masks_however_flat_they_are(tmp_path, serve):
    files = {"photos/a.png": {"cat": 50}, "photos/b.png": {}}
    for name in files:
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE_WH, (0, 0, 0)).save(tmp_path / "data" / name)
    fill_store(tmp_path / "store", folder="data", pixels=files)
    serve(tmp_path / "store", tmp_path / "data")
    assert titles(tmp_path / "data") == []
    mask_queries._offers.clear()
    draw_truth(tmp_path / "data" / "masks", {"a.jpg": {"cat": 5}})
    assert titles(tmp_path / "data") == ["data/masks"]


def test_masks_with_smooth_edges_are_offered_and_refused_with_the_reason(data):
    mask = Image.fromarray((mask_of({"cat": 50}) > 0).astype(np.uint8) * 255)
    for name in TRUTH:
        file = (data / "masks" / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        mask.resize((400, 300), Image.Resampling.BICUBIC).resize(SIZE_WH, Image.Resampling.BOX).save(file)
    assert "data/masks" in titles(data)
    assert inspect(data / "masks").refusal


def test_a_folder_is_not_offered_beside_the_one_below_it_that_holds_all_of_its_masks(data):
    draw_truth(data / "set" / "SegmentationClass")
    assert "data" not in titles(data)
    assert "data/set/SegmentationClass" in titles(data)
    draw_truth(data / "set" / "SegmentationObject")  # now every photo fits two masks of the set
    mask_queries._offers.clear()
    assert not {"data", "data/set"} & set(titles(data))


def test_coco_files_are_offered_without_being_parsed(data):
    images = [{"id": 1, "file_name": "cats/a.jpg", "width": 40, "height": 30}]
    box = {"segmentation": [[0, 0, 20, 0, 20, 30, 0, 30]], "bbox": [0, 0, 20, 30], "area": 600, "iscrowd": 0}
    annotations = [{"id": 1, "image_id": 1, "category_id": 7, **box}]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 7, "name": "cat"}]}
    (data / "instances.json").write_text(json.dumps(coco))
    (source,) = offer(data).sources
    assert source.title == "data/instances.json"
    found = inspect(source.path)
    assert (found.matched, found.photos, found.description) == (1, 6, "read as COCO: background, cat")
    assert found.previews[0].classes == (("cat", 0.5),)
    coco["categories"][0]["name"] = "dog"
    (data / "instances.json").write_text(json.dumps(coco))
    assert inspect(source.path).previews[0].classes == (("dog", 0.5),)


def test_a_folder_of_too_many_files_is_offered_without_a_count(data, monkeypatch):
    draw_truth(data / "masks", {"x.jpg": {"cat": 5}, "y.jpg": {"cat": 5}})
    draw_truth(data / "masks" / "few", {"cats/a.jpg": {"cat": 5}})
    monkeypatch.setattr(mask_queries, "_MAX_LISTED", 1)
    assert titles(data) == ["data/masks", "data/masks/few"]


# --- what is read ---


def test_an_inspection_says_what_fits_and_how_it_is_read(data):
    draw_truth(data / "masks", TRUTH | {"cats/nobody.jpg": {"person": 7}})
    found = inspect(data / "masks")
    assert (found.matched, found.photos, found.unused, found.rules) == (3, 6, 1, "3 by path")
    assert found.description == "read as VOC indices: background, cat, dog"
    assert [preview.photo for preview in found.previews] == ["cats/a.jpg", "cats/b.jpg", "dogs/d.jpg"]
    assert found.previews[0].alt == "cats/a.jpg under its mask: cat 60\N{NO-BREAK SPACE}%"


def test_a_preview_shows_the_mask_in_the_palette_over_the_thumbnail(data):
    draw_truth(data / "masks")
    shown = np.asarray(Image.open(io.BytesIO(inspect(data / "masks").previews[0].jpeg)), int)
    cat = palette("okabe-ito")[VOC_CLASSES.index("cat")]
    mixed = np.array([90, 120, 60]) * 0.35 + cat * 0.65
    assert np.abs(shown[3, 20] - mixed).max() < 8  # JPEG
    assert np.abs(shown[-3, 20] - [90, 120, 60]).max() < 8


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_preview_without_a_thumbnail_shows_the_mask_alone(data, full, content):
    draw_truth(data / "masks")
    thumbnail = Store(full).thumbnail_path(id_of("cats/a.jpg"))
    thumbnail.unlink()
    if content is not None:
        thumbnail.write_bytes(content)
    assert len(inspect(data / "masks").previews) == 3


def test_only_photos_that_all_runs_have_count(data, full):
    draw_truth(data / "masks")
    fill_store(full, code_schema=2, pixels={"cats/a.jpg": {"cat": 1}, "dogs/e.jpg": {}})
    found = inspect(data / "masks", RUN, make_run_config(2).run_name)
    assert (found.matched, found.photos) == (1, 2)


def test_masks_that_cannot_be_used_are_counted_and_all_of_them_are_a_refusal(data):
    draw_truth(data / "masks")
    draw_truth(data / "masks", {"cats/b.jpg": {"cat": 30}}, size_wh=(40, 31))
    found = inspect(data / "masks")
    assert (len(found.failed), found.read, len(found.previews)) == (1, 3, 2)
    assert "is 40 x 31 pixels and its photo 40 x 30" in found.failed[0]
    draw_truth(data / "masks", size_wh=(80, 60))
    assert inspect(data / "masks").refusal.startswith(
        "None of the 3 masks looked at can be used. The mask 'cats/a.png'"
    )


@pytest.mark.parametrize("foreground", [255, 1, 128])
def test_what_fits_two_readings_is_refused_until_options_settle_it(data, foreground):
    for name, counts in TRUTH.items():
        file = (data / "masks" / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        binary = (png.resize_mask(mask_of(counts), SIZE_WH) > 0).astype(np.uint8) * foreground
        Image.fromarray(binary).save(file)
    refused = inspect(data / "masks")
    assert "`format` binary" in refused.refusal
    assert not refused.previews
    settled = inspect(data / "masks", format="binary", classes=("background", "animal"))
    assert settled.refusal == ""
    assert settled.description == "read as binary masks: background, animal"


def test_a_change_of_the_files_is_seen_at_once(data):
    draw_truth(data / "masks")
    before = inspect(data / "masks")
    assert inspect(data / "masks") is before
    draw_truth(data / "masks", {"dogs/e.jpg": {"dog": 5}})
    added = inspect(data / "masks")
    assert added.matched == 4
    status = (data / "masks" / "cats" / "a.png").stat()
    draw_truth(data / "masks", {"cats/a.jpg": {"person": 60}})
    os.utime(data / "masks" / "cats" / "a.png", ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert inspect(data / "masks").description.endswith("person")
    (data / "masks" / "labelmap.txt").write_text("background:0,0,0::\n")
    assert not added.is_fresh()
    shutil.rmtree(data / "masks")
    assert "There is no" in inspect(data / "masks").refusal


def test_an_error_of_ours_is_not_a_refusal(data, monkeypatch):
    draw_truth(data / "masks")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(mask_queries, "open_masks", fail)
    with pytest.raises(ZeroDivisionError):
        inspect(data / "masks", ignore=(77,))


# --- the options of a ground truth ---


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"format": "voc"},
        {"format": "voc", "ignore": (7, 3)},
        {"format": "voc", "offset": -1, "classes": tuple(f"c{i}" for i in range(30))},
        {"format": "index", "classes": tuple(f"c{i}" for i in range(30)), "offset": 1, "ignore": (12,)},
        {"format": "index", "classes": VOC_CLASSES},
    ],
)
def test_masks_read_with_a_truths_options_are_the_same_truth(data, full, options):
    draw_truth(data / "masks")
    store = Store(full)
    truth_counting.update_counts(store, open_drawn(data / "masks", **options), [RUN])
    (truth,) = ground_truth.list_truths(store)
    again = mask_queries.truth_options(truth)
    assert again is not None
    masks = mask_queries.open_masks(data / "masks", again)
    assert ground_truth.register_truth(store, masks).id == truth.id


def test_a_binary_truth_is_read_again_as_the_same(data, full):
    for name in TRUTH:
        file = (data / "masks" / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((mask_of({"cat": 40}) > 0).astype(np.uint8) * 255).resize(SIZE_WH, 0).save(file)
    masks = mask_queries.open_masks(data / "masks", MaskOptions(format="binary", classes=("cat",)))
    truth = ground_truth.register_truth(Store(full), masks)
    again = mask_queries.truth_options(truth)
    assert ground_truth.register_truth(Store(full), mask_queries.open_masks(data / "masks", again)).id == truth.id


def test_options_that_no_version_writes_give_none():
    for text in ("offset=x", "ignore=1,y", "offset=1.5"):
        truth = ground_truth.GroundTruth(id="0" * 8, name="n", format="voc", classes=VOC_CLASSES, options=text)
        assert mask_queries.truth_options(truth) is None
    truth = ground_truth.GroundTruth(id="0" * 8, name="n", format="future", classes=VOC_CLASSES)
    assert mask_queries.truth_options(truth) is None
