"""Near-duplicates: both measures must agree, groups hang together, those across splits first."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from seglib.data.photo_measures.hashes import difference_hash
from seglib.similarity.duplicates import find_near_duplicates
from seglib.similarity.hashes import mirror_hashes
from tests.seglib.similarity.small_sets import at_angles, image_id, numbers


def make_files(*rows) -> pd.DataFrame:
    """Files from (image, split, label) or (image, split, label, dataset), named by their place."""
    return pd.DataFrame(
        [
            {
                "dataset": row[3] if len(row) > 3 else "a",
                "path": f"{place}.jpg",
                "split": row[1],
                "label": row[2],
                "image_id": image_id(row[0]),
            }
            for place, row in enumerate(rows)
        ]
    )


def make_hashes(*values: int) -> pd.Series:
    return pd.Series(np.array(values, np.uint64), [image_id(number) for number in range(len(values))])


def test_both_must_agree():
    embeddings = at_angles(0, 1, 90, 91, 180, 181)
    hashes = make_hashes(0, 1, 0, 0x5555555555555555, 0xFF00FF00FF00FF00, 0xFF00FF00FF00FF03)
    found = find_near_duplicates(embeddings, hashes, make_files(*[(n, "train", "cat") for n in range(6)]))
    assert sorted(found.groupby("group")["image_id"].apply(numbers)) == [[0, 1], [4, 5]]
    assert found.loc[found["image_id"] == image_id(5), "bits"].tolist() == [2]


def test_groups_across_splits_come_before_datasets_before_labels_before_the_rest():
    embeddings = at_angles(0, 0.5, 60, 60.5, 120, 120.5, 180, 180.5)
    rows = [
        *((0, "train", "cat"), (1, "train", "cat")),
        *((2, "train", "cat"), (3, "train", "dog")),
        *((4, "train", "cat", "a"), (5, "train", "cat", "b")),
        *((6, "train", "cat"), (7, "test", "dog")),
    ]
    found = find_near_duplicates(embeddings, make_hashes(*[0] * 8), make_files(*rows))
    firsts = found.drop_duplicates("group")
    assert numbers(firsts["image_id"]) == [6, 4, 2, 0]
    assert firsts["across"].tolist() == ["splits|labels", "datasets", "labels", ""]


def test_a_photo_without_a_split_is_in_none():
    found = find_near_duplicates(
        at_angles(0, 0.5), make_hashes(0, 0), make_files((0, "train", "cat"), (1, None, "cat"))
    )
    assert found["across"].tolist() == ["", ""]


def test_copies_of_one_file_are_a_group_with_or_without_a_vector():
    files = make_files((0, "train", "cat"), (0, "test", "cat"), (9, "train", "dog"), (9, "train", "dog"))
    found = find_near_duplicates(at_angles(0, 90), make_hashes(0, 2**40), files)
    assert numbers(found["image_id"]) == [0, 0, 9, 9]
    assert found["across"].tolist() == ["splits", "splits", "", ""]
    assert found["similarity"].tolist() == [1, 1, 1, 1]
    assert found["bits"].tolist() == [0, 0, 0, 0]


def test_a_chain_is_one_group():
    found = find_near_duplicates(
        at_angles(0, 10, 20), make_hashes(0, 0, 0), make_files(*[(n, "train", "cat") for n in range(3)])
    )
    assert found["group"].tolist() == [0, 0, 0]


def test_without_duplicates_there_is_an_empty_frame_with_its_columns():
    found = find_near_duplicates(
        at_angles(0, 90), make_hashes(0, 2**64 - 1), make_files((0, "train", "cat"), (1, "test", "cat"))
    )
    assert found.empty
    assert {"group", "image_id", "path", "across", "similarity", "bits"} <= {*found.columns}
    assert find_near_duplicates(at_angles(0), make_hashes(0), make_files().reindex(columns=found.columns)).empty


def test_the_hash_of_a_mirrored_picture_follows_from_its_hash(sample):
    for path in sorted(sample.rglob("*.jpg"))[:4]:
        picture = Image.open(path).convert("L")
        own, turned = difference_hash(picture), difference_hash(ImageOps.mirror(picture))
        (expected,) = mirror_hashes(np.array([own], np.uint64))
        assert int(expected ^ np.uint64(turned)).bit_count() <= 6  # where neighbours are equally bright


@pytest.mark.parametrize(
    ("value", "mirrored"), [(0, 2**64 - 1), (0x80, 0xFFFFFFFFFFFFFFFE), (0x0F, 0xFFFFFFFFFFFFFF0F)]
)
def test_mirrored_bits_by_eye(value, mirrored):
    assert mirror_hashes(np.array([value], np.uint64)).tolist() == [mirrored]
