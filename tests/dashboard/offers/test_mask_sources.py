"""Only masks below the folders that the launcher named can be evaluated against: folders, YOLO's labels, COCO files."""

import json
import os

import pytest

from dashboard.offers.mask_sources import find_mask_sources, get_mask_source
from seglib.errors import UsageError

COCO = {"info": {}, "images": [], "annotations": [], "categories": []}


@pytest.fixture
def data(tmp_path):
    for name in (
        "photos/a.jpg",
        "tiff/a.TIF",
        "masks/a.png",
        "yolo/labels/train/a.txt",
        "yolo/images/a.jpg",
        "notes/a.txt",
    ):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"x")
    return tmp_path / "data"


def titles(data) -> list[str]:
    return [source.title for source in find_mask_sources([data])]


def test_folders_with_files_of_a_masks_kind_and_labels_are_found(data):
    assert titles(data) == ["data/masks", "data/tiff", "data", "data/yolo/labels"]


@pytest.mark.parametrize(
    ("content", "is_coco"),
    [
        (json.dumps(COCO), True),
        ("\ufeff " + json.dumps(COCO), True),
        (json.dumps({"images": ["x" * 200_000], "filler": "y" * 200_000, "categories": []}), True),
        (json.dumps([COCO]), False),
        (json.dumps({"shapes": [], "imagePath": "a.jpg", "imageData": None}), False),
        (json.dumps({"images": []}), False),
        ("", False),
    ],
)
def test_coco_files_are_told_by_their_ends(data, content, is_coco):
    (data / "annotations").mkdir()
    (data / "annotations" / "instances.json").write_text(content)
    assert ("data/annotations/instances.json" in titles(data)) is is_coco


def test_links_pipes_and_hidden_files_are_no_coco_files(data, tmp_path):
    outside = tmp_path / "outside.json"
    outside.write_text(json.dumps(COCO))
    (data / "link.json").symlink_to(outside)
    (data / ".hidden.json").write_text(json.dumps(COCO))
    os.mkfifo(data / "pipe.json")
    assert not [title for title in titles(data) if title.endswith(".json")]


def test_masks_are_found_by_their_id_and_nothing_else_is(data):
    (data / "coco.json").write_text(json.dumps(COCO))
    for source in find_mask_sources([data]):
        assert get_mask_source([data], source.id) == source
    for asked in ("", "..", "/etc", "00000000"):
        with pytest.raises(UsageError, match="not, or no longer"):
            get_mask_source([data], asked)


def test_a_root_that_is_itself_a_folder_of_labels_has_its_own_title(data):
    (source,) = find_mask_sources([data / "yolo" / "labels"])
    assert (source.title, source.path) == ("labels", (data / "yolo" / "labels").resolve())
