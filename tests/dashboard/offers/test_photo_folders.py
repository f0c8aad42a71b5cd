"""Only folders below those that the launcher named can be had."""

import pytest

from dashboard.offers import photo_folders
from dashboard.offers.photo_folders import find_folders, get_folder, save_upload, uploads_folder
from seglib.errors import SegError, UsageError
from seglib.store.store import Store


@pytest.fixture
def data(tmp_path):
    for name in ("data/test_set/cats/1.jpg", "data/test_set/dogs/2.jpg", "data/2.jpg", "outside/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "data"


def test_folders_with_photos_are_offered_whole_sets_first(data):
    titles = [folder.title for folder in find_folders([data])]
    assert titles == ["data/test_set", "data", "data/test_set/cats", "data/test_set/dogs"]


def test_a_folder_that_is_named_twice_is_offered_once(data):
    found = find_folders([data, data / "test_set"])
    assert len({folder.id for folder in found}) == len(found) == 4


def test_ids_are_those_of_the_stores_data_sets(data, tmp_path):
    folder = find_folders([data])[0]
    assert Store.create(tmp_path / "store").register_dataset(folder.path).id == folder.id


def test_an_offered_folder_is_found_by_its_id(data):
    for folder in find_folders([data]):
        assert get_folder([data], folder.id) == folder


@pytest.mark.parametrize("asked", ["", "..", "/etc", "00000000"])
def test_nothing_else_is(data, asked):
    with pytest.raises(UsageError, match="is not, or no longer"):
        get_folder([data], asked)


def test_a_folder_beside_the_data_is_not(data, tmp_path):
    outside = find_folders([tmp_path / "outside"])[0]
    with pytest.raises(UsageError):
        get_folder([data], outside.id)
    assert str(tmp_path) not in outside.title


# --- photos that are kept ---


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("my cat.JPG", "my cat-2d711642.jpg"),
        ("../../etc/passwd", "_-2d711642.jpg"),
        ("/a/b.png", "_a_b-2d711642.png"),
        ("..", "photo-2d711642.jpg"),
        ("", "photo-2d711642.jpg"),
        (".png", "photo-2d711642.png"),
        ("x" * 300 + ".webp", "x" * 60 + "-2d711642.webp"),
        ("<img src=x>.svg", "_img src_x_-2d711642.jpg"),
        ("a\0b\n.gif", "a_b_-2d711642.gif"),
    ],
)
def test_a_kept_photo_lies_in_uploads_whatever_its_name(data, name, kept):
    before = {path for path in data.parent.rglob("*") if "uploads" not in path.parts}
    save_upload([data], name, b"x")
    (file,) = (data / "uploads").iterdir()
    assert file.read_bytes() == b"x"
    assert file.name == kept
    assert {path for path in data.parent.rglob("*") if "uploads" not in path.parts} == before
    assert uploads_folder([data]) in find_folders([data])


def test_the_same_photo_is_kept_once(data):
    for _ in range(2):
        save_upload([data], "a.jpg", b"x")
    save_upload([data], "a.jpg", b"y")
    assert len(list((data / "uploads").iterdir())) == 2


def test_nothing_is_written_through_a_link(data, tmp_path):
    (data / "uploads").symlink_to(tmp_path / "outside")
    with pytest.raises(UsageError, match="is a link"):
        save_upload([data], "a.jpg", b"x")
    assert len(list((tmp_path / "outside").iterdir())) == 1


def test_a_folder_that_is_full_or_cannot_be_written_is_a_sentence(data, monkeypatch):
    monkeypatch.setattr(photo_folders, "MAX_SAVED_UPLOADS", 1)
    save_upload([data], "a.jpg", b"x")
    with pytest.raises(UsageError, match="already holds 1 photos"):
        save_upload([data], "b.jpg", b"y")
    with pytest.raises(SegError, match="cannot be written") as error:
        save_upload([data / "2.jpg"], "b.jpg", b"y")
    assert str(data.parent) not in str(error.value)
