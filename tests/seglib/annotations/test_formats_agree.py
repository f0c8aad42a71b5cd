"""The same masks in every format count the same pixels of the same classes, for evaluate, import-masks and train."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from pycocotools import mask as coco_mask

from seglib.annotations.options import MaskOptions
from seglib.annotations.reader import open_masks
from seglib.classes import palette
from seglib.evaluation import evaluation, truth_counting
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from seglib.training import dataset
from tests.seglib.annotations.test_raw_mask import write_png

CLASSES = ("background", "cat", "dog", "person")
VOC_INDICES = np.array([0, 8, 12, 15])
COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 200, 0), (130, 130, 130)], np.uint8)
VOID_COLOUR = (9, 8, 7)


def _table(values, void) -> np.ndarray:
    table = np.full(256, void, np.int64)
    table[: len(values)] = values
    return table


def write_grey(bits):
    def write(folder: Path, name: str, mask: np.ndarray) -> None:
        void = 255 if bits >= 8 else 15
        (folder / f"{name}.png").write_bytes(write_png(_table(range(4), void)[mask], bits))

    return write, {"format": "index", "classes": CLASSES, "ignore": () if bits >= 8 else (15,)}


def write_with_pillow(ending):
    def write(folder: Path, name: str, mask: np.ndarray) -> None:
        Image.fromarray(mask).save(folder / f"{name}.{ending}")

    return write, {"format": "index", "classes": CLASSES}


def write_channels(folder: Path, name: str, mask: np.ndarray) -> None:
    Image.fromarray(np.repeat(mask[..., None], 3, 2)).save(folder / f"{name}.png")


def write_voc_palette(order):
    def write(folder: Path, name: str, mask: np.ndarray) -> None:
        stored = _table(np.argsort(order)[VOC_INDICES], 255)[mask].astype(np.uint8)
        image = Image.fromarray(stored)
        image.putpalette(palette("voc", [""] * 256)[order].tobytes())
        image.save(folder / f"{name}.png")

    return write


REORDERED = np.concatenate([np.arange(15, -1, -1), np.arange(16, 256)])


def write_colours(folder: Path, name: str, mask: np.ndarray) -> None:
    table = np.full((256, 3), VOID_COLOUR, np.uint8)
    table[:4] = COLOURS
    Image.fromarray(table[mask]).save(folder / f"{name}.png")
    lines = [f"{one}:{r},{g},{b}::" for one, (r, g, b) in zip(CLASSES, COLOURS.tolist(), strict=True)]
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines, "void:9,8,7::"]))


def write_shifted(folder: Path, name: str, mask: np.ndarray) -> None:
    Image.fromarray(np.where(mask == 255, 0, mask + 1).astype(np.uint8)).save(folder / f"{name}.png")


def write_coco(folder: Path, name: str, mask: np.ndarray) -> None:
    file = folder / "coco.json"
    categories = [{"id": 10 * i, "name": one} for i, one in enumerate((*CLASSES[1:], "void"), 1)]
    document = (
        json.loads(file.read_text()) if file.exists() else {"images": [], "annotations": [], "categories": categories}
    )
    number = len(document["images"])
    height, width = mask.shape
    document["images"].append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
    for value, category in ((1, 10), (2, 20), (3, 30), (255, 40)):
        if (mask == value).any():
            rle = coco_mask.encode(np.asfortranarray(mask == value))
            rle["counts"] = rle["counts"].decode()
            document["annotations"].append(
                {"id": len(document["annotations"]), "image_id": number, "category_id": category, "iscrowd": 0,
                 "segmentation": rle, "area": int((mask == value).sum()), "bbox": [0, 0, width, height]}
            )  # fmt: skip
    file.write_text(json.dumps(document))


FORMATS = {
    "grey 4 bits": write_grey(4),
    "grey 8 bits": write_grey(8),
    "grey 16 bits": write_grey(16),
    "tiff": write_with_pillow("tiff"),
    "gif": write_with_pillow("gif"),
    "bmp": write_with_pillow("bmp"),
    "index in each channel": (write_channels, {"format": "index", "classes": CLASSES}),
    "voc palette": (write_voc_palette(np.arange(256)), {}),
    "voc palette reordered": (write_voc_palette(REORDERED), {}),
    "colours": (write_colours, {}),
    "counted from 1": (write_shifted, {"format": "index", "classes": CLASSES, "offset": 1}),
    "coco": (write_coco, {}),
}


def source_of(folder: Path) -> Path:
    return folder / "coco.json" if (folder / "coco.json").exists() else folder


SHAPES, VALUES = st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([0, 1, 2, 3, 255])


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15, deadline=None)
@given(mask=arrays.arrays(np.uint8, SHAPES, elements=VALUES))
def test_a_mask_is_read_as_it_was_written(name, mask, tmp_path_factory):
    write, options = FORMATS[name]
    folder = tmp_path_factory.mktemp("masks")
    write(folder, "a", mask)
    every = np.array([[0, 1, 2, 3, 255]], np.uint8)
    write(folder, "b", every)  # so that no sample is ambiguous
    masks = open_masks(source_of(folder), MaskOptions(**options))
    for file in masks.files["path"]:
        expected = mask if file.startswith("a.") else every
        size = expected.shape[1], expected.shape[0]
        read = masks.read(file, size)
        named = np.array([*masks.classes, *[""] * (255 - len(masks.classes)), "void"])
        assert (named[read] == np.array([*CLASSES, *[""] * 251, "void"])[expected]).all()


@pytest.mark.parametrize("name", FORMATS)
def test_evaluate_import_and_train_count_the_same(name, photos, store, fake, tmp_path):
    """`photos` are 64 x 48; the run's classes are background, cat, dog and person."""
    import seglib
    from seglib.pipeline.session import RunOptions

    write, options = FORMATS[name]
    random = np.random.default_rng(3)
    stems = [photo.stem for photo in photos.rglob("*.png")]
    drawn = {stem: random.choice([0, 1, 2, 3, 255], (48, 64)).astype(np.uint8) for stem in stems}
    folder = tmp_path / "masks"
    folder.mkdir()
    for stem, mask in drawn.items():
        write(folder, stem, mask)
    counts = np.bincount(np.concatenate([mask.ravel() for mask in drawn.values()]), minlength=256)
    expected = {one: int(counts[index]) for index, one in enumerate(CLASSES)}
    masks = open_masks(source_of(folder), MaskOptions(**options))

    run = seglib.run(photos, store, fake, options=RunOptions(workers=0)).run
    report = truth_counting.update_counts(store, masks, [run])
    matrix = evaluation.load_evaluation(store, report.truth, run).confusion().sum(axis=1)
    assert {one: int(matrix[one]) for one in CLASSES} == expected

    imported = import_masks(Store(store.path), masks, "theirs")
    assert imported.computed == 4
    table = store.table([imported.run])
    assert {one: int(table[f"px:{one}"].sum()) for one in CLASSES} == expected

    named = MaskOptions(**{key: value for key, value in options.items() if key != "classes"})
    samples, mapping = dataset.find_samples(photos, source_of(folder), options=named, classes=CLASSES)
    pixels = dataset.check_samples(samples, mapping).pixels
    assert {one: int(pixels[index]) for index, one in enumerate(CLASSES)} == expected
    assert int(pixels[255]) == int(counts[255])
