"""Decode images in worker processes, in order, with a bounded number of files in flight.

`DecodePool.decode` takes (tag, content, extras) tasks and yields (tag, `DecodedImage` or `BadImage`) in the same
order. Each file has limits on CPU time and memory; a file that exceeds them or kills its worker fails without affecting
others. Workers must not import torch.
"""

import contextlib
import os
import signal
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context, parent_process
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self, TypeVar

from seglib.data.image import MAX_MEMORY, MAX_SECONDS, DecodedImage, Extras, read_image, read_thumbnail
from seglib.data.resize import Resize
from seglib.data.worker_processes import without_main_module
from seglib.errors import BadImage, SegError

Tag = TypeVar("Tag")
Content = Path | bytes | BadImage
"""The file of a photo, its bytes, or why there are none."""

Task = tuple[Tag, Content, Extras]
Asked = tuple[Content, Resize | None, Extras]
Outcome = DecodedImage | BadImage

_AHEAD_PER_WORKER = 16
_THUMBNAILS_PER_CALL = 8  # a call takes a tenth of the time of a small photo; pixels are sent back one by one
_START_SECONDS = 120


@dataclass(frozen=True)
class Limits:
    """Limits per file in a worker. Linux enforces both, macOS only the time, Windows neither."""

    seconds: float = MAX_SECONDS
    """CPU time, so that a busy machine does not cause failures; C code that blocks signals is killed after twice it."""
    memory: int = MAX_MEMORY
    """Bytes in addition to those in use when the worker starts."""


class DecodePool:
    """Context manager for a pool of `count` decode workers; 0 decodes in this process, without limits."""

    def __init__(self, count: int, resize: Resize | None, limits: Limits | None = None) -> None:
        self.count = count
        self._resize = resize
        self._files_per_call = _THUMBNAILS_PER_CALL if resize is None else 1
        self._limits = limits or Limits()
        self._starting: list[Future[None]] = []
        self._pool = self._start_pool() if count else None

    def wait_until_ready(self) -> None:
        """Wait until every worker has finished its imports, so that startup is not timed as decoding.

        Raises `SegError` if they cannot start, which is no photo's fault.
        """
        try:
            for ready in self._starting:
                ready.result(_START_SECONDS)
        except (BrokenProcessPool, TimeoutError) as error:
            how = "do not start" if isinstance(error, TimeoutError) else "end as soon as they start"
            raise SegError(
                f"The processes that decode photos {how}: free memory, or set `workers` to 0 to decode in this one."
            ) from None

    def decode(self, tasks: Iterable[Task[Tag]]) -> Iterator[tuple[Tag, Outcome]]:
        if self._pool is None:
            yield from ((tag, decode_file(content, self._resize, extras)) for tag, content, extras in tasks)
            return
        waiting: deque[tuple[list[Task[Tag]], Future[list[Outcome]]]] = deque()
        remaining = iter(tasks)
        while group := list(islice(remaining, self._files_per_call)):
            waiting.append((group, self._submit(group)))
            if len(waiting) * self._files_per_call >= _AHEAD_PER_WORKER * self.count:
                yield from self._next_results(waiting)
        while waiting:
            yield from self._next_results(waiting)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _next_results(
        self, waiting: "deque[tuple[list[Task[Tag]], Future[list[Outcome]]]]"
    ) -> Iterator[tuple[Tag, Outcome]]:
        group, future = waiting.popleft()
        try:
            outcomes = future.result()
        except BrokenProcessPool:
            outcomes = self._retry_alone(group, waiting)
        for (tag, *_), outcome in zip(group, outcomes, strict=True):
            yield tag, outcome

    def _retry_alone(
        self, group: Sequence[Task[Tag]], waiting: "deque[tuple[list[Task[Tag]], Future[list[Outcome]]]]"
    ) -> list[Outcome]:
        """After a worker died: restart the pool, retry these files one by one as the suspects, resubmit the rest."""
        self._pool = self._start_pool()
        outcomes = [self._decode_suspect(task) for task in group]
        for index, (other, future) in enumerate(waiting):
            if not future.done() or future.cancelled() or future.exception() is not None:
                waiting[index] = (other, self._submit(other))
        return outcomes

    def _decode_suspect(self, task: Task[Tag]) -> Outcome:
        began = time.monotonic()
        try:
            return self._submit([task]).result()[0]
        except BrokenProcessPool:
            self._pool = self._start_pool()
        if time.monotonic() - began >= 2 * self._limits.seconds:
            return _too_slow_error(self._limits)
        return BadImage("damaged", "The decoder crashed on the content.")

    def _submit(self, group: Sequence[Task[Tag]]) -> "Future[list[Outcome]]":
        assert self._pool is not None
        files: list[Asked] = [(content, self._resize, extras) for _, content, extras in group]
        try:
            with without_main_module():  # the pool starts processes as tasks arrive
                return self._pool.submit(_call_for_each, self._limits, decode_file, files)
        except BrokenProcessPool as error:  # treat a failure at submission like one at the result
            failed: Future[list[Outcome]] = Future()
            failed.set_exception(error)
            return failed

    def _start_pool(self) -> ProcessPoolExecutor:
        # spawn, not fork: torch may already run threads here, and a fork would copy the locks they hold
        pool = ProcessPoolExecutor(
            self.count, mp_context=get_context("spawn"), initializer=_init_worker, initargs=(self._limits,)
        )
        with without_main_module():
            self._starting = [
                pool.submit(_wait_briefly) for _ in range(self.count)
            ]  # the pool starts one process per pending task
        return pool


def decode_file(content: Content, resize: Resize | None, extras: Extras) -> Outcome:
    """Decode one file; failures are returned, not raised, so that workers send them back like images."""
    if isinstance(content, BadImage):
        return content
    try:
        return read_thumbnail(content, extras) if resize is None else read_image(content, resize, extras)
    except BadImage as error:
        return BadImage(error.reason, error.detail)
    except MemoryError:
        return BadImage("too_large", "There is not enough memory to resize it.")


def _call_for_each(
    limits: Limits, function: Callable[[Content, Resize | None, Extras], Outcome], files: Sequence[Asked]
) -> list[Outcome]:
    """In a worker: call `function` for each file, under the time limit of a file."""
    return [_run_with_limits(limits, function, *file) for file in files]


def _run_with_limits(
    limits: Limits, function: Callable[[Content, Resize | None, Extras], Outcome], *arguments: *Asked
) -> Outcome:
    """In a worker: call `function` under the time limit. If no exception can interrupt it, the process is killed."""
    try:
        _set_cpu_limit(limits.seconds)
        try:
            return function(*arguments)
        finally:
            _set_cpu_limit(0)
    except _TooSlow:  # the signal may also arrive in the `finally` above
        _set_cpu_limit(0)
        return _too_slow_error(limits)


def lower_priority() -> None:
    """Lower the priority of this thread or process to 19, below that of the forward passes.

    A multi-threaded forward pass takes three times as long beside one busy process of equal priority, because its
    threads wait for each other at every layer.
    """
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


class _TooSlow(BaseException):
    """Not an `Exception`, because decoders catch those."""


def _too_slow_error(limits: Limits) -> BadImage:
    return BadImage("too_slow", f"Decoding took more than {limits.seconds:g} s of processor time.")


def _set_cpu_limit(seconds: float) -> None:
    """Set SIGPROF after `seconds` of CPU time and SIGVTALRM (unhandled: fatal) after twice that; 0 cancels both."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds, seconds)
        signal.setitimer(signal.ITIMER_VIRTUAL, 2 * seconds)


def _raise_too_slow(_signal: int, _frame: FrameType | None) -> None:
    raise _TooSlow


def _init_worker(limits: Limits) -> None:
    """Initialise a worker: set limits, ignore Ctrl-C, silence decoder output, exit with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "SIGPROF"):
        signal.signal(signal.SIGPROF, _raise_too_slow)
    _limit_memory(limits.memory)
    lower_priority()
    warnings.simplefilter("ignore")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff reports each damaged file on stderr
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _limit_memory(additional_bytes: int) -> None:
    """Limit the address space to `additional_bytes` bytes above the current use; beyond that, allocations raise
    `MemoryError`.
    """
    statm = Path("/proc/self/statm")
    if statm.exists():
        import resource

        pages = int(statm.read_text().split()[0])
        _, hard_limit = resource.getrlimit(resource.RLIMIT_AS)
        wanted = pages * resource.getpagesize() + additional_bytes
        resource.setrlimit(
            resource.RLIMIT_AS,
            (wanted if hard_limit == resource.RLIM_INFINITY else min(wanted, hard_limit), hard_limit),
        )


def _exit_with_parent() -> None:
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _wait_briefly() -> None:
    time.sleep(0.05)  # long enough that no worker takes two of these tasks
