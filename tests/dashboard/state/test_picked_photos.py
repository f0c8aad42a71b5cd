"""Picked photos behave like a Python set, and what the browser says is checked."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.state.picked_photos import Picks

IDS = [f"{n:032x}" for n in range(8)]
some = st.lists(st.sampled_from(IDS), max_size=8)


@given(st.lists(st.tuples(st.booleans(), some, some), max_size=6))
def test_like_a_set(steps):
    picks, expected = Picks(), set()
    for whole, shown, picked in steps:
        if whole:
            picks, expected = picks.union(pd.Series(shown, dtype="str")), expected | set(shown)
        else:
            picks, expected = picks.with_page(shown, picked), expected - set(shown) | (set(picked) & set(shown))
        assert set(picks.ids.to_pylist()) == expected
        assert len(picks) == len(expected)
    assert picks.picked_among(IDS) == [i for i in IDS if i in expected]
    assert picks.contains(pd.Series(IDS)).tolist() == [i in expected for i in IDS]


@pytest.mark.parametrize("junk", [None, 3, "", "x", "A" * 32, ["0" * 32], "0" * 33, {"a": 1}])
def test_what_is_no_image_id_is_not_picked(junk):
    assert len(Picks().with_page([junk], [junk])) == 0
    assert Picks().with_page([junk, IDS[0]], [IDS[0], IDS[1]]).picked_among(IDS) == [IDS[0]]


def test_a_new_value_leaves_the_old_one_as_it_was():
    first = Picks().union(pd.Series(IDS[:2]))
    first.with_page(IDS, [])
    assert len(first) == 2
    assert len(Picks()) == 0
