"""Values computed in the background: once, again when stale, and never hiding an error."""

from threading import Event

import pytest

from dashboard.workers.background import BackgroundCache


def always(_: object) -> bool:
    return True


def never(_: object) -> bool:
    return False


@pytest.fixture
def cache() -> BackgroundCache[int]:
    return BackgroundCache(max_entries=2)


def test_a_value_is_computed_once_while_it_is_fresh(cache):
    calls = iter(range(9))
    assert [cache.get("a", lambda: next(calls), always, wait_seconds=30) for _ in range(3)] == [0, 0, 0]


def test_a_value_that_takes_long_is_none_until_it_is_there(cache):
    release = Event()
    assert cache.get("a", lambda: release.wait(30), always, wait_seconds=0) is None
    release.set()
    assert cache.get("a", lambda: pytest.fail("computed twice"), always, wait_seconds=30) is True


def test_a_stale_value_is_replaced_and_served_only_where_allowed(cache):
    assert cache.get("a", lambda: 1, never, wait_seconds=30) == 1
    release = Event()
    assert cache.get("a", lambda: release.wait(30) + 1, never, wait_seconds=0, serve_stale=True) == 1
    assert cache.get("a", lambda: 9, never, wait_seconds=0) is None
    release.set()
    assert cache.get("a", lambda: 9, never, wait_seconds=30) == 2


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
def test_an_error_is_raised_where_the_value_is_asked_for_and_tried_again(cache, error):
    def fail() -> int:
        raise error("no")

    with pytest.raises(error, match="no"):
        cache.get("a", fail, always, wait_seconds=30)
    assert cache.get("a", lambda: 2, always, wait_seconds=30) == 2


def test_the_value_unused_longest_is_dropped(cache):
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda key=key: key, always, wait_seconds=30)
    assert cache.get("a", lambda: "new", always, wait_seconds=30) == "a"
    assert cache.get("b", lambda: "new", always, wait_seconds=30) == "new"
