"""Compute uncertainty maps for the viewer in the worker process, one at a time.

`UncertaintyMaps.png` takes a store, one of its runs and a photo's bytes. It returns a greyscale PNG at the grid's size,
0..255 = entropy 0..1, or raises `UncertaintyError` with one sentence for the page.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from threading import BoundedSemaphore, Lock

from dashboard.formatting import user_message
from dashboard.workers.predictor import BUSY, DIED, Predictor, predictor
from seglib.errors import BadImage, SegError
from seglib.store.records import Run
from seglib.store.store import Store

MAX_WAITING = 4
"""Further requests are rejected, so that they do not use up the server's threads."""

_POLL_SECONDS = 0.5


class UncertaintyError(Exception):
    """`status` is the HTTP status: 422 if this map cannot be computed, 503 if a retry may succeed."""

    def __init__(self, sentence: str, status: int = 422) -> None:
        super().__init__(sentence)
        self.status = status


class UncertaintyMaps:
    """Queue of requests for uncertainty maps; thread-safe."""

    def __init__(self, worker: Predictor = predictor) -> None:
        self._worker = worker
        self._turn, self._places = Lock(), BoundedSemaphore(MAX_WAITING)

    def png(self, store: Store, run: Run, photo: bytes, *, abandoned: Callable[[], bool] = lambda: False) -> bytes:
        """Return the map as a PNG; `abandoned` is polled while waiting for a turn. Raises `UncertaintyError`."""
        with self._wait_for_turn(abandoned):
            try:
                _, (png,) = self._worker.ask("uncertainty", {"run": asdict(run), "store": str(store.path)}, photo)
            except BadImage as error:
                raise UncertaintyError(f"The photo cannot be read: {error.detail}") from None
            except SegError as error:
                status = 503 if str(error) in (BUSY, DIED) else 422
                raise UncertaintyError(user_message(str(error)), status) from None
        return png

    @contextmanager
    def _wait_for_turn(self, abandoned: Callable[[], bool]) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise UncertaintyError("Other maps are being computed: try again in a moment.", 503)
        try:
            while not self._turn.acquire(timeout=_POLL_SECONDS):
                if abandoned():
                    raise UncertaintyError("This map is no longer needed.", 503)
            try:
                yield
            finally:
                self._turn.release()
        finally:
            self._places.release()
