"""Several batches at once, each computed, measured and kept on threads of its own.

In: what to do with a batch, and batches. Out: the same in order of asking, a bounded number ahead. A forward pass on
two threads waits at every layer for the slower one, and leaves one idle while its masks are measured; two passes on a
thread each wait for nothing. Knows nothing of nets, masks or stores; imports torch to share out its threads.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

MOST = 4
"""Each holds a batch in memory."""

ON_GPU = 2
"""One computes while the other copies, counts and writes."""


def default_count(device: str) -> int:
    """As many as torch has threads, up to `MOST`; on a GPU `ON_GPU`."""
    import torch

    return ON_GPU if device == "cuda" else max(1, min(MOST, torch.get_num_threads()))


class Lanes:
    """`count` threads that share torch's threads among them. A context manager; leaving it ends what is at work."""

    def __init__(self, count: int) -> None:
        import torch

        self.count = count
        self._threads = torch.get_num_threads()
        share = max(1, self._threads // count)
        self._pool = ThreadPoolExecutor(count, "seglib-lane", initializer=torch.set_num_threads, initargs=(share,))
        self._asked: deque[Future[None]] = deque()

    def submit(self, what: Callable[..., None], *arguments: Any) -> None:
        """Do this on the next free thread; waits while one more than there are threads waits already. Raises what an
        earlier one raised.
        """
        while len(self._asked) > self.count:
            self._asked.popleft().result()
        self._asked.append(self._pool.submit(what, *arguments))

    def wait(self) -> None:
        """Until all is done. Raises what one of them raised."""
        while self._asked:
            self._asked.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """What did not begin never does; what did begin is waited for, also when told to stop a second time."""
        import torch

        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            self._pool.shutdown()
            torch.set_num_threads(self._threads)  # for threads to come: the number is this process's
