"""The folders that a visitor on this machine clicks through."""

import os

import pytest

from dashboard.offers import folder_browser
from dashboard.offers.folder_browser import (
    ImageCount,
    count_images,
    describe_local_path,
    find_home,
    find_limit,
    list_folder,
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    for name in (
        "Pictures/class/cats/1.jpg",
        "Pictures/class/dogs/2.PNG",
        "Pictures/3.jpg",
        "b/notes.txt",
        ".cache/4.jpg",
    ):
        (tmp_path / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "home" / name).write_bytes(b"x")
    (tmp_path / "home" / "link").symlink_to(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_subfolders_are_listed_with_all_photos_below_them(home):
    listing = list_folder(home)
    assert listing.folders == (("b", ImageCount(0)), ("Pictures", ImageCount(3)))
    assert (listing.count, listing.links, listing.left_out, listing.problem) == (ImageCount(3), 1, 0, "")
    inside = list_folder(home / "Pictures")
    assert (inside.folders, inside.count) == ((("class", ImageCount(2)),), ImageCount(3))


def test_a_store_counts_for_nothing(home):
    (home / "Pictures" / "class" / "store.json").touch()
    assert list_folder(home / "Pictures").count == ImageCount(1)


def test_up_ends_at_home_or_at_the_folder_that_was_typed(home, tmp_path):
    assert find_home() == home
    assert find_limit(home / "Pictures" / "class", home) == home
    assert find_limit(tmp_path / "elsewhere", home) == tmp_path / "elsewhere"
    assert describe_local_path(home / "Pictures") == "~/Pictures"
    assert describe_local_path(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")


def test_without_a_home_it_is_the_working_directory(home, monkeypatch):
    monkeypatch.setenv("HOME", str(home / "gone"))
    monkeypatch.chdir(home)
    assert find_home() == home


def test_a_folder_that_cannot_be_listed_is_a_sentence(home, monkeypatch):
    assert "cannot be listed (No such file" in list_folder(home / "gone").problem
    real = os.scandir

    def refuse(path):
        if path == home / "Pictures":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may open everything
    assert list_folder(home / "Pictures").problem == "This folder may not be opened"
    assert dict(list_folder(home).folders)["Pictures"] == ImageCount(0)


def test_counting_and_listing_are_bounded(home, monkeypatch):
    for number in range(30):
        (home / "b" / f"{number}.jpg").touch()
    assert count_images(home / "b", 31) == ImageCount(30)
    some = count_images(home / "b", 10)
    assert not some.complete
    assert some.images <= 10
    monkeypatch.setattr(folder_browser, "MAX_SHOWN", 1)
    listing = list_folder(home)
    assert [name for name, _ in listing.folders] == ["b"]
    assert (listing.left_out, listing.count.complete) == (1, False)


def test_a_name_that_is_not_text_can_be_shown(home):
    (home / os.fsdecode(b"caf\xe9")).mkdir()
    (name,) = [name for name, _ in list_folder(home).folders if name.startswith("caf")]
    assert describe_local_path(home / name) == "~/caf\\xe9"
