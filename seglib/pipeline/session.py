"""Execute a planned run: decode images, predict the missing masks and store the results.

Output: rows, masks and thumbnails in the store, and a `RunReport`. Decoding overlaps with inference, and several
batches are processed concurrently, from the forward pass to the written mask; memory is bounded regardless of the
number of images. Nothing is computed twice: images are identified by content, files by size and mtime.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from seglib.data.decode_pool import DecodePool, Outcome
from seglib.data.image import DecodedImage, Extras
from seglib.data.left_out import LeftOut
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.errors import BadImage, UsageError
from seglib.fileio.parallel import default_worker_count
from seglib.inference import config, pooling, predictor, thread_pool
from seglib.inference.config import InferenceConfig
from seglib.inference.pooling import PooledFeatures
from seglib.inference.thread_pool import BatchThreadPool
from seglib.maintenance import compact, cost_record
from seglib.maintenance.verify import is_thumbnail_intact
from seglib.masks import statistics
from seglib.models.registry import ModelSpec
from seglib.pipeline.batching import Batcher, ImageBatch
from seglib.pipeline.labelling import LABEL_SOURCES
from seglib.pipeline.planning import Record, RunPlan, select_scan_fields
from seglib.progress import OnNote
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset, Run, utc_now
from seglib.store.store import Store
from seglib.store.writer import RunWriter

if TYPE_CHECKING:
    from torch import Tensor

BATCH_ON_CPU, BATCH_ON_GPU = 4, 16
"""Default images per forward pass; several forward passes run concurrently (`BatchThreadPool`)."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Execution options of a run; none of them changes a mask. Raises `UsageError` for an unknown `label_from`."""

    device: str = "auto"
    batch_size: int | None = None
    """Images per forward pass; by default 4 on a CPU and 16 on a GPU."""
    workers: int | None = None
    """Number of decoding processes; by default one per core, at most 8. 0 decodes in this process."""
    limit: int | None = None
    names: tuple[str, ...] | None = None
    """Relative paths or stems; if given, only these are computed."""
    title: str | None = None
    follow_links: bool = False
    verify: bool = False
    """Read every file again even if its size and mtime are unchanged, and check every mask and embedding."""
    embeddings: bool = True
    """Keep an embedding of each image, from the same forward pass; only for models whose features are known."""
    label_from: str | None = None
    """Label images by their "folder" or by what the file's "name" begins with; by default as the dataset was before,
    at first by folder.
    """
    gps: GpsPrecision | None = None
    """How precisely the positions in EXIF are kept; by default as the last time in this store, at first rounded."""
    label_map: Mapping[str, str] | None = None
    """Label -> the class that it names, `""` for none; kept in the store. By default a label names the class that is
    called like it.
    """

    def __post_init__(self) -> None:
        if self.label_from not in (None, *LABEL_SOURCES):
            raise UsageError(f"`label_from` is {' or '.join(LABEL_SOURCES)}, not {self.label_from!r}.")


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """Result of one invocation, in files of this scan: `images == computed + reused + failed`."""

    run: str
    model: str
    images: int
    computed: int
    reused: int
    failed: int
    seconds: float
    """Time from first decode to last committed part, excluding worker startup and model loading."""
    images_per_second: float
    """computed / seconds; 0 if nothing was computed."""
    device: str | None = None
    """None if no model was needed."""
    precision: str = "fp32"
    vanished: int = 0
    left_out: LeftOut = field(default_factory=LeftOut)
    """Files of other kinds and links in the folder that the scan left out."""


@dataclass
class RunProgress:
    """Counts so far, passed to `on_progress` after each image."""

    total: int
    run: str = ""
    precision: str = ""
    computed: int = 0
    reused: int = 0
    failed: int = 0

    @property
    def title(self) -> str:
        return f"{self.run} {self.precision}"

    @property
    def done(self) -> int:
        return self.computed + self.reused + self.failed


OnProgress = Callable[[RunProgress], None]


@dataclass(kw_only=True)
class _Session:
    """State of one invocation: decoding processes, threads that predict and store, and the counts."""

    store: Store
    data_set: Dataset
    run: Run
    spec: ModelSpec
    settings: InferenceConfig
    options: RunOptions
    scan: int
    plan: RunPlan
    vanished: int
    left_out: LeftOut
    on_note: OnNote | None

    def __post_init__(self) -> None:
        self._writer = RunWriter(self.store, self.data_set, self.run, self.scan)
        self._progress = RunProgress(
            total=self.plan.total,
            run=self.run.run,
            precision=self.settings.precision,
            reused=self.plan.reused,
            failed=self.plan.failed,
        )
        self._gps = self.options.gps or photo_measures.newest_precision(self.store)
        known = {record["image_id"] for record in self.plan.to_decode if record["image_id"] is not None}
        self._measured = known - photo_measures.missing_ids(self.store, sorted(known)) if known else known
        self._on_progress: OnProgress | None = None
        self._handled_ids = set(self.plan.computed_ids)  # ids that are computed or in progress
        self._in_flight_ids: set[str] = set()
        self._duplicates: list[
            tuple[Record, str, int, int]
        ] = []  # duplicates, kept back until the first copy is stored
        self._progress_lock = Lock()

    def execute(self, on_progress: OnProgress | None) -> RunReport:
        self._on_progress = on_progress
        self._update_progress()
        started, device, seconds = utc_now(), None, 0.0
        if self.plan.to_decode or self.plan.repeats:
            count = self.options.workers if self.options.workers is not None else default_worker_count()
            count = min(
                count, -(-len(self.plan.to_decode) // 2)
            )  # starting a process costs more than decoding two images
            with DecodePool(count, self.spec.input_resize(self.settings.resize)) as decoders:
                notes = predictor.warm_up(self.spec, self.settings)
                cost_record.count_once(self.store, self.run, self.spec, self.settings)
                if self.on_note is not None:
                    for sentence in notes:
                        self.on_note(sentence)
                device = config.device_of(self.settings)
                decoders.wait_until_ready()
                started_at = time.monotonic()
                try:
                    with BatchThreadPool(thread_pool.default_thread_count(device)) as pool:
                        size = BATCH_ON_GPU if device == "cuda" else BATCH_ON_CPU
                        self._process_images(decoders, pool, self.options.batch_size or size)
                finally:  # also on interruption: keep what was computed
                    self._record_duplicates()
                    self._writer.commit()
                    seconds = self._writer.committed_at - started_at
                    self._record(started, device, seconds)
        compact.try_merge_parts(self.store)
        return self._report(device, seconds)

    def _process_images(self, decoders: DecodePool, pool: BatchThreadPool, batch_size: int) -> None:
        batches = Batcher(batch_size, self.settings.resize)
        for record, outcome in self._decode(decoders):
            if isinstance(outcome, BadImage):
                self._keep_failure(record, outcome)
                continue
            self._keep_measures(outcome)
            if outcome.image_id in self._handled_ids:
                if outcome.thumbnail and not self._has_thumbnail(outcome.image_id):
                    self._writer.add_thumbnail(outcome.image_id, outcome.thumbnail)
                self._duplicates.append((record, outcome.image_id, outcome.width, outcome.height))
                self._record_duplicates()
            else:
                self._handled_ids.add(outcome.image_id)
                self._in_flight_ids.add(outcome.image_id)
                if (full := batches.add(record, outcome)) is not None:
                    pool.submit(self._compute, full)
                    self._record_duplicates()
        for rest in batches.remaining():
            pool.submit(self._compute, rest)
        pool.wait()

    def _decode(self, decoders: DecodePool) -> Iterator[tuple[Record, Outcome]]:
        folder = self.data_set.root
        yield from decoders.decode((r, folder / r["path"], self._extras(r)) for r in self.plan.to_decode)
        still_open = []
        for record in self.plan.repeats:
            if record["image_id"] in self._handled_ids:
                self._update_progress(reused=1)
            else:  # the first copy could not be read this time
                still_open.append(record)
        yield from decoders.decode((r, folder / r["path"], self._extras(r)) for r in still_open)

    def _extras(self, record: Record) -> Extras:
        image_id = record["image_id"]
        return Extras(
            thumbnail=image_id is None or not self._has_thumbnail(image_id),
            measures=None if image_id in self._measured else self._gps,
        )

    def _has_thumbnail(self, image_id: str) -> bool:
        path = self.store.thumbnail_path(image_id)
        return is_thumbnail_intact(path) if self.options.verify else path.exists()

    def _keep_measures(self, photo: DecodedImage) -> None:
        if photo.measures is not None and photo.image_id not in self._measured:
            self._measured.add(photo.image_id)
            self._writer.add_measures(photo.image_id, photo.measures)

    # Runs in worker threads; the writer and the counts are thread-safe.

    def _compute(self, batch: ImageBatch) -> None:
        images = np.stack([photo.image for _, photo in batch.items])  # (B, H, W, 3)
        features: list[Tensor] = []
        asked = (features,) if self.options.embeddings else ()
        masks, measures = predictor.predict_batch(images, self.spec, self.settings, batch.grid_wh, *asked)
        classes = self.spec.classes
        rows = [statistics.stats_row(mask, classes, one) for mask, one in zip(masks, measures, strict=True)]
        pooled: Sequence[PooledFeatures | None] = [None] * len(rows)
        if features:
            pooled = pooling.pool_dominant(features, masks, [str(row["dominant"]) for row in rows], classes)
        for (record, photo), mask, row, embedding in zip(batch.items, masks, rows, pooled, strict=True):
            self._writer.add_result(photo.image_id, row, mask, photo.thumbnail, embedding)
            self._keep_file(record, photo.image_id, photo.width, photo.height)
            self._in_flight_ids.discard(photo.image_id)
            self._update_progress(computed=1)

    def _record_duplicates(self) -> None:
        """Store the duplicates whose image is computed: a file's row must not precede the result it refers to."""
        waiting = []
        for duplicate in self._duplicates:
            if duplicate[1] in self._in_flight_ids:
                waiting.append(duplicate)
            else:
                self._keep_file(*duplicate)
                self._update_progress(reused=1)
        self._duplicates = waiting

    def _keep_failure(self, record: Record, error: BadImage) -> None:
        self._writer.add_file(select_scan_fields(record), reason=error.reason, detail=error.detail)
        self._update_progress(failed=1)

    def _keep_file(self, record: Record, image_id: str, width: int, height: int) -> None:
        if record["image_id"] != image_id:  # new or changed; otherwise the stored row is still correct
            self._writer.add_file(select_scan_fields(record), image_id=image_id, width=width, height=height)

    def _update_progress(self, *, computed: int = 0, reused: int = 0, failed: int = 0) -> None:
        with self._progress_lock:
            self._progress.computed += computed
            self._progress.reused += reused
            self._progress.failed += failed
            if self._on_progress is not None:
                self._on_progress(self._progress)

    def _record(self, started: str, device: str | None, seconds: float) -> None:
        counts = {name: getattr(self._progress, name) for name in ("computed", "reused", "failed")}
        invocation = {"started": started, "dataset": self.data_set.id, "device": device, "seconds": round(seconds, 3)}
        self.store.record_invocation(self.run, invocation | counts)

    def _report(self, device: str | None, seconds: float) -> RunReport:
        progress = self._progress
        return RunReport(
            run=self.run.run,
            model=self.run.model,
            images=progress.total,
            computed=progress.computed,
            reused=progress.reused,
            failed=progress.failed,
            seconds=round(seconds, 3),
            images_per_second=round(progress.computed / seconds, 2) if seconds > 0 else 0.0,
            device=device,
            precision=self.settings.precision,
            vanished=self.vanished,
            left_out=self.left_out,
        )
