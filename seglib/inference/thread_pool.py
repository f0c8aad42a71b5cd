"""Thread pool that processes several batches in parallel and divides torch's threads among its workers.

A single forward pass on two threads waits at every layer for the slower thread, and leaves one idle while masks are
measured. Two passes on one thread each do not wait. The number of queued batches is bounded.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

MAX_THREADS = 4
"""Maximum number of workers; each holds a batch in memory."""

GPU_THREADS = 2
"""Number of workers on a GPU: one computes while the other copies, measures and writes."""


def default_thread_count(device: str) -> int:
    """Default number of workers: torch's number of threads, at most `MAX_THREADS`; `GPU_THREADS` on a GPU."""
    import torch

    return GPU_THREADS if device == "cuda" else max(1, min(MAX_THREADS, torch.get_num_threads()))


class BatchThreadPool:
    """Pool of `count` worker threads that divide torch's threads among them.

    A context manager: on exit, queued jobs are cancelled and running ones finish.
    """

    def __init__(self, count: int) -> None:
        import torch

        self.count = count
        self._torch_threads = torch.get_num_threads()
        share = max(1, self._torch_threads // count)
        self._pool = ThreadPoolExecutor(count, "seglib-inference", initializer=torch.set_num_threads, initargs=(share,))
        self._pending: deque[Future[None]] = deque()

    def submit(self, function: Callable[..., None], *arguments: Any) -> None:
        """Run a job on the next free worker. Blocks while more than `count` jobs are outstanding.

        Re-raises an exception from an earlier job.
        """
        while len(self._pending) > self.count:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(function, *arguments))

    def wait(self) -> None:
        """Block until all jobs are done. Re-raises an exception from a job."""
        while self._pending:
            self._pending.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Cancel queued jobs and wait for running ones, even if interrupted a second time."""
        import torch

        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            self._pool.shutdown()
            torch.set_num_threads(self._torch_threads)  # the setting is process-wide
