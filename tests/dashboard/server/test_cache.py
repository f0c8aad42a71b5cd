"""What is kept stays within its bytes; what was used last stays longest; nothing depends on it."""

import os

from dashboard.server.cache import DiskCache


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
