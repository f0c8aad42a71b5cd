"""Only folders below those that the launcher named, or that a visitor on this machine has added, can be had."""

import io
from dataclasses import replace

import pytest

from dashboard.offers import photo_folders, remembered_folders, uploaded_photos
from dashboard.offers.photo_folders import (
    describe_path,
    find_folders,
    find_mask_roots,
    find_roots,
    find_skipped_links,
    get_folder,
    save_upload,
    uploads_folder,
)
from dashboard.settings import ServerSettings
from seglib.errors import SegError, UsageError
from seglib.store.store import Store


@pytest.fixture
def data(tmp_path):
    for name in ("data/test_set/cats/1.jpg", "data/test_set/dogs/2.jpg", "data/2.jpg", "outside/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "outside")
    return tmp_path / "data"


def test_the_named_folder_is_offered_before_what_is_below_it(data):
    titles = [folder.title for folder in find_folders([data])]
    assert titles == ["data", "data/test_set", "data/test_set/cats", "data/test_set/dogs"]
    again = [folder.title for folder in find_folders([data / "test_set", data])]
    assert again == ["test_set", "test_set/cats", "test_set/dogs", "data"]


def test_two_folders_of_one_name_are_told_apart(tmp_path):
    for name in ("2024/class/1.jpg", "2025/class/1.jpg", "a/2025/class/1.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"x")
    found = find_folders([tmp_path / "2024" / "class", tmp_path / "2025" / "class", tmp_path / "a" / "2025" / "class"])
    assert [folder.title for folder in found] == [
        "class (2024)",
        f"class (2025) ({found[1].id})",
        f"class (2025) ({found[2].id})",
    ]


def test_a_link_is_followed_where_it_is_named_and_mentioned_where_it_is_not(data):
    assert [folder.path for folder in find_folders([data / "link"])] == [data.parent / "outside"]
    assert find_skipped_links([data, data / "gone"]) == ["data/link"]


# --- which roots there are ---


@pytest.fixture
def settings(data, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_folders, "SAMPLE", data / "sample")
    (data / "sample" / "cats").mkdir(parents=True)
    (data / "sample" / "cats" / "a.jpg").write_bytes(b"x")
    return ServerSettings(store=tmp_path / "store", photo_folders=(data,), folders_named=False, local_only=True)


def test_the_sample_is_offered_only_where_it_is_named(settings, data):
    assert [folder.title for folder in find_folders(find_roots(settings))] == [
        "test_set",
        "test_set/cats",
        "test_set/dogs",
    ]
    assert find_folders(find_roots(replace(settings, folders_named=True)))[0].title == "data"
    named = replace(settings, folders_named=True, photo_folders=(data / "sample",))
    assert find_folders(find_roots(named))[0].title == "sample"


def test_remembered_folders_come_after_named_ones_and_before_the_default(settings, data, tmp_path):
    outside = remembered_folders.add(settings, tmp_path / "outside")
    uploaded = uploaded_photos.add(settings.store, "mine", [("b.jpg", io.BytesIO(b"x"))]).folder
    assert find_roots(settings) == (outside, uploaded, data / "test_set")
    assert find_roots(replace(settings, folders_named=True)) == (data, outside, uploaded)
    assert find_mask_roots(settings) == (data, outside, uploaded)
    public = replace(settings, local_only=False)
    assert find_roots(public) == (uploaded, data / "test_set")
    with pytest.raises(UsageError):
        get_folder(find_roots(public), describe_path(outside, "").id)
    assert get_folder(find_roots(settings), describe_path(outside, "").id).path == outside


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
