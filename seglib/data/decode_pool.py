"""Decode photos in worker processes, in order, a bounded number ahead.

In: (tag, path, wants a thumbnail) tasks. Out: (tag, `Photo` or `BadImage`) in the same order, whatever the number of
workers. A file has limits of processor time and memory; one that breaks them, or kills its worker, costs itself alone.
Knows nothing of nets, masks or stores; imports no torch.
"""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self, TypeVar

from seglib.data.image import MAX_MEMORY, MAX_SECONDS, Photo, read_photo
from seglib.data.resize import Resize
from seglib.errors import BadImage

Tag = TypeVar("Tag")
Task = tuple[Tag, Path, bool]
Asked = tuple[Path, Resize, bool]
Outcome = Photo | BadImage

_AHEAD_PER_WORKER = 16
_START_SECONDS = 120


@dataclass(frozen=True)
class Limits:
    """Of one file in a worker, where the system can keep them: Linux both, macOS the time, Windows neither."""

    seconds: float = MAX_SECONDS
    """Of processor time, so that a busy machine is no reason to give up; twice it for C code that hears no signal."""
    memory: int = MAX_MEMORY
    """Bytes beside those that the worker holds at its start."""


class Decoders:
    """`count` processes that decode; 0 decodes in this process, without limits. A context manager."""

    def __init__(self, count: int, resize: Resize, limits: Limits | None = None) -> None:
        self.count = count
        self._resize = resize
        self._limits = limits or Limits()
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
        began = time.monotonic()
        try:
            outcome: Outcome = self._submitted(task).result()
        except BrokenProcessPool:
            hung = time.monotonic() - began >= 2 * self._limits.seconds
            outcome = _too_slow(self._limits) if hung else BadImage("damaged", "The decoder crashed on the content.")
            self._pool = self._started()
        for index, (other, future) in enumerate(waiting):
            if not future.done() or future.cancelled() or future.exception() is not None:
                waiting[index] = (other, self._submitted(other))
        return outcome

    def _submitted(self, task: Task[Tag]) -> "Future[Outcome]":
        assert self._pool is not None
        _, path, wants = task
        try:
            return self._pool.submit(within, self._limits, read, path, self._resize, wants)
        except BrokenProcessPool as error:  # noticed at the submission: the same as if noticed at the result
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed

    def _started(self) -> ProcessPoolExecutor:
        # spawn, not fork: this process may already run torch's threads, which a fork would copy half-locked
        pool = ProcessPoolExecutor(
            self.count, mp_context=get_context("spawn"), initializer=_begin, initargs=(self._limits,)
        )
        self._starting = [pool.submit(_settle) for _ in range(self.count)]  # the pool starts a process per waiting task
        return pool


def read(path: Path, resize: Resize, wants_thumbnail: bool) -> Outcome:
    """One file's outcome; every failure of the file is a value, so that it travels back like a photo."""
    try:
        return read_photo(path, resize, thumbnail=wants_thumbnail)
    except BadImage as error:
        return BadImage(error.reason, error.detail)
    except MemoryError:
        return BadImage("too_large", "There is not enough memory to resize it.")


def within(
    limits: Limits, reading: Callable[[Path, Resize, bool], Outcome], *asked: *tuple[Path, Resize, bool]
) -> Outcome:
    """In a worker: `reading` with an end, an exception where Python hears it, else the end of the process."""
    try:
        _give_time(limits.seconds)
        try:
            return reading(*asked)
        finally:
            _give_time(0)
    except _TooSlow:  # also if it comes at the last moment, in the line above
        _give_time(0)
        return _too_slow(limits)


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


class _TooSlow(BaseException):
    """No `Exception`: decoders catch those."""


def _too_slow(limits: Limits) -> BadImage:
    return BadImage("too_slow", f"Decoding took more than {limits.seconds:g} s of processor time.")


def _give_time(seconds: float) -> None:
    """Until SIGPROF, and to twice it until SIGVTALRM, which nobody handles, ends the process; 0 takes both back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, 2 * seconds)


def _stop_reading(_signal: int, _frame: FrameType | None) -> None:
    raise _TooSlow


def _begin(limits: Limits) -> None:
    """In each worker: keep limits, leave Ctrl-C to the parent, keep decoders off the terminal, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, _stop_reading)
    _limit_memory(limits.memory)
    give_way()
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff writes there of each damaged file
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _limit_memory(more: int) -> None:
    """From here on `more` bytes of address space beside what this process has now; then a MemoryError."""
    held = Path("/proc/self/statm")
    if held.exists():
        import resource

        pages = int(held.read_text().split()[0])
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + more
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _end_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _settle() -> None:
    time.sleep(0.05)  # long enough that one worker does not answer for the others
