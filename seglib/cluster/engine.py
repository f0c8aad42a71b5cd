"""Compute the photos of a run on a Ray cluster, with Ray Data.

    with connect(address, root, record) as engine, engine.start_worker(job, len(photos), set()) as worker:
        worker.stream(photos, keep)

A row of the dataset is a task of some photos, and a pool of actors computes them, each with the model and decoding
processes of its own. Where GPUs compute, a pool of actors on the CPUs of all nodes decodes before. Ray Data holds tasks
back while results wait, and gives those of a lost actor or node to another: a photo may be computed twice, and is kept
once.
"""

import contextlib
import logging
import pickle
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from seglib.cluster import attempts, connection, nodes
from seglib.cluster.connection import say_shortly
from seglib.cluster.nodes import Node, NodeFacts
from seglib.cluster.photo_computer import Answer, PhotoComputer, PhotoDecoder, assign
from seglib.compute.task import Job, Photo
from seglib.compute.worker import Keep
from seglib.data.photo_root import PhotoRoot
from seglib.data.scan import Record
from seglib.errors import SegError, UsageError
from seglib.progress import OnNote

PHOTOS_PER_TASK = 32
"""Results of a task come back together, and are computed again if its node is lost."""

PHOTOS_PER_DATASET = 200_000
"""The tasks of one dataset are all in memory at the same time, and each dataset starts actors of its own."""


@dataclass(frozen=True)
class ActorResources:
    cpus: int
    """Of each actor that decodes; also the number of its decoding processes."""
    gpus: int
    """Of each actor that computes."""
    fitting: int
    """Number of actors that can compute at the same time."""
    decoders: int = 0
    """Number of actors that only decode; 0: those that compute decode, too."""


@contextlib.contextmanager
def connect(
    address: str | None,
    *,
    root: PhotoRoot,
    record: Record,
    device: str,
    workers: int | None,
    on_note: OnNote | None = None,
) -> Iterator["RayEngine"]:
    """Connect to a cluster (see `connection.connect`), and check that all its nodes see this photo below `root`
    and compute the same on this device. `workers` is the number of decoding processes of each actor.

    Raises `SegError`.
    """
    with connection.connect(address, on_note) as ray:
        device, found = nodes.find_nodes(ray, device)
        resources = plan_actors(found, device, workers)
        facts = nodes.ask_nodes(ray, found, device, root, record)
        nodes.check_nodes(facts, device, root, record)
        yield RayEngine(ray, device, resources, facts)


def plan_actors(found: Sequence[Node], device: str, workers: int | None) -> ActorResources:
    """An actor for each GPU, and others that decode on the CPUs; or actors that do both on a CPU each.

    `workers` is the number of CPUs, and of decoding processes, of an actor that decodes. One CPU is left to each GPU.
    """
    cpus = workers or 1
    if device == "cuda":
        decoders = sum(max(0, node.cpus - node.gpus) // cpus for node in found)
        actors = ActorResources(cpus, 1, sum(node.gpus for node in found), decoders)
        if not decoders:  # no CPU to spare
            actors = ActorResources(1, 1, sum(min(node.cpus, node.gpus) for node in found))
    else:
        actors = ActorResources(cpus, 0, sum(node.cpus // cpus for node in found))
    if not actors.fitting:
        raise UsageError(f"No node of the cluster has the {cpus} CPUs that `workers` asks for: take fewer.")
    return actors


class RayEngine:
    """See `compute.engine.Engine`."""

    def __init__(self, ray: Any, device: str, resources: ActorResources, facts: Mapping[str, NodeFacts]) -> None:
        self._ray, self._device, self._resources, self._facts = ray, device, resources, facts

    def resolve_device(self, device: str) -> str:
        return self._device

    def fastest_precision(self, device: str) -> str:
        return nodes.fastest_precision(self._facts, self._device)

    @contextlib.contextmanager
    def start_worker(
        self, job: Job, photos: int, computed_ids: Set[str], on_note: OnNote | None = None
    ) -> Iterator["RayPool"]:
        yield RayPool(self._ray, replace(job, workers=self._resources.cpus), self._resources, on_note)


class RayPool:
    """See `compute.engine.Worker`."""

    def __init__(self, ray: Any, job: Job, resources: ActorResources, on_note: OnNote | None) -> None:
        self._ray, self._job, self._resources, self._on_note = ray, job, resources, on_note
        self.device = job.settings.device
        self.ready_at: float | None = None

    def wait_until_ready(self) -> None:
        """Actors start with the first photos."""

    def stream(self, photos: Iterable[Photo], keep: Keep) -> None:
        remaining = iter(photos)
        while piece := list(islice(remaining, PHOTOS_PER_DATASET)):
            answered = 0
            for answer in self._compute(piece):
                self._note_first(answer)
                for result in answer.results:
                    keep(result)
                answered += len(answer.results)
            if answered != len(piece):
                raise SegError(f"The cluster answered for {answered:,} of {len(piece):,} photos: run again.")

    def _compute(self, photos: Sequence[Photo]) -> Iterator[Answer]:
        """The answers to all tasks, in any order. Raises `SegError` if a worker does."""
        size = max(1, min(PHOTOS_PER_TASK, len(photos) // (2 * self._resources.fitting)))
        tasks = [{"photos": pickle.dumps(photos[at : at + size])} for at in range(0, len(photos), size)]
        assignment = self._ray.put(assign(self._job, photos[0]))
        try:
            for row in self._dataset(tasks, assignment).iter_rows():
                answer: Answer | SegError = pickle.loads(row["answer"])  # noqa: S301 - our own actors
                if isinstance(answer, SegError):
                    raise answer
                yield answer
        except self._ray.exceptions.RayError as error:
            raise SegError(f"The cluster could not compute: {say_shortly(str(error))}") from error

    def _dataset(self, tasks: list[dict[str, bytes]], assignment: Any) -> Any:
        from ray import data

        context = data.DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        resources, decodes_before = self._resources, self._resources.decoders > 0

        def pool(actors: int) -> Any:
            return data.ActorPoolStrategy(
                min_size=1,
                max_size=len(tasks),
                initial_size=min(actors, len(tasks)),
                max_tasks_in_flight_per_actor=2,
            )

        dataset: Any = data.from_items(tasks, override_num_blocks=len(tasks))
        if decodes_before:
            dataset = dataset.map_batches(
                PhotoDecoder,
                fn_constructor_args=(assignment,),
                batch_size=None,
                num_cpus=resources.cpus,
                compute=pool(resources.decoders),
            )
        return dataset.map_batches(
            PhotoComputer,
            fn_constructor_args=(assignment, attempts.start(self._ray), decodes_before),
            batch_size=None,
            num_cpus=0 if decodes_before else resources.cpus,  # else decoders might leave it no CPU
            num_gpus=resources.gpus,
            compute=pool(resources.fitting),
        )

    def _note_first(self, answer: Answer) -> None:
        if self.ready_at is None:
            self.ready_at = time.monotonic() - answer.seconds
            if self._on_note is not None:
                for sentence in answer.notes:
                    self._on_note(sentence)
