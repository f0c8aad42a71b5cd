"""What the files of `predict` are called."""

import os

import pytest

from seglib.pipeline.predict import choose_images


@pytest.mark.parametrize(("sign", "times"), [("x", 251), ("狗", 83), ("\N{CAT FACE}", 62)])
def test_names_that_leave_no_room_for_an_ending_are_cut_and_stay_different(tmp_path, sign, times):
    """A path in several folders is one name here; each folder's name alone may have 255 bytes."""
    word = sign * times
    for folder in ("first", "second"):
        (tmp_path / word / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / word / folder / f"{word}.jpg").write_bytes(b"x")
    names = [name for name, _ in choose_images([tmp_path], samples=0, seed=0)]
    assert len(set(names)) == 2
    for name in names:
        assert name.startswith(word[:40])
        assert len(os.fsencode(f"{name}_side_by_side.png")) < 255
    assert names == [name for name, _ in choose_images([tmp_path], samples=0, seed=0)]


def test_short_names_stay_as_they_are(tmp_path):
    for name in ("cats/a.jpg", "cats/a.png", "b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    names = [name for name, _ in choose_images([tmp_path], samples=0, seed=0)]
    assert names == ["b", "cats_a", "cats_a-2"]
