"""What is kept stays within its bytes; what was used last stays longest; nothing depends on it."""

import os

import pytest

from dashboard.server.cache import ByteCache, DiskCache, remove_stale
from seglib.maintenance import prune
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, id_of, make_run_config


def files(folder) -> set[str]:
    return {path.name for path in folder.rglob("*") if path.is_file()}


def test_what_is_put_is_got_also_by_another_server(tmp_path):
    DiskCache(tmp_path / "c").put("photos/ab/x.jpg", b"body")
    assert DiskCache(tmp_path / "c").get("photos/ab/x.jpg") == b"body"
    assert DiskCache(tmp_path / "c").get("photos/ab/y.jpg") is None
    assert files(tmp_path) == {"x.jpg"}


def test_it_holds_no_more_than_it_may_and_drops_what_was_used_longest_ago(tmp_path):
    cache = DiskCache(tmp_path, limit=100)
    for number in range(3):
        cache.put(f"{number}.png", bytes(30))
        os.utime(tmp_path / f"{number}.png", ns=(number, number))
    assert cache.get("0.png") is not None  # used again just now
    cache.put("3.png", bytes(30))
    assert files(tmp_path) == {"0.png", "2.png", "3.png"}
    for number in range(4, 40):
        cache.put(f"{number}.png", bytes(30))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 100


def test_what_an_earlier_server_left_counts(tmp_path):
    (tmp_path / ".half-written").write_bytes(bytes(90))
    os.utime(tmp_path / ".half-written", ns=(1, 1))
    DiskCache(tmp_path, limit=100).put("new.png", bytes(30))
    assert files(tmp_path) == {"new.png"}


def test_where_nothing_can_be_written_nothing_is_kept_and_nothing_fails(tmp_path):
    (tmp_path / "c").write_text("a file where the folder should be")
    cache = DiskCache(tmp_path / "c")
    cache.put("photos/x.jpg", b"body")
    assert cache.get("photos/x.jpg") is None


def cached(store, *names: str):
    """Write cached pictures; returns their paths."""
    for name in names:
        DiskCache(store / "cache").put(name, b"picture")
    return [store / "cache" / name for name in names]


@pytest.fixture
def stored(tmp_path):
    """A store with the photo cats/a.jpg and two runs."""
    for code_schema in (1, 2):
        fill_store(tmp_path / "store", pixels={"cats/a.jpg": {"cat": 10}}, code_schema=code_schema)
    return tmp_path / "store"


def test_pictures_of_photos_and_runs_that_are_gone_are_removed_and_no_others(stored):
    here, gone, run = id_of("cats/a.jpg"), "0" * 32, make_run_config(1).run_name
    removed = make_run_config(2).run_name
    kept = cached(stored, f"photos/{here[:2]}/{here}.jpg", f"uncertainty/{run}/{here[:2]}/{here}.png")
    stale = cached(stored, f"photos/00/{gone}.jpg", f"uncertainty/{run}/00/{gone}.png")
    of_run = cached(stored, f"uncertainty/{removed}/{here[:2]}/{here}.png")
    remove_stale(stored)
    assert all(path.exists() for path in (*kept, *of_run))
    assert not any(path.exists() for path in stale)
    prune.remove_run(Store(stored), removed)
    remove_stale(stored)
    assert all(path.exists() for path in kept)
    assert not of_run[0].exists()


def test_no_link_out_of_the_store_is_followed(stored, tmp_path):
    kept = tmp_path / "outside" / "00" / f"{'0' * 32}.jpg"
    kept.parent.mkdir(parents=True)
    kept.touch()
    (stored / "cache").mkdir()
    (stored / "cache" / "photos").symlink_to(tmp_path / "outside")
    remove_stale(stored)
    assert kept.exists()


def test_the_cache_of_a_store_that_cannot_be_read_is_left_alone(stored):
    (path,) = cached(stored, f"photos/00/{'0' * 32}.jpg")
    (stored / "store.json").write_text("{")
    remove_stale(stored)
    assert path.exists()


def test_the_cache_holds_no_more_than_it_may():
    cache = ByteCache(100)
    for number in range(10):
        cache.put((str(number),), bytes(30))
    kept = [number for number in range(10) if cache.get((str(number),)) is not None]
    assert kept == [7, 8, 9]
    cache.put(("big",), bytes(1000))
    assert cache.get(("big",)) is None
