"""What is taken of what a visitor brings, and how far networks agree, on masks that one can check by eye."""

import base64

import numpy as np
import pytest

from dashboard.workers import uploads
from dashboard.workers.predictor import ImagePrediction
from dashboard.workers.uploads import accept_files, data_uri, pairwise_agreement, pixel_agreement
from seglib.data.image import compute_image_id
from seglib.masks.png import encode_index_png


def seen(mask: list[list[int]], classes: tuple[str, ...] = ("background", "cat")) -> ImagePrediction:
    return ImagePrediction(
        run="r",
        image_id="0" * 32,
        width=2,
        height=2,
        classes=classes,
        row={},
        precision="fp32",
        device="cpu",
        seconds=0.1,
        mask=encode_index_png(np.array(mask, np.uint8)),
        picture=b"",
    )


def test_photos_are_taken_in_order_with_the_stores_id():
    taken, notes = accept_files([("a.jpg", b"1"), ("b.jpg", b"2")])
    assert [(photo.name, photo.id) for photo in taken] == [
        ("a.jpg", compute_image_id(b"1")),
        ("b.jpg", compute_image_id(b"2")),
    ]
    assert notes == []


def test_the_same_content_is_looked_at_once(monkeypatch):
    taken, notes = accept_files([("a.jpg", b"1"), ("b.jpg", b"1")])
    assert len(taken) == 1
    assert notes == ["b.jpg has the same content as a.jpg."]


def test_too_much_is_left_out_with_a_sentence(monkeypatch):
    monkeypatch.setattr(uploads, "MAX_PHOTOS", 1)
    monkeypatch.setattr(uploads, "MAX_PHOTO_BYTES", 1_000_000)
    taken, notes = accept_files([("big.jpg", bytes(2_000_000)), ("a.jpg", b"1"), ("b.jpg", b"2")])
    assert [photo.name for photo in taken] == ["a.jpg"]
    assert notes == [
        "big.jpg has 2 MB; at most 1 MB are accepted.",
        "b.jpg was left out: at most 1 photos are accepted.",
    ]


def test_an_address_holds_the_picture():
    kind, _, text = data_uri(b"\x00abc", "png").partition(",")
    assert (kind, base64.b64decode(text)) == ("data:image/png;base64", b"\x00abc")


@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ([[0, 1], [1, 1]], [[0, 1], [1, 1]], 1.0),
        ([[0, 1], [1, 1]], [[1, 0], [0, 0]], 0.0),
        ([[0, 1], [1, 1]], [[0, 1], [0, 0]], 0.5),
        ([[1]], [[1, 1], [1, 0]], 0.75),  # the coarser one is enlarged
        ([[0, 1]], [[0], [1]], 0.5),  # equal numbers of pixels: the wider grid
    ],
)
def test_pixel_agreement_is_symmetric(one, other, share):
    a, b = np.array(one, np.uint8), np.array(other, np.uint8)
    assert pixel_agreement(a, b) == pixel_agreement(b, a) == share


def test_each_pair_that_knows_the_same_classes_is_compared():
    found = pairwise_agreement(
        [("a", seen([[0, 1]])), ("b", seen([[1, 1]])), ("c", seen([[0, 1]])), ("own", seen([[0, 1]], ("x", "y")))]
    )
    assert found == [("a", "b", 0.5), ("a", "c", 1.0), ("b", "c", 0.5)]
    assert pairwise_agreement([("a", seen([[0, 1]]))]) == []
