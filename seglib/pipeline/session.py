"""Execute a planned run: compute what the store lacks, and keep the results.

Output: rows, masks and thumbnails in the store, and a `RunReport`. Photos are computed by `seglib.compute`, and each
result is written by a `ResultWriter` in the thread that computed it. Nothing is computed twice: images are identified
by content, files by size and mtime.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from seglib.cluster.address import parse_address
from seglib.compute.engine import Engine, Worker
from seglib.compute.task import Job, Photo
from seglib.data.left_out import LeftOut
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.scan import Part
from seglib.errors import UsageError
from seglib.inference.config import InferenceConfig
from seglib.maintenance import compact, cost_record
from seglib.models.registry import ModelSpec
from seglib.pipeline.labelling import LABEL_SOURCES
from seglib.pipeline.planning import RunPlan
from seglib.pipeline.report import RunReport
from seglib.pipeline.result_writer import OnProgress, ResultWriter, RunProgress
from seglib.progress import OnNote
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.records import Dataset, Run, utc_now
from seglib.store.store import Store
from seglib.store.writer import RunWriter


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Execution options of a run; none of them changes a mask. Raises `UsageError` for an unknown `label_from`, an
    invalid `part` or `on`, or what contradicts `on`.
    """

    device: str = "auto"
    batch_size: int | None = None
    """Images per forward pass; by default 4 on a CPU and 16 on a GPU."""
    workers: int | None = None
    """Number of decoding processes; by default one per core, at most 8. 0 decodes in this process."""
    limit: int | None = None
    names: tuple[str, ...] | None = None
    """Relative paths or stems; if given, only these are computed."""
    part: tuple[int, int] | None = None
    """(I, N): compute only the I-th of N parts of the photos, as another process computes each other one, at the same
    time or later, with the same store. Together they give the run that one call would have given.
    """
    on: str | None = None
    """Compute on a Ray cluster instead of this machine: `ray`, or `ray://HOST:PORT`; see `docs/scale.md`. `workers` is
    then the number of decoding processes, and of CPUs, of each of the cluster's workers.
    """
    title: str | None = None
    follow_links: bool = False
    listing: Path | None = None
    """Parquet inventory of a bucket, with its keys, sizes and ETags, in place of asking for its keys."""
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
        if self.part is not None:
            Part.check(self.part)
        if self.on is not None:
            parse_address(self.on)
            if self.part is not None:
                raise UsageError("A cluster divides the photos itself: leave out `part`, or `on`.")
            if self.workers == 0:
                raise UsageError("Photos are decoded in processes of their own on a cluster: leave out `workers` 0.")


@dataclass(kw_only=True)
class _Session:
    """One invocation of a run."""

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
    engine: Engine
    on_note: OnNote | None

    def execute(self, on_progress: OnProgress | None) -> RunReport:
        progress = RunProgress(
            total=self.plan.total,
            run=self.run.run,
            precision=self.settings.precision,
            reused=self.plan.reused,
            failed=self.plan.failed,
        )
        if on_progress is not None:
            on_progress(progress)
        device, seconds = None, 0.0
        if self.plan.to_decode or self.plan.repeats:
            device, seconds = self._compute(progress, on_progress)
        compact.try_merge_parts(self.store)
        return self._report(progress, device, seconds)

    def _compute(self, progress: RunProgress, on_progress: OnProgress | None) -> tuple[str, float]:
        """Compute what is planned, and keep it. Returns the device, and the seconds that it took."""
        started, seconds = utc_now(), 0.0
        writer = RunWriter(self.store, self.data_set, self.run, self.scan)
        gps = self.options.gps or photo_measures.newest_precision(self.store)
        results = ResultWriter(
            self.store, writer, self.plan, progress, on_progress, gps=gps, verify=self.options.verify
        )
        photos = len(self.plan.to_decode)
        with self.engine.start_worker(self._job(), photos, self.plan.computed_ids, self.on_note) as worker:
            cost_record.count_once(self.store, self.run, self.spec, self.settings)
            worker.wait_until_ready()
            try:
                self._stream(worker, results)
            finally:  # also on interruption: keep what was computed
                writer.commit()
                if worker.ready_at is not None:
                    seconds = writer.committed_at - worker.ready_at
                self._record(progress, started, worker.device, seconds)
        return worker.device, seconds

    def _job(self) -> Job:
        return Job(
            root=self.data_set.root,
            model=self.spec,
            settings=self.settings,
            embeddings=self.options.embeddings,
            batch_size=self.options.batch_size,
            workers=self.options.workers,
        )

    def _stream(self, worker: Worker, results: ResultWriter) -> None:
        worker.stream((Photo(one, results.missing_extras(one)) for one in self.plan.to_decode), results.keep)
        still_open = []
        for record in self.plan.repeats:
            if results.is_stored(record["image_id"]):
                results.count(reused=1)
            else:  # the first copy could not be read this time
                still_open.append(record)
        if still_open:
            worker.stream((Photo(one, results.missing_extras(one)) for one in still_open), results.keep)

    def _record(self, progress: RunProgress, started: str, device: str, seconds: float) -> None:
        counts = {name: getattr(progress, name) for name in ("computed", "reused", "failed")}
        invocation = {"started": started, "dataset": self.data_set.id, "device": device, "seconds": round(seconds, 3)}
        part = {"part": "{}/{}".format(*self.options.part)} if self.options.part else {}
        self.store.record_invocation(self.run, invocation | counts | part)

    def _report(self, progress: RunProgress, device: str | None, seconds: float) -> RunReport:
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
            store=self.store,
        )
