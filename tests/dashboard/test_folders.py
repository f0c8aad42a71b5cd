"""Only folders below those that the launcher named can be had."""

import pytest

from dashboard.folders import chosen, offered
from seglib.errors import UsageError
from seglib.store import Store


@pytest.fixture
def data(tmp_path):
    for name in ("data/test_set/cats/1.jpg", "data/test_set/dogs/2.jpg", "data/2.jpg", "outside/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "data"


def test_folders_with_photos_are_offered_whole_sets_first(data):
    titles = [folder.title for folder in offered([data])]
    assert titles == ["data/test_set", "data", "data/test_set/cats", "data/test_set/dogs"]


def test_a_folder_that_is_named_twice_is_offered_once(data):
    found = offered([data, data / "test_set"])
    assert len({folder.id for folder in found}) == len(found) == 4


def test_ids_are_those_of_the_stores_data_sets(data, tmp_path):
    folder = offered([data])[0]
    assert Store.create(tmp_path / "store").register(folder.path).id == folder.id


def test_an_offered_folder_is_found_by_its_id(data):
    for folder in offered([data]):
        assert chosen([data], folder.id) == folder


@pytest.mark.parametrize("asked", ["", "..", "/etc", "00000000"])
def test_nothing_else_is(data, asked):
    with pytest.raises(UsageError, match="is not, or no longer"):
        chosen([data], asked)


def test_a_folder_beside_the_data_is_not(data, tmp_path):
    outside = offered([tmp_path / "outside"])[0]
    with pytest.raises(UsageError):
        chosen([data], outside.id)
    assert str(tmp_path) not in outside.title
