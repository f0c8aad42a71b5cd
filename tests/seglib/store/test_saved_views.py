"""Saved views: one per name, whatever its case; changes are atomic, and a damaged record hides only its own view."""

import shutil
from dataclasses import replace

import pytest

from seglib.errors import DamagedFileError, StoreError, UnknownName, UsageError
from seglib.fileio.lock import lock
from seglib.maintenance import prune, verify
from seglib.store.saved_views import saved_view
from seglib.store.saved_views.saved_view import SavedView, delete_view, find_view, list_views, rename_view, save_view
from seglib.store.store import Store

VIEW = SavedView(name="  Doubtful \n cats ", description=" unsure  ones", page="Explore", query="label=cats&run=r")


def names(store) -> list[str]:
    return [view.name for view in list_views(store)]


def test_a_view_is_saved_with_a_clean_name_and_found_in_any_case(store):
    saved = save_view(store, VIEW)
    assert (saved.name, saved.description) == ("Doubtful cats", "unsure ones")
    assert saved.saved
    assert find_view(store, "DOUBTFUL  cats") == saved
    assert list_views(store) == [saved]


def test_a_name_stands_for_one_view_unless_it_is_replaced_knowingly(store):
    save_view(store, VIEW)
    with pytest.raises(UsageError, match="already"):
        save_view(store, replace(VIEW, name="doubtful CATS", query="label=dogs"))
    assert find_view(store, VIEW.name).query == VIEW.query
    save_view(store, replace(VIEW, name="doubtful CATS", query="label=dogs"), replace_existing=True)
    assert names(store) == ["doubtful CATS"]
    assert find_view(store, VIEW.name).query == "label=dogs"


def test_renaming_keeps_the_rest_and_takes_no_name_of_another(store):
    save_view(store, VIEW)
    save_view(store, replace(VIEW, name="b"))
    with pytest.raises(UsageError, match="already"):
        rename_view(store, "b", "doubtful cats")
    assert names(store) == ["b", "Doubtful cats"]
    after = rename_view(store, "b", "B", "new")
    assert (after.name, after.description, after.query) == ("B", "new", VIEW.query)
    assert rename_view(store, "B", "c").description == "new"
    assert names(store) == ["c", "Doubtful cats"]


def test_a_deleted_view_can_be_saved_again(store):
    saved = save_view(store, VIEW)
    gone = delete_view(store, "doubtful cats")
    assert gone == saved
    assert names(store) == []
    assert not list(store.path.glob("views/*"))
    with pytest.raises(UnknownName, match="none yet"):
        delete_view(store, "doubtful cats")
    save_view(store, gone)
    assert names(store) == ["Doubtful cats"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": " \t"},
        {"name": "x" * 61},
        {"name": "a\0b"},
        {"name": "a\u202eb"},
        {"description": "x" * 301},
        {"query": "x" * 50_001},
    ],
    ids=str,
)
def test_what_is_no_name_or_too_long_is_refused(store, change):
    with pytest.raises(UsageError):
        save_view(store, replace(VIEW, **change))
    assert names(store) == []


def test_a_full_store_takes_no_more(store, monkeypatch):
    monkeypatch.setattr(saved_view, "MAX_VIEWS", 1)
    save_view(store, VIEW)
    with pytest.raises(UsageError, match="at most 1"):
        save_view(store, replace(VIEW, name="another"))
    save_view(store, VIEW, replace_existing=True)


def test_a_damaged_record_hides_only_its_view_and_is_verified(store):
    save_view(store, VIEW)
    save_view(store, replace(VIEW, name="b"))
    record = next(file for file in store.view_records() if '"b"' in file.read_text())
    record.write_text(record.read_text().replace("label=cats", "label=dogs"))
    assert names(store) == ["Doubtful cats"]
    with pytest.raises(DamagedFileError):
        find_view(store, "b")
    damaged = list(verify.find_damaged_files(store))
    assert [(file.kind, file.file) for file in damaged] == [("record", record.relative_to(store.path).as_posix())]


def test_views_stay_when_the_store_is_pruned_and_go_with_a_copy(store, tmp_path):
    version = store.version()
    saved = save_view(store, VIEW)
    assert store.version() == version  # no cache of a page depends on them
    prune.prune(store)
    shutil.copytree(store.path, tmp_path / "copy")
    assert list_views(Store(tmp_path / "copy")) == [saved]


def test_a_store_that_is_being_cleaned_refuses_at_once(store, monkeypatch):
    monkeypatch.setattr(saved_view, "_LOCK_WAIT_SECONDS", 0)
    with lock(store.path), pytest.raises(StoreError, match="try again"):
        save_view(store, VIEW)
    assert names(store) == []
