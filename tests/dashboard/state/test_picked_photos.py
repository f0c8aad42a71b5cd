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
            picks, expected = picks.plus(pd.Series(shown, dtype="str")), expected | set(shown)
        else:
            picks, expected = picks.replaced(shown, picked), expected - set(shown) | (set(picked) & set(shown))
        assert set(picks.ids.to_pylist()) == expected
        assert len(picks) == len(expected)
    assert picks.on(IDS) == [i for i in IDS if i in expected]
    assert picks.rows(pd.Series(IDS)).tolist() == [i in expected for i in IDS]


@pytest.mark.parametrize("junk", [None, 3, "", "x", "A" * 32, ["0" * 32], "0" * 33, {"a": 1}])
def test_what_is_no_image_id_is_not_picked(junk):
    assert len(Picks().replaced([junk], [junk])) == 0
    assert Picks().replaced([junk, IDS[0]], [IDS[0], IDS[1]]).on(IDS) == [IDS[0]]


def test_a_new_value_leaves_the_old_one_as_it_was():
    first = Picks().plus(pd.Series(IDS[:2]))
    first.replaced(IDS, [])
    assert len(first) == 2
    assert len(Picks()) == 0
