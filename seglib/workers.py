"""Decode photos in worker processes, in order, a bounded number ahead.

In: (tag, path, wants a thumbnail) tasks. Out: (tag, `Photo` or `BadImage`) in the same order, whatever the number of
workers. A worker that a file kills costs that file alone. Knows nothing of nets, masks or stores; imports no torch.
"""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from seglib.errors import BadImage
from seglib.preprocess import Photo, Resize, read_photo

Tag = TypeVar("Tag")
Task = tuple[Tag, Path, bool]
Outcome = Photo | BadImage

_AHEAD_PER_WORKER = 16
_START_SECONDS = 120


class Decoders:
    """`count` processes that decode; 0 decodes in this process. A context manager."""

    def __init__(self, count: int, resize: Resize) -> None:
        self.count = count
        self._resize = resize
        self._starting: list[Future[None]] = []
        self._pool = self._started() if count else None

    def wait_until_up(self) -> None:
        """Return when every worker has imported what it needs, so that their start is not timed as decoding."""
        for ready in self._starting:
            ready.result(_START_SECONDS)

    def decode(self, tasks: Iterable[Task[Tag]]) -> Iterator[tuple[Tag, Outcome]]:
        if self._pool is None:
            yield from ((tag, read(path, self._resize, wants)) for tag, path, wants in tasks)
            return
        waiting: deque[tuple[Task[Tag], Future[Outcome]]] = deque()
        for task in tasks:
            waiting.append((task, self._submitted(task)))
            if len(waiting) >= _AHEAD_PER_WORKER * self.count:
                yield self._oldest(waiting)
        while waiting:
            yield self._oldest(waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _oldest(self, waiting: "deque[tuple[Task[Tag], Future[Outcome]]]") -> tuple[Tag, Outcome]:
        task, future = waiting.popleft()
        try:
            return task[0], future.result()
        except BrokenProcessPool:
            return task[0], self._alone(task, waiting)

    def _alone(self, task: Task[Tag], waiting: "deque[tuple[Task[Tag], Future[Outcome]]]") -> Outcome:
        """A worker died, and all that was waiting with it: find out whether this file kills, then go on."""
        self._pool = self._started()
        try:
            outcome: Outcome = self._submitted(task).result()
        except BrokenProcessPool:
            outcome = BadImage("damaged", "The decoder crashed on the content.")
            self._pool = self._started()
        for index, (other, future) in enumerate(waiting):
            if not future.done() or future.cancelled() or future.exception() is not None:
                waiting[index] = (other, self._submitted(other))
        return outcome

    def _submitted(self, task: Task[Tag]) -> "Future[Outcome]":
        assert self._pool is not None
        _, path, wants = task
        try:
            return self._pool.submit(read, path, self._resize, wants)
        except BrokenProcessPool as error:  # noticed at the submission: the same as if noticed at the result
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed

    def _started(self) -> ProcessPoolExecutor:
        # spawn, not fork: this process may already run torch's threads, which a fork would copy half-locked
        pool = ProcessPoolExecutor(self.count, mp_context=get_context("spawn"), initializer=_begin)
        self._starting = [pool.submit(_settle) for _ in range(self.count)]  # the pool starts a process per waiting task
        return pool


def read(path: Path, resize: Resize, wants_thumbnail: bool) -> Outcome:
    """One file's outcome; every failure of the file is a value, so that it travels back like a photo."""
    try:
        return read_photo(path, resize, thumbnail=wants_thumbnail)
    except BadImage as error:
        return BadImage(error.reason, error.detail)


def default_count() -> int:
    return max(1, min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def give_way() -> None:
    """Let the forward passes go first: this thread, or process, takes the time that they leave.

    Where several threads compute one of them, it takes three times as long beside one busy process of equal priority:
    they wait for each other at every layer.
    """
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _begin() -> None:
    """In each worker: leave Ctrl-C to the parent, keep decoders' warnings off the terminal, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    give_way()
    warnings.simplefilter("ignore")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _settle() -> None:
    time.sleep(0.05)  # long enough that one worker does not answer for the others
