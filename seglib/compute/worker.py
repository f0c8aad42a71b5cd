"""Compute photos: decode them in processes, predict batches in threads, and hand over each result at once.

    with start_worker(job, len(photos)) as worker:
        worker.wait_until_ready()
        worker.stream(photos, keep)        # or compute(task), which returns all results of a task

Decoding overlaps with inference, and several batches are processed concurrently, from the forward pass to what `keep`
does with its masks; memory is bounded regardless of the number of photos.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np

from seglib.compute.batching import Batcher, ImageBatch
from seglib.compute.task import ComputedMask, Job, Photo, PhotoFailure, PhotoResult, Result, Task
from seglib.data.decode_pool import DecodePool
from seglib.data.image import DecodedImage
from seglib.data.image_ids import ImageIds
from seglib.data.photo_root import open_photos
from seglib.data.scan import Record
from seglib.errors import BadImage
from seglib.fileio.parallel import default_worker_count
from seglib.inference import config, pooling, predictor, thread_pool
from seglib.inference.pooling import PooledFeatures
from seglib.inference.thread_pool import BatchThreadPool
from seglib.masks import png, statistics

if TYPE_CHECKING:
    from torch import Tensor

BATCH_ON_CPU, BATCH_ON_GPU = 4, 16
"""Default images per forward pass; several forward passes run concurrently (`BatchThreadPool`)."""

Keep = Callable[[Result], None]
"""Called once for each photo, from several threads at a time."""


def compute(task: Task) -> list[Result]:
    """The results of all photos of a task, in their order."""
    results: dict[str, Result] = {}

    def keep(result: Result) -> None:
        results[result.record["path"]] = result

    with start_worker(task.job, len(task.photos)) as worker:
        worker.wait_until_ready()
        worker.stream(task.photos, keep)
    return [results[photo.record["path"]] for photo in task.photos]


@contextlib.contextmanager
def start_worker(job: Job, photos: int, computed_ids: Set[str] = frozenset()) -> Iterator["ComputeWorker"]:
    """Start the decoding processes for this number of photos, and load the model meanwhile.

    Images of `computed_ids` get no mask. Raises `WeightsError` if the model cannot be loaded.
    """
    count = default_worker_count() if job.workers is None else job.workers
    count = min(count, -(-photos // 2))  # starting a process costs more than decoding two images
    with DecodePool(count, job.model.input_resize(job.settings.resize)) as decoders:
        yield ComputeWorker(job, decoders, computed_ids)


class ComputeWorker:
    """The loaded model and the decoding processes of one job, made by `start_worker`."""

    def __init__(self, job: Job, decoders: DecodePool, computed_ids: Set[str]) -> None:
        self._job, self._decoders, self._computed_ids = job, decoders, computed_ids
        self._predicted_ids = ImageIds()  # or about to be
        self.notes = predictor.warm_up(job.model, job.settings)
        """Sentences for the user about the model."""
        self.device = config.device_of(job.settings)
        self.ready_at: float | None = None
        """When `wait_until_ready` returned, on the clock of `time.monotonic`."""

    def wait_until_ready(self) -> None:
        """Wait until the decoding processes have started, so that this is not timed as decoding. Raises `SegError`."""
        self._decoders.wait_until_ready()
        self.ready_at = time.monotonic()

    def stream(self, photos: Iterable[Photo], keep: Keep) -> None:
        """Compute photos, which are taken from the iterable as they are decoded, and call `keep` with each result.

        See `stream_decoded`.
        """
        self.stream_decoded(self._decoders.decode(open_photos(self._job.root, photos)), keep)

    def stream_decoded(self, decoded: Iterable[tuple[Record, DecodedImage | BadImage]], keep: Keep) -> None:
        """Compute photos that are decoded already, or could not be, and call `keep` with each result.

        Photos with the same content are predicted once: `keep` gets the others without a mask, perhaps before the one
        with it. Raises what `keep` raises; whatever ends it, photos that are being predicted are finished and kept.
        """
        batches = Batcher(self._batch_size, self._job.settings.resize)
        with BatchThreadPool(thread_pool.default_thread_count(self.device)) as pool:
            for record, outcome in decoded:
                if isinstance(outcome, BadImage):
                    keep(PhotoFailure(record, outcome.reason, outcome.detail))
                elif outcome.image_id in self._computed_ids or outcome.image_id in self._predicted_ids:
                    keep(_describe(record, outcome, None))
                else:
                    self._predicted_ids.add(outcome.image_id)
                    if (full := batches.add(record, outcome)) is not None:
                        pool.submit(self._predict, full, keep)
            for rest in batches.remaining():
                pool.submit(self._predict, rest, keep)
            pool.wait()

    @property
    def _batch_size(self) -> int:
        return self._job.batch_size or (BATCH_ON_GPU if self.device == "cuda" else BATCH_ON_CPU)

    def _predict(self, batch: ImageBatch, keep: Keep) -> None:
        """In a thread of the pool."""
        model = self._job.model
        images = np.stack([photo.image for _, photo in batch.items])  # (B, H, W, 3)
        features: list[Tensor] = []
        asked = (features,) if self._job.embeddings else ()
        masks, measures = predictor.predict_batch(images, model, self._job.settings, batch.grid_wh, *asked)
        rows = [statistics.stats_row(mask, model.classes, one) for mask, one in zip(masks, measures, strict=True)]
        pooled: Sequence[PooledFeatures | None] = [None] * len(rows)
        if features:
            pooled = pooling.pool_dominant(features, masks, [str(row["dominant"]) for row in rows], model.classes)
        for (record, photo), mask, row, embedding in zip(batch.items, masks, rows, pooled, strict=True):
            keep(_describe(record, photo, ComputedMask(png.encode_index_png(mask), row, embedding)))


def _describe(record: Record, photo: DecodedImage, mask: ComputedMask | None) -> PhotoResult:
    return PhotoResult(record, photo.image_id, photo.width, photo.height, photo.thumbnail, photo.measures, mask)
