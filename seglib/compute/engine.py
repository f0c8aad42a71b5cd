"""Where photos are computed: an engine starts the workers, and says which device and precision they have.

`ThisMachine` computes in this process and its decoding processes; `seglib.cluster` has an engine for other machines.
"""

from collections.abc import Iterable, Iterator, Set
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from seglib.compute.task import Job, Photo
from seglib.compute.worker import ComputeWorker, Keep, start_worker
from seglib.inference import config
from seglib.progress import OnNote


class Worker(Protocol):
    """What computes the photos of a job."""

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        ...

    @property
    def ready_at(self) -> float | None:
        """When it was ready to decode, on the clock of `time.monotonic`; None before that."""
        ...

    def wait_until_ready(self) -> None: ...

    def stream(self, photos: Iterable[Photo], keep: Keep) -> None:
        """Compute photos, and call `keep` with each result; see `ComputeWorker.stream`."""
        ...


class Engine(Protocol):
    def resolve_device(self, device: str) -> str:
        """`device` or, where only the workers know what it stands for, what it is there. Raises `SegError`."""
        ...

    def fastest_precision(self, device: str) -> str:
        """`bf16` if the workers' hardware supports it natively, else `fp32`. Raises `SegError`."""
        ...

    def start_worker(
        self, job: Job, photos: int, computed_ids: Set[str], on_note: OnNote | None
    ) -> AbstractContextManager[Worker]:
        """See `compute.worker.start_worker`; `on_note` is told about the model."""
        ...


class ThisMachine:
    """Computes in this process; `auto` stands for what is found when the model is loaded."""

    def resolve_device(self, device: str) -> str:
        return device

    def fastest_precision(self, device: str) -> str:
        return config.fastest_precision(config.resolve_device(device))

    @contextmanager
    def start_worker(
        self, job: Job, photos: int, computed_ids: Set[str], on_note: OnNote | None
    ) -> Iterator[ComputeWorker]:
        with start_worker(job, photos, computed_ids) as worker:
            if on_note is not None:
                for sentence in worker.notes:
                    on_note(sentence)
            yield worker
