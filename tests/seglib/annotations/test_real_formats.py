"""The masks of VOC's own list, converted to what other tools write: the figures of an evaluation stay the same."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from seglib.annotations.reader import open_masks
from seglib.classes import VOC_CLASSES, VOID, palette
from seglib.evaluation import evaluation, truth_counting
from seglib.masks.png import encode_index_png
from seglib.masks.regions import find_regions
from seglib.pipeline.import_masks import import_masks
from seglib.store.store import Store
from tests.annotated import open_drawn

NAMED = (*VOC_CLASSES, "void")


def write_colours(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    colours = np.zeros((256, 3), np.uint8)
    colours[: len(VOC_CLASSES)] = palette("voc")
    colours[VOID] = 224, 224, 192
    for name, mask in masks.items():
        Image.fromarray(colours[mask]).save(folder / f"{name}.png")
    lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(VOC_CLASSES, palette("voc").tolist(), strict=True)]
    (folder / "labelmap.txt").write_text("\n".join([*lines, "void:224,224,192::"]))
    return folder


def write_coco(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    folder.mkdir()
    categories = [{"id": index, "name": name} for index, name in enumerate(NAMED) if index]
    images, annotations = [], []
    for number, (name, mask) in enumerate(masks.items()):
        height, width = mask.shape
        images.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        for value in np.unique(mask[mask > 0]).tolist():
            rle = coco_mask.encode(np.asfortranarray(mask == value))
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": number,
                    "category_id": min(value, len(VOC_CLASSES)),
                    "iscrowd": 0,
                    "segmentation": {"size": [height, width], "counts": rle["counts"].decode()},
                    "area": int((mask == value).sum()),
                }
            )
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(document))
    return folder / "instances.json"


def write_yolo(folder: Path, masks: dict[str, np.ndarray]) -> Path:
    (folder / "labels").mkdir(parents=True)
    (folder / "classes.txt").write_text("\n".join(NAMED[1:]))
    for name, mask in masks.items():
        height, width = mask.shape
        named = np.where(mask == VOID, len(VOC_CLASSES), mask).astype(np.uint8)
        lines = []
        for region in find_regions(named, len(NAMED), background=0):
            points = region.outline() / [width, height]
            lines.append(" ".join([str(region.class_index - 1), *(f"{value:.6f}" for value in points.ravel())]))
        (folder / "labels" / f"{name}.txt").write_text("\n".join(lines))
    return folder


@pytest.mark.slow
def test_four_formats_of_vocs_masks_give_the_same_figures(shared, tmp_path):
    voc = shared / "data" / "voc-animals"
    names = (voc / "ImageSets" / "train.txt").read_text().split()[::15]  # all figures hold for each photo
    for folder in ("photos", "masks", "moved"):
        (tmp_path / folder).mkdir()
    masks = {}
    for name in names:
        (tmp_path / "photos" / f"{name}.jpg").write_bytes((voc / "JPEGImages" / f"{name}.jpg").read_bytes())
        data = (voc / "SegmentationClass" / f"{name}.png").read_bytes()
        (tmp_path / "masks" / f"{name}.png").write_bytes(data)
        masks[name] = np.array(Image.open(voc / "SegmentationClass" / f"{name}.png"))
        moved = np.roll(np.where(masks[name] == VOID, 0, masks[name]), 9, axis=1).astype(np.uint8)
        (tmp_path / "moved" / f"{name}.png").write_bytes(encode_index_png(moved))
    store = Store.create(tmp_path / "store")
    run = import_masks(store, open_drawn(tmp_path / "moved", VOC_CLASSES), "moved", photos=tmp_path / "photos").run
    sources = {
        "voc": tmp_path / "masks",
        "color": write_colours(tmp_path / "colours", masks),
        "coco": write_coco(tmp_path / "coco", masks),
        "yolo": write_yolo(tmp_path / "yolo", masks),
    }
    figures = {}
    for format, source in sources.items():
        opened = open_masks(source)
        assert opened.format == format
        report = truth_counting.update_counts(store, opened, [run])
        assert (len(report.files), report.left_out) == (len(names), {})
        measures = evaluation.load_evaluation(store, report.truth, run).measures
        figures[format] = {name: measure.overall() for name, measure in measures.items()}
    assert figures["voc"]["iou:cat"] == pytest.approx(0.85, abs=0.1)  # moved by 9 pixels: neither right nor wrong
    assert figures["color"] == figures["voc"]
    assert figures["coco"] == figures["voc"]
    for name, value in figures["voc"].items():
        assert figures["yolo"][name] == (None if value is None else pytest.approx(value, abs=0.01)), name
