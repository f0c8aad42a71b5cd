"""Photos that several datasets hold are counted once; equal files of one dataset are not repeats."""

import numpy as np
import pandas as pd
import pytest

from seglib.query.repeats import describe_repeats, first_datasets


def files(*rows: str) -> pd.DataFrame:
    """Files written as "dataset:image"."""
    pairs = [row.split(":") for row in rows]
    return pd.DataFrame(pairs, columns=["dataset", "image_id"]).astype({"dataset": "category"})


@pytest.mark.parametrize(
    ("rows", "counted"),
    [
        ((), []),
        (("a:1", "a:2"), [1, 1]),
        (("a:1", "a:1", "a:2"), [1, 1, 1]),  # equal files of one dataset
        (("a:1", "a:2", "b:1", "b:2"), [1, 1, 0, 0]),
        (("a:1", "b:1", "b:3", "c:1", "c:3"), [1, 0, 1, 0, 0]),
        (("a:1", "a:1", "b:1", "b:1"), [1, 1, 0, 0]),
        (("b:1", "b:1", "b:2"), [1, 1, 1]),
    ],
)
def test_an_image_counts_in_the_first_of_its_datasets(rows, counted):
    assert first_datasets(files(*rows)).tolist() == [bool(one) for one in counted]


def test_a_selection_of_the_second_dataset_alone_counts_all_of_it():
    both = files("a:1", "a:2", "b:1", "b:2")
    assert first_datasets(both[both["dataset"] == "b"]).all()


def test_what_is_counted_once_is_said_with_its_datasets():
    frame = files("a:1", "a:2", "b:1", "c:1", "c:2", "d:9")
    (sentence,) = describe_repeats(frame, first_datasets(frame))
    assert sentence == "2 photos are in several datasets (a, b, c): each is counted once."
    assert describe_repeats(frame, np.ones(len(frame), bool)) == []
    one = files("a:1", "b:1")
    assert describe_repeats(one, first_datasets(one))[0].startswith("1 photo is in several datasets (a, b)")
