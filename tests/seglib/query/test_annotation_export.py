"""COCO, YOLO and CVAT exports hold exactly the masks of the store, at the photos' sizes.

Each is read with its own library or by its own rules: pycocotools, a plain even-odd fill, the colours of labelmap.txt.
"""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from seglib.annotations.coco import read_coco
from seglib.annotations.yolo import read_yolo
from seglib.classes import VOID, Mask
from seglib.errors import StoreError, UsageError
from seglib.masks import png
from seglib.query import export
from seglib.query.annotation_export.annotation_set import AnnotationSet, annotation_sets
from seglib.query.annotation_export.coco import coco_files, encode_coco
from seglib.query.annotation_export.cvat import cvat_files
from seglib.query.annotation_export.yolo import yolo_files
from seglib.query.filters import Filters
from seglib.store.store import Store
from tests.seglib.small_runs import run

SIZES = {"cats/a.png": (160, 120), "dogs/b.png": (97, 61), "images/c.png": (64, 48), "d.png": (30, 50)}


@pytest.fixture
def store(paint, tmp_path, fake) -> Store:
    """Photos of several sizes, whose masks have regions, holes, regions in holes, and pixels that touch by corners."""
    for number, (name, size_wh) in enumerate(SIZES.items()):
        paint(name, "background", size_wh, cat=(0, 0, number + 1, 1))
    store = Store.create(tmp_path / "store")
    run(tmp_path / "photos", store, fake)
    rng = np.random.default_rng(0)
    for path, row in store.table().set_index("path").iterrows():
        coarse = rng.integers(0, 4, (8, 11)).astype(np.uint8)
        mask = png.resize_mask(coarse, (64, 48)).copy()
        mask[10:30, 20:40], mask[12:28, 22:38], mask[15:20, 25:30] = 1, 0, 2
        replace_mask(store, row, np.zeros_like(mask) if path == "d.png" else mask)
    return store


def replace_mask(store: Store, row, mask: Mask) -> None:
    store.mask_path(row["run"], row["image_id"]).write_bytes(png.encode_index_png(mask))


def photo_mask(store: Store, path: str) -> Mask:
    row = store.table().set_index("path").loc[path]
    return png.resize_mask(store.mask(row["run"], row["image_id"]), SIZES[path])


def only_set(store: Store, where: str = "") -> AnnotationSet:
    (one,) = annotation_sets(store, None, Filters.decode(where))
    return one


def write(tmp_path: Path, files) -> Path:
    export.write_folder(tmp_path / "out", files)
    return tmp_path / "out"


# --- masks ---


def test_masks_leave_at_the_photos_size_in_one_folder(store, tmp_path):
    out = write(tmp_path, export.mask_files(store, None, Filters(), photo_size=True, flat=True))
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "c.png", "d.png"]
    for path, size_wh in SIZES.items():
        with Image.open(out / Path(path).name) as picture:
            assert (picture.mode, picture.size) == ("P", size_wh)
            assert (np.asarray(picture) == photo_mask(store, path)).all()


def test_the_photos_size_and_the_flat_folder_are_chosen_apart(store):
    name = f"{store.run().run}/photos/cats/a.png.png"
    sized = dict(export.mask_files(store, None, Filters(), photo_size=True))
    assert png.decode_index_png(sized[name]).shape == (120, 160)
    flat = dict(export.mask_files(store, None, Filters(), flat=True))
    assert flat["a.png"] == dict(export.mask_files(store, None, Filters()))[name]


def test_two_masks_of_one_name_are_refused_before_anything_is_written(paint, store, tmp_path, fake):
    paint("dogs/a.webp", "dog")
    run(tmp_path / "photos", store, fake)
    with pytest.raises(
        UsageError, match=r"'.*: photos/cats/a\.png' and '.*: photos/dogs/a\.webp' would both .*'a\.png'"
    ):
        write(tmp_path, export.mask_files(store, None, Filters(), flat=True))
    assert not (tmp_path / "out").exists()
    chosen = export.mask_files(store, None, Filters.decode("label=dogs"), flat=True)
    assert [name for name, _ in chosen] == ["a.png", "b.png"]
    run(tmp_path / "photos", store, fake, resize="32x32")
    with pytest.raises(
        UsageError, match=r"fake-64x48-.*photos/cats/a\.png' and 'fake-32x32-|fake-32x32-.*' and 'fake-64x48-"
    ):
        list(export.mask_files(store, None, Filters.decode("label=cats"), flat=True))


def test_datasets_whose_folders_would_be_the_same_are_refused(paint, store, tmp_path, fake):
    for name in ("x y", "x_y"):
        store.register_dataset(tmp_path / name, name)
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes((tmp_path / "photos/cats/a.png").read_bytes())
        run(tmp_path / name, store, fake)
    for files in (
        lambda filters: export.mask_files(store, None, filters),
        lambda filters: export.overlay_files(store, None, filters, alpha=0.5, colours="voc"),
        *(lambda filters, make=make: make(annotation_sets(store, None, filters)) for make in (coco_files, yolo_files)),
        lambda filters: cvat_files(annotation_sets(store, None, filters)),
    ):
        with pytest.raises(UsageError, match="would both be written"):
            list(files(Filters.decode("dataset=x+y&dataset=x_y")))
        assert list(files(Filters.decode("dataset=photos&dataset=x_y")))


def test_a_name_of_255_bytes_is_exported(paint, store, tmp_path, fake):
    name = "é" * 125 + "x.png"
    paint(f"long/{name}", "cat")
    run(tmp_path / "photos", store, fake)
    filters = Filters.decode("label=long")
    out = write(tmp_path, export.mask_files(store, None, filters))
    assert [path.name for path in out.rglob("*.png")] == [name]
    for make in (yolo_files, cvat_files):
        write(tmp_path, make(annotation_sets(store, None, filters)))


# --- COCO ---


@pytest.fixture
def coco_file(store, tmp_path) -> Path:
    export.write_file(tmp_path / "coco.json", encode_coco(only_set(store)))
    return tmp_path / "coco.json"


def open_coco(file: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(file))


def test_coco_lists_photos_and_classes(store, coco_file):
    found = open_coco(coco_file)
    assert {one["file_name"]: (one["width"], one["height"]) for one in found.imgs.values()} == SIZES
    assert {one["id"]: one["name"] for one in found.cats.values()} == {1: "cat", 2: "dog", 3: "person"}
    assert str(store.path.parent) not in coco_file.read_text()


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools_counts_the_pixels_of_each_class(store, tmp_path, polygons):
    export.write_file(tmp_path / "coco.json", encode_coco(only_set(store), polygons=polygons))
    found = open_coco(tmp_path / "coco.json")
    for image in found.imgs.values():
        mask = photo_mask(store, image["file_name"])
        areas = np.zeros(4, int)
        for one in found.imgToAnns[image["id"]]:
            encoded = found.annToRLE(one)
            assert coco_mask.area(encoded) == one["area"]
            assert coco_mask.toBbox(encoded).tolist() == one["bbox"]
            areas[one["category_id"]] += one["area"]
        assert areas[1:].tolist() == np.bincount(mask.ravel(), minlength=4)[1:].tolist()
    assert len(found.anns) > 40
    assert all(one["iscrowd"] == 0 for one in found.anns.values())


@pytest.mark.parametrize("polygons", [False, True])
def test_our_reader_gives_the_masks_back(store, tmp_path, polygons):
    export.write_file(tmp_path / "coco.json", encode_coco(only_set(store), polygons=polygons))
    found = read_coco(tmp_path / "coco.json")
    assert found.classes == ("background", "cat", "dog", "person")
    for path in SIZES:
        assert (found.mask(path) == photo_mask(store, path)).all()


# --- YOLO ---


def fill(polygon: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """bool (H, W): pixels whose centre lies within the polygon by the even-odd rule, by plain loops."""
    inside = np.zeros(size_wh[::-1], bool)
    x_of, y_of = np.arange(size_wh[0]) + 0.5, np.arange(size_wh[1]) + 0.5
    for (x, y), (next_x, next_y) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        for row in np.flatnonzero((y_of > min(y, next_y)) & (y_of <= max(y, next_y))):
            crossed = x + (y_of[row] - y) / (next_y - y) * (next_x - x)
            inside[row] ^= x_of > crossed
    return inside


def test_yolo_polygons_filled_again_are_the_masks(store, tmp_path):
    out = write(tmp_path, yolo_files([only_set(store)]))
    for path, size_wh in SIZES.items():
        label = out / ("images/labels/c.txt" if path == "images/c.png" else f"labels/{path[:-4]}.txt")
        mask = np.zeros(size_wh[::-1], np.uint8)
        for line in label.read_text().splitlines():
            number, *shares = line.split()
            assert all(0 <= float(share) <= 1 for share in shares)
            inside = fill(np.array(shares, float).reshape(-1, 2) * size_wh, size_wh)
            assert not mask[inside].any()
            mask[inside] = int(number) + 1
        assert (mask == photo_mask(store, path)).all()
    assert (out / "labels" / "d.txt").read_text() == ""


def test_our_reader_gives_yolo_back(store, tmp_path):
    out = write(tmp_path, yolo_files([only_set(store, "label=cats&label=dogs")]))
    found = read_yolo(out)
    assert found.classes == ("background", "cat", "dog", "person")
    for path in ("cats/a.png", "dogs/b.png"):
        assert (found.mask(f"labels/{path[:-4]}.txt", SIZES[path]) == photo_mask(store, path)).all()


def test_data_yaml_names_classes_and_folders(store):
    files = dict(yolo_files([only_set(store)]))
    assert files["data.yaml"].decode().splitlines()[1:] == [
        *('train: "images"', 'val: "images"', "nc: 3", "names:", '  0: "cat"', '  1: "dog"', '  2: "person"')
    ]


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["training_set/a", "test_set/b"], {"train": "images/training_set", "val": "images/test_set"}),
        (["train/cats/a", "val/cats/b", "test/c"], {"train": "images/train", "val": "images/val"}),
        (["train/a", "train/b"], {"train": "images", "val": "images"}),
        (["train/a", "c"], {"train": "images", "val": "images"}),
        (["x/train/a", "x/val/b"], {"train": "images", "val": "images"}),
        (["train/a", "training/b", "val/c"], {"train": "images", "val": "images"}),
    ],
)
def test_splits_with_folders_of_their_own_are_named(paint, tmp_path, fake, names, folders):
    for number, name in enumerate(names):
        paint(f"{name}.png", "cat", dog=(0, 0, number + 1, 1))
    store = Store.create(tmp_path / "store")
    run(tmp_path / "photos", store, fake)
    text = dict(yolo_files([only_set(store)]))["data.yaml"].decode()
    for split, folder in folders.items():
        assert f'\n{split}: "{folder}"\n' in text


# --- CVAT ---


def test_cvat_colours_are_the_masks_indices(store, tmp_path):
    row = store.table().set_index("path").loc["cats/a.png"]
    with_void = store.mask(row["run"], row["image_id"])
    with_void[:5] = VOID
    replace_mask(store, row, with_void)
    export.write_zip(tmp_path / "cvat.zip", cvat_files([only_set(store)]))
    with zipfile.ZipFile(tmp_path / "cvat.zip") as archive:
        assert archive.read("ImageSets/Segmentation/default.txt").decode() == "cats/a\nd\ndogs/b\nimages/c\n"
        lines = archive.read("labelmap.txt").decode().splitlines()
        assert lines[:3] == ["# label:color_rgb:parts:actions", "background:0,0,0::", "cat:128,0,0::"]
        assert lines[-1] == "void:224,224,192::"
        colours = [tuple(map(int, line.split(":")[1].split(","))) for line in lines[1:]]
        indices = [0, 1, 2, 3, VOID]
        for path in SIZES:
            with Image.open(archive.open(f"SegmentationClass/{path}")) as picture:
                assert picture.mode == "RGB"
                pixels = np.asarray(picture)
            mask = np.full(pixels.shape[:2], 77, np.uint8)
            for index, colour in zip(indices, colours, strict=True):
                mask[(pixels == colour).all(axis=2)] = index
            assert (mask == photo_mask(store, path)).all()


def test_void_is_no_annotation_and_is_listed_only_where_it_is(store, tmp_path):
    assert b"void" not in dict(cvat_files([only_set(store)]))["labelmap.txt"]
    row = store.table().set_index("path").loc["d.png"]
    replace_mask(store, row, np.full((48, 64), VOID, np.uint8))
    assert dict(yolo_files([only_set(store)]))["labels/d.txt"] == b""
    export.write_file(tmp_path / "coco.json", encode_coco(only_set(store, "path=d.png")))
    assert open_coco(tmp_path / "coco.json").anns == {}


def test_a_name_that_a_list_cannot_hold_is_refused(paint, store, tmp_path, fake):
    paint("a\nb.png", "cat")
    run(tmp_path / "photos", store, fake)
    with pytest.raises(UsageError, match="one name per line"):
        list(cvat_files([only_set(store)]))


# --- what all of them share ---


def test_several_runs_and_datasets_lie_in_folders(paint, store, tmp_path, fake):
    run(tmp_path / "photos", store, fake, resize="32x32")
    sets = annotation_sets(store, None, Filters())
    assert sorted(one.folder for one in sets) == sorted(f"{one.run}/photos" for one in store.runs())
    out = write(tmp_path, coco_files(sets))
    assert len(list(out.glob("*/photos/annotations.json"))) == 2
    assert [one.folder for one in annotation_sets(store, [store.run().run], Filters())] == [""]


@pytest.mark.parametrize("make", [yolo_files, cvat_files])
def test_photos_that_differ_in_their_ending_are_refused(paint, store, tmp_path, fake, make):
    paint("cats/a.bmp", "dog")
    run(tmp_path / "photos", store, fake)
    with pytest.raises(UsageError, match=r"cats/a\.bmp' and '.*cats/a\.png' would both be written"):
        write(tmp_path, make([only_set(store)]))
    assert not (tmp_path / "out").exists()
    names = [one["file_name"] for one in json.loads(b"".join(encode_coco(only_set(store))))["images"]]
    assert {"cats/a.bmp", "cats/a.png"} < set(names)


def test_nothing_to_export_and_a_damaged_mask_are_a_sentence(store):
    with pytest.raises(UsageError, match="nothing to export"):
        annotation_sets(store, None, Filters.decode("label=birds"))
    row = store.table().set_index("path").loc["cats/a.png"]
    replace_mask(store, row, np.full((48, 64), 4, np.uint8))
    with pytest.raises(StoreError, match="values without a class: run again with `verify`"):
        list(cvat_files([only_set(store)]))


def test_a_model_without_background_exports_all_its_classes(store):
    one = only_set(store)
    without = AnnotationSet(one.store, one.run, one.dataset, ("rest", "cat", "dog", "person"), one.photos, "")
    assert json.loads(b"".join(encode_coco(without)))["categories"][0] == {"id": 1, "name": "rest", "supercategory": ""}
    labels = dict(yolo_files([without]))["labels/d.txt"].decode()
    assert labels.startswith("0 0.000000 0.000000 1.000000 ")
