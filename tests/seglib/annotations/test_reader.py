"""Masks whose meaning changes are not taken from the store, and files that hold many masks."""

import json

import numpy as np
from PIL import Image

from seglib.annotations.options import MaskOptions
from seglib.annotations.reader import open_masks
from seglib.store import ground_truth


def write_labels(folder, names):
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    (folder / "labels" / "a.txt").write_text("0 0.1 0.1 0.9 0.1 0.9 0.9 0.1 0.9\n")
    (folder / "data.yaml").write_text(f"names: {names}\n")
    return folder


def test_another_numbering_of_yolo_is_another_truth(tmp_path, store):
    one = open_masks(write_labels(tmp_path / "y", "[void, cat]"))
    record = ground_truth.register_truth(store, one)
    other = open_masks(write_labels(tmp_path / "y", "[cat, void]"))
    assert one.classes == other.classes == ("background", "cat")
    assert ground_truth.register_truth(store, other).id != record.id
    assert set(np.unique(one.read("labels/a.txt", (20, 20)))) == {0, 255}
    assert set(np.unique(other.read("labels/a.txt", (20, 20)))) == {0, 1}


def test_a_leading_background_is_not_class_0_of_yolo(tmp_path):
    folder = write_labels(tmp_path / "y", "[x]")
    (folder / "data.yaml").unlink()
    for classes in (("background", "cat"), ("cat",)):
        masks = open_masks(folder, MaskOptions(classes=classes))
        assert masks.classes == ("background", "cat")
        assert set(np.unique(masks.read("labels/a.txt", (20, 20)))) == {0, 1}


def test_the_time_of_a_panoptic_mask_is_that_of_its_png(tmp_path):
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 4, "height": 3}],
        "annotations": [{"image_id": 1, "file_name": "a.png", "segments_info": [{"id": 7, "category_id": 2}]}],
        "categories": [{"id": 2, "name": "cat", "isthing": 1}],
    }
    (tmp_path / "p.json").write_text(json.dumps(document))
    (tmp_path / "p").mkdir()
    Image.new("RGB", (4, 3), (7, 0, 0)).save(tmp_path / "p" / "a.png")
    masks = open_masks(tmp_path / "p.json")
    assert masks.file("a.jpg") == tmp_path / "p" / "a.png"
    assert masks.files["mtime_ns"].tolist() == [(tmp_path / "p" / "a.png").stat().st_mtime_ns]
