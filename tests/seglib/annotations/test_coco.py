"""COCO files of every kind are read as pycocotools reads them; what is wrong with them is one sentence."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from seglib.annotations import coco
from seglib.annotations.coco import read_coco
from seglib.annotations.reader import open_masks
from seglib.classes import VOID
from seglib.data.image import MAX_PIXELS
from seglib.errors import DatasetError

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "traffic light"}, {"id": 17, "name": "cat"}]
SQUARE = [2, 2, 6, 2, 6, 6, 2, 6]


def document(*annotations: dict, **more) -> dict:
    images = [{"id": 7, "file_name": "cats/a.jpg", "width": 10, "height": 8}]
    return {"images": images, "annotations": list(annotations), "categories": CATEGORIES, **more}


def annotation(segmentation: object, category: object = 17, image: object = 7, **more) -> dict:
    return {"id": 1, "image_id": image, "category_id": category, "segmentation": segmentation, "iscrowd": 0, **more}


def write(tmp_path: Path, content: object, name: str = "instances.json") -> Path:
    file = tmp_path / name
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def rle(bits: np.ndarray, *, compressed: bool) -> dict:
    encoded = coco_mask.encode(np.asfortranarray(bits.astype(np.uint8)))
    size = [int(side) for side in encoded["size"]]
    if compressed:
        return {"size": size, "counts": encoded["counts"].decode()}
    flat = bits.T.ravel()
    changes = np.flatnonzero(np.diff(np.concatenate([[0], flat.astype(int), [2]])))
    return {"size": size, "counts": np.diff(np.concatenate([[0], changes])).tolist()}


@pytest.fixture
def bits() -> np.ndarray:
    return np.random.default_rng(4).random((8, 10)) < 0.3


def test_classes_are_the_categories_in_the_order_of_their_ids(tmp_path):
    found = read_coco(write(tmp_path, document()))
    assert found.classes == ("background", "traffic light", "cat", "dog")
    assert found.images == {"cats/a.jpg": (10, 8)}


@pytest.mark.parametrize("name", ["background", "Background", "__background__", "_background_"])
def test_a_category_called_background_is_the_background(tmp_path, name):
    categories = [{"id": 0, "name": "cat"}, {"id": 5, "name": name}, {"id": 9, "name": "dog"}]
    whole = annotation([[0, 0, 10, 0, 10, 8, 0, 8]], 9)
    found = read_coco(write(tmp_path, document(whole, annotation([SQUARE], 5), categories=categories)))
    assert found.classes == ("background", "cat", "dog")
    mask = found.mask("cats/a.jpg")
    assert (mask[3, 3], mask[0, 0], int((mask == 2).sum())) == (0, 2, 64)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy")  # in pycocotools' decode
def test_polygons_and_both_kinds_of_rle_are_what_pycocotools_makes_of_them(tmp_path, bits):
    kinds = ([SQUARE], [[1.2, 1.9, 8.4, 3.3, 4, 7.5], [0, 0, 2, 0, 2, 2]])
    for shape in (*kinds, rle(bits, compressed=True), rle(bits, compressed=False)):
        file = write(tmp_path, document(annotation(shape)))
        right = COCO(str(file))
        expected = right.annToMask(right.anns[1])
        mask = read_coco(file).mask("cats/a.jpg")
        assert mask.dtype == np.uint8
        assert expected.any()
        assert (mask == 2 * expected).all(), shape


def test_rle_is_exact(tmp_path, bits):
    for compressed in (True, False):
        file = write(tmp_path, document(annotation(rle(bits, compressed=compressed), 18)))
        assert (read_coco(file).mask("cats/a.jpg") == 3 * bits).all()


def test_the_smaller_annotation_lies_on_top_and_crowds_below(tmp_path):
    large, small = annotation([[0, 0, 8, 0, 8, 8, 0, 8]], 17), annotation([SQUARE], 18)
    for order in ((large, small), (small, large)):
        mask = read_coco(write(tmp_path, document(*order))).mask("cats/a.jpg")
        assert (mask[0, 0], mask[4, 4]) == (2, 3)
    crowd = annotation([[3, 3, 4, 3, 4, 4, 3, 4]], 3, iscrowd=1)
    assert read_coco(write(tmp_path, document(small, crowd))).mask("cats/a.jpg")[3, 3] == 3


def test_an_image_without_annotations_is_background(tmp_path):
    images = [*document()["images"], {"id": 8, "file_name": "b.jpg", "width": 3, "height": 2}]
    found = read_coco(write(tmp_path, document(annotation([SQUARE]), images=images)))
    assert found.mask("b.jpg").tolist() == [[0, 0, 0], [0, 0, 0]]
    with pytest.raises(DatasetError, match=r"has no image 'c\.jpg'"):
        found.mask("c.jpg")


def test_a_file_can_be_pickled_and_names_of_windows_have_slashes(tmp_path):
    images = [{"id": "x", "file_name": "cats\\a.jpg", "width": 10, "height": 8}]
    found = read_coco(write(tmp_path, document(annotation([SQUARE], image="x"), images=images)))
    copy = pickle.loads(pickle.dumps(found))
    assert (copy.classes, list(copy.images)) == (found.classes, ["cats/a.jpg"])
    assert (copy.mask("cats/a.jpg") == found.mask("cats/a.jpg")).all()
    assert copy.mask("cats/a.jpg").any()


def test_a_byte_order_mark_and_utf_16_are_read(tmp_path):
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "a.json").write_bytes(json.dumps(document(annotation([SQUARE]))).encode(encoding))
        assert read_coco(tmp_path / "a.json").mask("cats/a.jpg").any()


def test_whole_numbers_may_be_written_as_floats(tmp_path):
    images = [{"id": 7, "file_name": "a.jpg", "width": 10.0, "height": 8.0}]
    found = read_coco(write(tmp_path, document(annotation([SQUARE], 17.0, image=7.0), images=images)))
    assert found.images == {"a.jpg": (10, 8)}
    assert found.mask("a.jpg").sum() == 2 * 16


def test_annotations_of_other_images_are_left_out(tmp_path):
    found = read_coco(write(tmp_path, document(annotation([SQUARE]), annotation([SQUARE], 18, image=99))))
    assert set(np.unique(found.mask("cats/a.jpg"))) == {0, 2}


# --- panoptic ---


@pytest.fixture
def panoptic(tmp_path) -> Path:
    """Two segments, 5 (cat) and 70,000 (dog), beside void; the PNGs lie as in COCO."""
    ids = np.zeros((8, 10), np.uint32)
    ids[:4, :5], ids[4:, 5:] = 5, 70_000
    save_ids(tmp_path / "panoptic" / "a.png", ids)
    segments = [{"id": 5, "category_id": 17, "iscrowd": 1}, {"id": 70_000, "category_id": 18}]
    one = {"image_id": 7, "file_name": "a.png", "segments_info": segments}
    return write(tmp_path, document(one), "panoptic.json")


def save_ids(file: Path, ids: np.ndarray) -> None:
    file.parent.mkdir(exist_ok=True)
    Image.fromarray(np.stack([ids & 255, ids >> 8 & 255, ids >> 16], axis=-1).astype(np.uint8)).save(file)


@pytest.mark.parametrize("place", ["panoptic", "."])
def test_panoptic_segments_are_classes_and_id_0_is_void(panoptic, place):
    (panoptic.parent / "panoptic" / "a.png").rename(panoptic.parent / place / "a.png")
    mask = read_coco(panoptic).mask("cats/a.jpg")
    assert (mask[:4, :5] == 2).all()
    assert (mask[4:, 5:] == 3).all()
    assert (mask == VOID).sum() == 40


def change_segments(file: Path, **changes: object) -> None:
    content = json.loads(file.read_text())
    content["annotations"][0].update(changes)
    write(file.parent, content, file.name)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"segments_info": [{"id": 5, "category_id": 17}]}, "holds the segment 70000, which 'segments_info' does not"),
        ({"segments_info": [{"id": 5, "category_id": 1}]}, "category_id 1, which no category has"),
        ({"segments_info": [{"id": 0, "category_id": 17}]}, "no positive 'id'"),
        ({"segments_info": [5]}, "no positive 'id'"),
        ({"segments_info": None}, "no list 'segments_info'"),
        ({"file_name": "b.png"}, "is neither in 'panoptic' beside the file"),
        ({"file_name": "../a.png"}, "lies outside of the folder"),
        ({"file_name": "/a.png"}, "lies outside of the folder"),
        ({"file_name": 3}, "no 'file_name'"),
        ({"image_id": 8}, "None of the 1 annotations"),
    ],
)
def test_a_panoptic_file_that_contradicts_itself_is_a_sentence(panoptic, changes, said):
    change_segments(panoptic, **changes)
    with pytest.raises(DatasetError, match=said):
        read_coco(panoptic).mask("cats/a.jpg")


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (Image.new("RGB", (10, 7)), "10 x 7 pixels, expected 10 x 8"),
        (Image.new("L", (10, 8)), "mode L: expected RGB"),
        (Image.new("P", (10, 8)), "mode P: expected RGB"),
        (b"no picture", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_a_panoptic_picture_of_another_kind_is_a_sentence(panoptic, picture, said):
    file = panoptic.parent / "panoptic" / "a.png"
    if isinstance(picture, bytes):
        file.write_bytes(picture)
    else:
        picture.save(file)
    with pytest.raises(DatasetError, match=said):
        read_coco(panoptic).mask("cats/a.jpg")


def test_each_image_of_a_panoptic_file_has_one_annotation(panoptic):
    content = json.loads(panoptic.read_text())
    content["images"].append({"id": 8, "file_name": "b.jpg", "width": 10, "height": 8})
    found = read_coco(write(panoptic.parent, content, panoptic.name))
    assert found.mask("cats/a.jpg").any()
    with pytest.raises(DatasetError, match="it has no annotation"):
        found.mask("b.jpg")
    content["annotations"] *= 2
    with pytest.raises(DatasetError, match="two annotations"):
        read_coco(write(panoptic.parent, content, panoptic.name)).mask("cats/a.jpg")


# --- what cannot be used ---


def many_categories(count: int) -> list[dict]:
    return [{"id": number, "name": f"class {number}"} for number in range(count)]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not valid JSON"),
        ('{"images": [', "is not valid JSON"),
        (json.dumps(document(annotation([SQUARE])))[:-20], "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ("[1" + "0" * 5_000 + "]", "is not valid JSON"),
        ([], "holds a list, as files of detection results do"),
        ([annotation([SQUARE])], "holds a list"),
        (3, "holds int"),
        ({}, "no list 'images'"),
        (document(annotations=None), "no list 'annotations'"),
        (document(categories={}), "no list 'categories'"),
        (document(images=[]), "lists no images"),
        (document(images=[3]), "image without 'id' or 'file_name'"),
        (document(images=[{"id": 1}]), "image without 'id' or 'file_name'"),
        (document(images=[{"id": [], "file_name": "a"}]), "image without 'id' or 'file_name'"),
        (document(images=2 * document()["images"]), "two images with the id 7"),
        (document(images=[*document()["images"], {"id": 8, "file_name": "cats\\a.jpg"}]), "the file_name 'cats/a.jpg'"),
        (document(categories=[]), "no categories"),
        (document(categories=[{"id": "a", "name": "cat"}]), "a category without a number"),
        (document(categories=[{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]), "two categories with the id 1"),
        (document(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "cat"}]), "two categories called 'cat'"),
        (document(categories=[{"id": 1, "name": ""}]), "no categories with printable names"),
        (document(categories=many_categories(255)), "255 categories, and a mask holds at most 254"),
        (document(categories=many_categories(1203)), "1,203 categories"),
        (document({"id": 1, "image_id": 7, "caption": "a cat"}), "such as captions"),
        (document(7), "such as captions"),
        (document({"id": 1, "category_id": 17}), "such as captions"),
        (document(annotation([SQUARE], image="7")), "None of the 1 annotations"),
        (document(annotation([SQUARE], image=[])), "None of the 1 annotations"),
    ],
)
def test_what_is_no_coco_file_is_a_sentence(tmp_path, content, said):
    with pytest.raises(DatasetError, match=said) as caught:
        read_coco(write(tmp_path, content))
    assert str(caught.value).startswith("'instances.json' ") or said.startswith("None of")
    assert "\n" not in str(caught.value)


def test_254_categories_are_read(tmp_path):
    found = read_coco(write(tmp_path, document(annotation([SQUARE], 253), categories=many_categories(254))))
    assert found.mask("cats/a.jpg").max() == 254


def test_a_missing_and_a_huge_file_are_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match=r"'gone\.json' cannot be read"):
        read_coco(tmp_path / "gone.json")
    monkeypatch.setattr(coco, "MAX_JSON_BYTES", 100)
    with pytest.raises(DatasetError, match="has more than"):
        read_coco(write(tmp_path, document()))


WRONG_SHAPES = [
    (None, "no segmentation"),
    ([], "no segmentation"),
    ("", "no segmentation"),
    ([[]], "0 numbers"),
    ([[1, 1, 5, 5]], "4 numbers"),
    ([[1, 1, 5, 5, 3]], "5 numbers"),
    ([[1, 1, float("nan"), 5, 3, 3]], "not finite"),
    ([[1, 1, 1e9, 5, 3, 3]], "outside of the image"),
    ([[1, 1, 30, 5, 3, 3]], "outside of the image"),
    (SQUARE, "neither a list of polygons"),
    ([["a"] * 6], "neither a list of polygons"),
    ([[None] * 6], "neither a list of polygons"),
    ([[10**400] * 6], "neither a list of polygons"),
    ({"size": [8, 10]}, "neither a list of polygons"),
    (5, "neither a list of polygons"),
    ({"size": [8, 10], "counts": 5}, "neither a text nor a list"),
    ({"size": [8, 10], "counts": ["a"]}, "neither a list of polygons"),
    ({"size": [8, 10], "counts": []}, "do not add up"),
    ({"size": [8, 10], "counts": [80, 1]}, "do not add up"),
    ({"size": [8, 10], "counts": [-1, 81]}, "do not add up"),
    ({"size": [8, 10], "counts": [2**62, 2**62, 2**62, 2**62, 80]}, "do not add up"),
    ({"size": [8, 10], "counts": ""}, "are damaged"),
    ({"size": [8, 10], "counts": "é"}, "are damaged|do not add up"),
    ({"size": [8, 10], "counts": "oooooooooooo"}, "are damaged"),
    ({"size": [10, 8], "counts": [80]}, r"is for \[10, 8\]"),
    ({"counts": [80]}, "is for None"),
]


@pytest.mark.parametrize(("shape", "said"), WRONG_SHAPES)
def test_a_wrong_segmentation_is_a_sentence_and_other_images_are_read(tmp_path, shape, said):
    images = [*document()["images"], {"id": 8, "file_name": "b.jpg", "width": 10, "height": 8}]
    file = write(tmp_path, document(annotation(shape), annotation([SQUARE], image=8), images=images))
    found = read_coco(file)
    with pytest.raises(DatasetError, match=said) as caught:
        found.mask("cats/a.jpg")
    assert str(caught.value).startswith("'cats/a.jpg' in 'instances.json': ")
    assert found.mask("b.jpg").sum() == 2 * 16


@pytest.mark.parametrize("category", [99, None, "17", [17]])
def test_a_category_that_does_not_exist_is_a_sentence(tmp_path, category):
    found = read_coco(write(tmp_path, document(annotation([SQUARE], category))))
    with pytest.raises(DatasetError, match="which no category has"):
        found.mask("cats/a.jpg")


@pytest.mark.parametrize(
    "size",
    [
        {"width": 0},
        {"width": -10},
        {"width": 10**9},
        {"height": MAX_PIXELS},
        {"width": "10"},
        {"width": None},
        {"width": 9.5},
        {"width": float("nan")},
        {"width": float("inf")},
        {"width": 0, "height": 0},
    ],
)
def test_an_impossible_size_is_a_sentence(tmp_path, size):
    found = read_coco(write(tmp_path, document(annotation([SQUARE]), images=[{**document()["images"][0], **size}])))
    with pytest.raises(DatasetError, match=f"expected 1 to {MAX_PIXELS:,} pixels"):
        found.mask("cats/a.jpg")


@pytest.mark.parametrize("absent", [{}, {"width": None, "height": None}])
def test_an_image_without_a_size_has_its_photos(tmp_path, bits, absent):
    image = {"id": 7, "file_name": "cats/a.jpg", **absent}
    for shape in ([SQUARE], rle(bits, compressed=True)):
        expected = read_coco(write(tmp_path, document(annotation(shape)))).mask("cats/a.jpg")
        found = read_coco(write(tmp_path, document(annotation(shape), images=[image])))
        assert found.images == {"cats/a.jpg": None}
        assert (found.mask("cats/a.jpg", (10, 8)) == expected).all()
        unknown = found.mask("cats/a.jpg")  # what its annotations need
        assert (np.pad(unknown, [(0, 8 - unknown.shape[0]), (0, 10 - unknown.shape[1])]) == expected).all()
    with pytest.raises(DatasetError, match="an RLE is for"):
        found.mask("cats/a.jpg", (10, 9))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (
            "7",
            "2 annotations of 'x.json' left out: no image has the 'image_id' (e.g. '7', where the image has 7).",
        ),
        (70, "2 annotations of 'x.json' left out: no image has the 'image_id' (e.g. 70)."),
        (7, ""),
    ],
)
def test_annotations_of_no_image_are_counted(tmp_path, image, said):
    shapes = annotation([SQUARE]), annotation([SQUARE], image=image), annotation([SQUARE], image=image)
    file = write(tmp_path, document(*shapes), "x.json")
    assert read_coco(file).strays == said
    if image == "7":
        with pytest.raises(DatasetError, match="an annotation has the 'image_id' '7': write it as the image's 'id'"):
            read_coco(file).mask("cats/a.jpg")
        return
    assert open_masks(file).describe() == " ".join(filter(None, ["1 mask read as COCO: background, cat.", said]))
