"""Folders that a visitor on this machine adds: checked, remembered, forgotten, and never offered to others."""

import os
from dataclasses import replace

import pytest

from dashboard.offers import remembered_folders
from dashboard.offers.remembered_folders import FILE_NAME, add, find, find_problem, forget, parse_folder
from dashboard.settings import ServerSettings
from seglib.errors import SegError, UsageError


@pytest.fixture
def settings(tmp_path):
    for name in ("one", "two words", "empty"):
        (tmp_path / name / "deep").mkdir(parents=True)
    for name in ("one", "two words"):
        (tmp_path / name / "deep" / "a.jpg").write_bytes(b"x")
    return ServerSettings(store=tmp_path / "store", photo_folders=(), local_only=True)


def test_the_last_one_added_comes_first_and_each_is_kept_once(settings, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two words"
    assert find(settings) == ()
    for folder in (one, two, one):
        assert add(settings, folder) == folder
    assert find(settings) == (one, two)
    forget(settings, one)
    forget(settings, tmp_path / "never added")
    assert find(settings) == (two,)
    assert (one / "deep" / "a.jpg").exists()


def test_the_list_is_bounded(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(remembered_folders, "MAX_FOLDERS", 1)
    add(settings, tmp_path / "one")
    add(settings, tmp_path / "two words")
    assert find(settings) == (tmp_path / "two words",)


def test_nothing_counts_once_others_can_reach_the_server(settings, tmp_path):
    add(settings, tmp_path / "one")
    public = replace(settings, local_only=False)
    assert find(public) == ()
    for action in (add, forget):
        with pytest.raises(UsageError, match="no other machine"):
            action(public, tmp_path / "two words")
    (settings.store / FILE_NAME).write_text("{")
    assert find_problem(public) == ""


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"folders": 1}', '{"folders": ["relative"]}', '{"folders": ["/a\\u0000"]}']
)
def test_a_damaged_list_is_a_sentence_and_is_written_anew(settings, tmp_path, text):
    add(settings, tmp_path / "one")
    (settings.store / FILE_NAME).write_text(text)
    assert find(settings) == ()
    assert "folders.json is damaged: add the folder again" in find_problem(settings)
    add(settings, tmp_path / "two words")
    assert (find(settings), find_problem(settings)) == ((tmp_path / "two words",), "")


def test_a_folder_without_photos_or_a_store_that_cannot_be_written_is_a_sentence(settings, tmp_path):
    with pytest.raises(UsageError, match="no photos in empty"):
        add(settings, tmp_path / "empty")
    with pytest.raises(UsageError, match="no folder 'gone'"):
        add(settings, tmp_path / "gone")
    with pytest.raises(SegError, match="cannot be created"):
        add(replace(settings, store=tmp_path / "one" / "deep" / "a.jpg" / "store"), tmp_path / "one")


def test_a_typed_path_is_resolved_with_its_links(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "link").symlink_to(tmp_path / "one")
    for text in ("~/one", f"  {tmp_path}/one ", f'"{tmp_path}/one"', "~/two words/../one", "~/link", "~//one/"):
        assert parse_folder(text) == tmp_path / "one"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "Type the whole path"),
        ("one", "Type the whole path"),
        ("../one", "Type the whole path"),
        ("~nobody-of-this-name/x", "user who is not known"),
        ("/no/such/folder", "no folder 'folder'"),
        ("/etc/hostname", "no folder 'hostname'"),
        ("/a\0b", "names no folder"),
        ("/" + "x" * 300, "no folder"),
        ("/" + "x/" * 5000, "no folder"),
    ],
)
def test_what_names_no_folder_is_a_sentence(text, sentence):
    with pytest.raises(UsageError, match=sentence):
        parse_folder(text)


def test_a_loop_of_links_is_a_sentence(tmp_path):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(UsageError, match="no folder"):
        parse_folder(str(tmp_path / "loop"))


def test_a_folder_that_may_not_be_opened_is_a_sentence(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)  # root may open everything
    with pytest.raises(UsageError, match="may not be opened: check its permissions"):
        parse_folder(str(tmp_path))
