"""What the actors of Ray do: load the model once, then compute one task after another (`PhotoComputer`).

Where GPUs compute, other actors decode the photos on CPUs before (`PhotoDecoder`).

A photo that cannot be read is a result (`PhotoFailure`), and an error that the user should see is an answer: exceptions
would make Ray try again.
"""

import os
import pickle
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seglib.cluster import attempts
from seglib.cluster.nodes import look_at
from seglib.compute.task import Job, Photo, Result
from seglib.compute.worker import ComputeWorker
from seglib.data.decode_pool import DecodePool, Outcome
from seglib.data.photo_root import open_photos
from seglib.data.scan import Record
from seglib.errors import SegError, WeightsError, shorten
from seglib.inference import config, predictor
from seglib.models import loading


@dataclass(frozen=True)
class Assignment:
    """A job as it is sent to the actors."""

    job: Job
    files: Mapping[str, Mapping[str, bytes]]
    """Contents of the files that only the driver has, by what they are (`weights`, `quantised`) and name."""
    digests: tuple[str, str]
    """Of the weights and of the int8 model, as the driver has them."""
    first: Record
    """A photo that every worker must see."""
    seen: str
    """What the driver sees of it (`nodes.look_at`)."""


@dataclass(frozen=True)
class Answer:
    """What came of a task."""

    results: Sequence[Result]
    device: str
    notes: Sequence[str]
    """Sentences for the user about the model."""
    seconds: float
    """Since the actor was ready."""


def assign(job: Job, first: Photo) -> Assignment:
    """Read the files of the model that workers may not have."""
    files = {}
    if job.model.adapter is None and job.model.source in ("file", "torchvision") and job.settings.quantised is None:
        files["weights"] = {job.model.path.name: job.model.path.read_bytes()}
    if job.settings.quantised is not None:
        files["quantised"] = {one.name: one.read_bytes() for one in sorted(job.settings.quantised.iterdir())}
    return Assignment(job, files, _digests(job), first.record, look_at(job.root, first.record))


Decoded = Sequence[tuple[Record, Outcome]]
"""The photos of a task, decoded and resized to the model's input, or why they are not."""


def check_sight(assignment: Assignment) -> None:
    """Raise `SegError` on a node that does not see the photos."""
    if look_at(assignment.job.root, assignment.first) != assignment.seen:
        raise SegError(f"A worker on {os.uname().nodename} does not see the photos that this run is about.")


class PhotoDecoder:
    """A class for `Dataset.map_batches`: from the pickled photos of a task to what its `PhotoComputer` takes."""

    def __init__(self, assignment: Any) -> None:
        """`assignment` is a reference to an `Assignment`."""
        import ray

        self._failure: SegError | None = None
        self._job: Job = ray.get(assignment).job
        self._started = ExitStack()  # until the process ends
        try:
            check_sight(ray.get(assignment))
            resize = self._job.model.input_resize(self._job.settings.resize)
            self._decoders = self._started.enter_context(DecodePool(self._job.workers or 0, resize))
            self._decoders.wait_until_ready()
        except SegError as error:
            self._failure = error

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        decoded = [pickle.dumps(self._decode(pickle.loads(photos))) for photos in batch["photos"]]  # noqa: S301
        return {"decoded": np.array(decoded, object)}

    def _decode(self, photos: Sequence[Photo]) -> Decoded | SegError:
        if self._failure is not None:
            return self._failure
        try:
            return list(self._decoders.decode(open_photos(self._job.root, photos)))
        except SegError as error:
            return error


class PhotoComputer:
    """A class for `Dataset.map_batches`: each row of a batch holds a pickled task, of photos or of `Decoded`."""

    def __init__(self, assignment: Any, counter: Any, takes_decoded: bool = False) -> None:
        """`assignment` is a reference to an `Assignment`, `counter` a handle to the actor that counts them.

        `takes_decoded`: whether tasks come from a `PhotoDecoder`.
        """
        import ray

        self._takes_decoded = takes_decoded
        self._ray, self._attempts = ray, counter
        self._started = ExitStack()  # until the process ends
        self._failure: SegError | None = None
        try:
            with self._count(f"actor {ray.get_runtime_context().get_actor_id()}", "Loading the model"):
                self._start(ray.get(assignment))
        except SegError as error:
            self._failure = error
        self._ready_at = time.monotonic()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        (tasks,) = batch.values()
        answers = [pickle.dumps(self._answer(pickle.loads(task))) for task in tasks]  # noqa: S301
        return {"answer": np.array(answers, object)}

    @contextmanager
    def _count(self, name: str, what: str) -> Iterator[None]:
        """Raise `SegError` if this was begun too often without an end."""
        if self._ray.get(self._attempts.begin.remote(name)) > attempts.MOST:
            raise SegError(
                f"{what} has ended its worker on the cluster {attempts.MOST} times: give workers more memory, or run "
                "on one machine to see why."
            )
        yield
        self._attempts.done.remote(name)

    def _start(self, assignment: Assignment) -> None:
        job = assignment.job
        check_sight(assignment)
        with tempfile.TemporaryDirectory(prefix="seglib-") as folder:  # needed until the model is loaded
            self._job = _unpack(assignment, Path(folder))
            if _digests(self._job) != assignment.digests:
                raise WeightsError(
                    f"A worker on {os.uname().nodename} has other weights of {job.model.name} than this machine."
                )
            workers = 0 if self._takes_decoded else job.workers or 0
            self._decoders = self._started.enter_context(DecodePool(workers, self._input_resize()))
            self._notes = predictor.warm_up(self._job.model, self._job.settings)
            self._decoders.wait_until_ready()

    def _input_resize(self) -> Any:
        return self._job.model.input_resize(self._job.settings.resize)

    def _answer(self, task: Sequence[Any] | SegError) -> Answer | SegError:
        if self._failure is not None:
            return self._failure
        if isinstance(task, SegError):
            return task
        results: list[Result] = []
        first, last = (record["path"] for record, _ in (task[0], task[-1]))
        try:
            # A new one for each task: an earlier one's results may be lost with a node, and computed here again.
            worker = ComputeWorker(self._job, self._decoders, frozenset())
            with self._count(first, f"The task of the photos from {shorten(first)!r} to {shorten(last)!r}"):
                stream: Any = worker.stream_decoded if self._takes_decoded else worker.stream
                stream(task, results.append)
        except SegError as error:
            return error
        return Answer(results, worker.device, self._notes, time.monotonic() - self._ready_at)


def _unpack(assignment: Assignment, folder: Path) -> Job:
    """Write the files into a folder. Returns the job that refers to them."""
    job = assignment.job
    for kind, files in assignment.files.items():
        (folder / kind).mkdir()
        for name, content in files.items():
            (folder / kind / name).write_bytes(content)
            if kind == "weights":
                job = replace(job, model=replace(job.model, weights=str(folder / kind / name)))
    if "quantised" in assignment.files:
        job = replace(job, settings=replace(job.settings, quantised=folder / "quantised"))
    return job


def _digests(job: Job) -> tuple[str, str]:
    if job.settings.quantised is not None:
        return "", config.quantised_sha256(job.settings)
    return loading.weights_sha256(job.model), ""
