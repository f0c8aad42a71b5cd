"""Sets of image ids are sets of texts that take less memory."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglib.data import image_ids
from seglib.data.image_ids import ImageIds, pack, unpack

DIGITS = st.text("0123456789abcdef", min_size=32, max_size=32)
IDS = st.one_of(DIGITS, st.sampled_from(["0" * 32, "ab" * 15 + "00", "ab" * 14 + "0000", "f" * 32]))


@given(st.lists(IDS), st.lists(IDS), st.sets(IDS))
def test_it_is_the_set_of_texts(first, added, others):
    ids, texts = ImageIds(first), set(first)
    for one in added:
        ids.add(one)
        texts.add(one)
        assert one in ids
    assert ids == texts
    assert list(ids) == sorted(texts)
    assert len(ids) == len(texts)
    assert (ids & others, ids | others, ids - others, others - ids) == (
        texts & others,
        texts | others,
        texts - others,
        others - texts,
    )
    wanted = [*others, *first, None]
    chosen = ids.select(pa.chunked_array([wanted[:2], wanted[2:]], pa.string()))
    assert chosen.tolist() == [one in texts for one in wanted]


def test_ids_that_were_added_are_merged_now_and_then(monkeypatch):
    monkeypatch.setattr(image_ids, "_MOST_RECENT", 3)
    texts = [f"{number:032x}" for number in range(50)]
    ids = ImageIds()
    for text in texts:
        ids.add(text)
        assert len(ids._recent) <= 1 + max(3, len(ids._sorted) // 8)
    assert set(texts) == ids


@given(st.lists(IDS))
def test_packing_keeps_every_digit(texts):
    packed = pack(pa.array(["x", *texts], pa.string())[1:])  # a slice, whose buffers begin elsewhere
    assert packed.dtype == np.dtype("S16")
    assert unpack(packed) == texts


@pytest.mark.parametrize("text", ["", "a", "A" * 32, "g" * 32, "0" * 31, "0" * 33, "é" * 16])
def test_nothing_else_is_an_id(text):
    assert text not in ImageIds(["a" * 32])
    with pytest.raises(ValueError, match="32 hex digits"):
        pack(pa.array([text]))


def test_anything_may_be_asked_for():
    assert None not in ImageIds(["a" * 32])
    assert 7 not in ImageIds()
    assert not ImageIds().select(pa.array(["a" * 32])).any()
