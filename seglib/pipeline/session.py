"""Execute a planned run: decode images, predict the missing masks and store the results.

Output: rows, masks and thumbnails in the store, and a `RunReport`. Decoding overlaps with inference, and several
batches are processed concurrently, from the forward pass to the written mask; memory is bounded regardless of the
number of images. Nothing is computed twice: images are identified by content, files by size and mtime.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from seglib.data.decode_pool import Decoders, Outcome, default_count
from seglib.errors import BadImage, StoreError
from seglib.inference import config, predictor, thread_pool
from seglib.inference.config import Settings
from seglib.inference.thread_pool import Lanes
from seglib.maintenance import compact
from seglib.maintenance.verify import thumbnail_is_sound
from seglib.masks import statistics
from seglib.models.registry import ModelSpec
from seglib.pipeline.batching import Batch, Batches
from seglib.pipeline.planning import Record, Work, scanned
from seglib.store.records import Dataset, Run, now
from seglib.store.store import Store
from seglib.store.writer import Writer

BATCH_ON_CPU, BATCH_ON_GPU = 4, 16
"""Default images per forward pass; several forward passes run concurrently (`Lanes`)."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Execution options of a run; none of them changes a mask."""

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
    """Read every file again even if its size and mtime are unchanged, and check every mask."""


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


@dataclass
class Progress:
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


OnProgress = Callable[[Progress], None]


# --- what is there to do? ----------------------------------------------------------------------------------------


# --- doing it ----------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class _Session:
    """State of one invocation: decoding processes, threads that predict and store, and the counts."""

    store: Store
    data_set: Dataset
    run: Run
    spec: ModelSpec
    settings: Settings
    options: RunOptions
    scan: int
    work: Work
    vanished: int

    def __post_init__(self) -> None:
        self._writer = Writer(self.store, self.data_set, self.run, self.scan)
        self._progress = Progress(
            total=self.work.total,
            run=self.run.run,
            precision=self.settings.precision,
            reused=self.work.reused,
            failed=self.work.failed,
        )
        self._on_progress: OnProgress | None = None
        self._taken = set(self.work.computed_ids)  # ids that are computed or in progress
        self._on_the_way: set[str] = set()
        self._twins: list[tuple[Record, str, int, int]] = []  # duplicates, kept back until the first copy is stored
        self._counting = Lock()

    def execute(self, on_progress: OnProgress | None) -> RunReport:
        self._on_progress = on_progress
        self._count()
        started, device, seconds = now(), None, 0.0
        if self.work.first or self.work.repeats:
            count = self.options.workers if self.options.workers is not None else default_count()
            count = min(count, -(-len(self.work.first) // 2))  # starting a process costs more than decoding two images
            with Decoders(count, self.spec.sees(self.settings.resize)) as decoders:
                predictor.warm_up(self.spec, self.settings)
                device = config.device_of(self.settings)
                decoders.wait_until_up()
                begun = time.monotonic()
                try:
                    with Lanes(thread_pool.default_count(device)) as several:
                        size = BATCH_ON_GPU if device == "cuda" else BATCH_ON_CPU
                        self._work_through(decoders, several, self.options.batch_size or size)
                finally:  # also on interruption: keep what was computed
                    self._keep_twins()
                    self._writer.commit()
                    seconds = self._writer.committed_at - begun
                    self._record(started, device, seconds)
        self._tidy()
        return self._report(device, seconds)

    def _work_through(self, decoders: Decoders, several: Lanes, batch_size: int) -> None:
        batches = Batches(batch_size, self.settings.resize)
        for record, outcome in self._decoded(decoders):
            if isinstance(outcome, BadImage):
                self._keep_failure(record, outcome)
            elif outcome.image_id in self._taken:
                if outcome.thumbnail and not self._has_thumbnail(outcome.image_id):
                    self._writer.add_thumbnail(outcome.image_id, outcome.thumbnail)
                self._twins.append((record, outcome.image_id, outcome.width, outcome.height))
                self._keep_twins()
            else:
                self._taken.add(outcome.image_id)
                self._on_the_way.add(outcome.image_id)
                if (full := batches.add(record, outcome)) is not None:
                    several.submit(self._compute, full)
                    self._keep_twins()
        for rest in batches.rest():
            several.submit(self._compute, rest)
        several.wait()

    def _decoded(self, decoders: Decoders) -> Iterator[tuple[Record, Outcome]]:
        folder = self.data_set.root
        yield from decoders.decode((r, folder / r["path"], self._wants_thumbnail(r)) for r in self.work.first)
        still_open = []
        for record in self.work.repeats:
            if record["image_id"] in self._taken:
                self._count(reused=1)
            else:  # the first copy could not be read this time
                still_open.append(record)
        yield from decoders.decode((r, folder / r["path"], True) for r in still_open)

    def _wants_thumbnail(self, record: Record) -> bool:
        return record["image_id"] is None or not self._has_thumbnail(record["image_id"])

    def _has_thumbnail(self, image_id: str) -> bool:
        path = self.store.thumbnail_path(image_id)
        return thumbnail_is_sound(path) if self.options.verify else path.exists()

    # Runs in worker threads; the writer and the counts are thread-safe.

    def _compute(self, batch: Batch) -> None:
        images = np.stack([photo.image for _, photo in batch.photos])  # (B, H, W, 3)
        masks, measures = predictor.predict_batch(images, self.spec, self.settings, batch.grid_wh)
        for (record, photo), mask, measure in zip(batch.photos, masks, measures, strict=True):
            row = statistics.row(mask, self.spec.classes, measure)
            self._writer.add_result(photo.image_id, row, mask, photo.thumbnail)
            self._keep_file(record, photo.image_id, photo.width, photo.height)
            self._on_the_way.discard(photo.image_id)
            self._count(computed=1)

    def _keep_twins(self) -> None:
        """Store the duplicates whose image is computed: a file's row must not precede the result it refers to."""
        waiting = []
        for twin in self._twins:
            if twin[1] in self._on_the_way:
                waiting.append(twin)
            else:
                self._keep_file(*twin)
                self._count(reused=1)
        self._twins = waiting

    def _keep_failure(self, record: Record, error: BadImage) -> None:
        self._writer.add_file(scanned(record), reason=error.reason, detail=error.detail)
        self._count(failed=1)

    def _keep_file(self, record: Record, image_id: str, width: int, height: int) -> None:
        if record["image_id"] != image_id:  # new or changed; otherwise the stored row is still correct
            self._writer.add_file(scanned(record), image_id=image_id, width=width, height=height)

    def _count(self, *, computed: int = 0, reused: int = 0, failed: int = 0) -> None:
        with self._counting:
            self._progress.computed += computed
            self._progress.reused += reused
            self._progress.failed += failed
            if self._on_progress is not None:
                self._on_progress(self._progress)

    def _record(self, started: str, device: str | None, seconds: float) -> None:
        counts = {name: getattr(self._progress, name) for name in ("computed", "reused", "failed")}
        about = {"started": started, "dataset": self.data_set.id, "device": device, "seconds": round(seconds, 3)}
        self.store.record_invocation(self.run, about | counts)

    def _tidy(self) -> None:
        try:
            compact.merge_parts(self.store, wait_seconds=1)
        except StoreError:
            return  # another process holds the lock, or a part is damaged: neither affects this run

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
        )
