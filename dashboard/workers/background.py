"""Compute values in background threads, so that a page never waits long for a slow disk (`BackgroundCache`)."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock, Semaphore, Thread
from typing import Generic, TypeVar

Value = TypeVar("Value")


@dataclass
class _Entry(Generic[Value]):
    future: "Future[Value]"
    previous: "Future[Value] | None" = None
    """The value that `future` replaces."""


class BackgroundCache(Generic[Value]):
    """LRU cache of values that are computed in daemon threads, at most two at a time; thread-safe."""

    def __init__(self, max_entries: int) -> None:
        self._max_entries = max_entries
        self._entries: OrderedDict[Hashable, _Entry[Value]] = OrderedDict()
        self._lock, self._turn = Lock(), Semaphore(2)

    def get(
        self,
        key: Hashable,
        compute: Callable[[], Value],
        is_fresh: Callable[[Value], bool],
        *,
        wait_seconds: float,
        serve_stale: bool = False,
    ) -> Value | None:
        """Return the value, waiting at most `wait_seconds`; None while it is being computed.

        A value that is not fresh is computed again; `serve_stale` returns it until then. Raises what `compute` raised,
        once: the next call tries again.
        """
        entry = self._start(key, compute, is_fresh)
        try:
            return entry.future.result(timeout=wait_seconds)
        except TimeoutError:
            if entry.future.done():  # raised by `compute` itself
                raise
            return entry.previous.result() if serve_stale and entry.previous is not None else None
        finally:
            if entry.future.done() and entry.future.exception() is not None:
                self._drop(key, entry)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def _start(self, key: Hashable, compute: Callable[[], Value], is_fresh: Callable[[Value], bool]) -> _Entry[Value]:
        with self._lock:
            entry = self._entries.get(key)
            is_stale = entry is not None and _is_computed(entry.future) and not is_fresh(entry.future.result())
            if entry is None or is_stale:
                entry = self._entries[key] = _Entry(Future(), None if entry is None else entry.future)
                Thread(target=self._run, args=(entry.future, compute), daemon=True).start()
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)
            return entry

    def _run(self, future: "Future[Value]", compute: Callable[[], Value]) -> None:
        with self._turn:
            try:
                future.set_result(compute())
            except Exception as error:  # raised where the value is asked for
                future.set_exception(error)

    def _drop(self, key: Hashable, entry: _Entry[Value]) -> None:
        with self._lock:
            if self._entries.get(key) is entry:
                del self._entries[key]


def _is_computed(future: "Future[Value]") -> bool:
    return future.done() and future.exception() is None
