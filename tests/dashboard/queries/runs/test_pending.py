"""What a run has still to compute, as the run itself would find it."""

import os
import time

import pytest

from dashboard.queries.runs import pending
from dashboard.queries.runs.pending import FolderCounts, StoreCounts, StoreKey
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, make_run_config, photo_of

RUN = make_run_config(1).run_name
FIVE = {path: classes for path, classes in PIXELS.items() if path != NASTY}  # whose name is no path of a file system


@pytest.fixture
def folder(tmp_path):
    """A folder of five photos that a run has computed, and an unreadable one."""
    pending.clear()
    fill_store(tmp_path / "store", real=True, pixels=FIVE)
    (tmp_path / "photos" / "cats" / "bad.jpg").write_bytes(b"x")
    os.utime(tmp_path / "photos" / "cats" / "bad.jpg", ns=(1, 1))
    return tmp_path / "photos"


def count(folder, *runs: str, limit: int | None = None) -> FolderCounts:
    store = Store(folder.parent / "store")
    for _ in range(100):
        key = StoreKey(store.path, store.version(with_tags=False))
        if (found := pending.count_folder(key, folder, runs, limit)) is not None:
            return found
        time.sleep(0.05)
    raise AssertionError("it is never counted")


def test_of_a_folder_what_is_new_or_has_changed_is_to_be_computed(folder):
    found = count(folder, RUN)
    assert (found.total, found.chosen, found.pending) == (6, 6, {RUN: 0})
    pending.clear()
    (folder / "cats" / "new.jpg").write_bytes(b"x")
    (folder / "cats" / "a.jpg").write_bytes(photo_of("cats/a.jpg") + b"x")
    assert count(folder, RUN).pending == {RUN: 2}
    assert count(folder, RUN, limit=1).pending == {RUN: 1}
    assert (count(folder, RUN, limit=1).total, count(folder, RUN, limit=1).chosen) == (7, 1)
    assert count(folder, limit=3).pending == {}


def test_another_run_has_its_own_count(folder):
    run = fill_store(folder.parent / "store", real=True, code_schema=2, pixels={"cats/a.jpg": PIXELS["cats/a.jpg"]})
    assert count(folder, RUN, run.run).pending == {RUN: 0, run.run: 4}


def test_a_folder_that_the_store_does_not_know_is_all_new(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jpg").write_bytes(photo_of("cats/a.jpg"))
    assert count(other, RUN).pending == {RUN: 1}
    assert pending.count_folder(StoreKey(tmp_path / "none", ""), other, [], None).total == 1
    (other / "a.jpg").unlink()
    pending.clear()
    assert count(other, RUN).total == 0


def test_of_a_store_each_content_counts_once(folder):
    store = Store(folder.parent / "store")
    run = fill_store(store.path, real=True, code_schema=2, pixels={"cats/a.jpg": PIXELS["cats/a.jpg"]})
    store.record_invocation(run, {"dataset": store.datasets()[0].id, "started": "2", "computed": 1, "seconds": 1})
    assert pending._count_store(store, store.run(run.run)) == StoreCounts(total=5, computed=1)
    assert pending._count_store(store, store.run(RUN)) == StoreCounts(total=0, computed=0)  # no dataset is recorded
