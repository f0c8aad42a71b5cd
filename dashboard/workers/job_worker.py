"""Entry point of a job's worker process: `main(folder)`, started only by `jobs`.

Reads `request.json` from the job's folder and the server's settings from the environment. Writes the results to the
store, and `state.json` next to the request at least every `HEARTBEAT_SECONDS`. SIGTERM ends it cleanly.
"""

import json
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from dashboard.formatting import user_message
from dashboard.offers import mask_sources, models, photo_folders
from dashboard.settings import ServerSettings
from dashboard.workers import jobs, similarity
from dashboard.workers.jobs import HEARTBEAT_SECONDS, Job, Jobs
from dashboard.workers.requests import (
    CalibrateRequest,
    CompareRequest,
    EvaluateRequest,
    JudgeRequest,
    PrepareRequest,
    RunRequest,
    SimilarityRequest,
    SuspectsRequest,
    to_record,
)
from seglib.adapters.lookup import find_requested
from seglib.annotations.reader import Masks, open_masks
from seglib.data.resize import Resize
from seglib.errors import SegError, Terminated, UsageError, WeightsError
from seglib.evaluation import comparison, truth_counting
from seglib.evaluation.mistakes import suspects
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.pipeline.result_writer import RunProgress
from seglib.pipeline.run import run as run_pipeline
from seglib.pipeline.session import RunOptions
from seglib.progress import OnProgress, Progress
from seglib.query.prepared.building import prepare
from seglib.store import ground_truth
from seglib.store.store import Store

MAX_REASONS = 3
"""Number of masks left out whose reasons a job's result keeps."""

_TICK_SECONDS = 0.5
_NICENESS = 5


def main(folder: Path) -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in the CLI: keep torch's threads from spinning
    if hasattr(os, "nice"):
        os.nice(_NICENESS)  # pages have priority
    _stop_on_sigterm()
    with JobStateWriter(folder) as writer:
        try:
            job = jobs.read_job(folder)
            if job is None or job.stopping_seconds is not None:
                raise Terminated
            write_log(f"asked for {json.dumps(to_record(job.request))}")
            writer.update(state="waiting")
            _wait_for_turn(job, ServerSettings.read())
            writer.update(state="running")
            writer.finish(**run_job(job, ServerSettings.read(), writer))
        except KeyboardInterrupt:  # SIGTERM too
            writer.finish(state="cancelled")
        except SegError as error:
            writer.finish(state="failed", sentence=user_message(str(error)))
        except OSError as error:
            writer.finish(state="failed", sentence=f"The system refused: {error.strerror or type(error).__name__}.")
        except Exception as error:  # torch may raise anything; details go to the log
            traceback.print_exc()
            error_name = type(error).__name__
            writer.finish(
                state="failed", sentence=f"An error inside ({error_name}): the job's log in the store says more."
            )


@dataclass(frozen=True, kw_only=True)
class JobProgress:
    """Progress of a job, in photos or in masks (each photo counts once per run)."""

    total: int
    computed: int = 0
    reused: int = 0
    failed: int = 0
    run: str = ""
    precision: str = ""

    @property
    def done(self) -> int:
        return self.computed + self.reused + self.failed


def run_job(job: Job, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    """Do the job's work and return its outcome as fields of `Job`."""
    return HANDLERS[job.request.kind](job.request, settings, writer)


def run_model(request: RunRequest, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    """Resolve the ids of the folder and the model here rather than trust a path in the request."""
    folder = photo_folders.get_folder(photo_folders.find_roots(settings), request.folder)
    report = run_pipeline(
        folder.path,
        Store.create(settings.store),
        _find_model(request, settings),
        resize=Resize(request.resize) if request.resize else None,
        precision=request.precision,
        options=RunOptions(limit=request.limit, verify=request.verify),
        on_progress=lambda progress: writer.set_progress(_from_run_progress(progress)),
        on_note=lambda note: writer.update(note=user_message(note)),
    )
    names = ("run", "computed", "reused", "failed", "precision", "seconds", "images_per_second")
    result = {name: getattr(report, name) for name in names} | {"total": report.images, "device": report.device or ""}
    if report.failed == report.images:
        return result | {"state": "failed", "sentence": f"None of the {report.images} photos can be read."}
    return result | {"state": "finished"}


def _find_model(request: RunRequest, settings: ServerSettings) -> ModelSpec:
    """The model that a request names. Raises `WeightsError` if it is to continue a run that other weights have made."""
    spec = find_requested(models.get_model(settings, request.model).request)
    if request.model.startswith(models.RUN_PREFIX):
        run = Store(settings.store).run(request.model.removeprefix(models.RUN_PREFIX))
        if loading.weights_sha256(spec) != run.weights_sha256:
            raise WeightsError(
                f"The weights of {run.display_title} are not those that made {run.run}: "
                "choose the model in the form to make a run of its own."
            )
    return spec


def compare_runs(request: CompareRequest, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    report = comparison.update_counts(Store(settings.store), request.runs, on_progress=progress_callback(writer))
    result = {name: getattr(report, name) for name in ("computed", "reused", "seconds")}
    result |= {"total": report.images, "failed": len(report.failed)}
    if not report.images:
        return result | {"state": "failed", "sentence": "There is no photo that all of these runs have computed."}
    return result | {"state": "finished"}


def measure_masks(request: SuspectsRequest, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    store = Store(settings.store)
    for run in request.runs:
        suspects.update_oddities(store, store.run(run), on_progress=progress_callback(writer))
    return {"state": "finished"}  # the counts are those last reported


def evaluate_runs(request: EvaluateRequest, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    """Resolve the id of the masks here rather than trust a path in the request."""
    if isinstance(request, CalibrateRequest):
        request.check(settings)
    source = mask_sources.get_mask_source(photo_folders.find_mask_roots(settings), request.folder)
    masks = open_masks(source.path, request.options)
    _check_truth(request, masks)
    report = truth_counting.update_counts(
        Store(settings.store),
        masks,
        request.runs,
        calibration=request.kind == CalibrateRequest.kind,
        label_quality=isinstance(request, JudgeRequest),
        on_progress=progress_callback(writer),
    )
    reasons = [user_message(reason) for reason in report.left_out.values()]
    result = {"left_out": len(reasons), "left_out_reasons": reasons[:MAX_REASONS]}
    if not len(report.files):
        sentence = "No photo could be evaluated: its masks are missing or damaged."
        return result | {"state": "failed", "sentence": sentence}
    return result | {"state": "finished", "seconds": report.seconds}  # the counts are those last reported


def _check_truth(request: EvaluateRequest, masks: Masks) -> None:
    """Raise `UsageError` if the masks are no longer read as the ground truth that is to be calibrated against."""
    expected = request.truth if isinstance(request, CalibrateRequest) else ""
    found = ground_truth.compute_truth_id(masks.source, masks.format, masks.classes, masks.reading_options)
    if expected not in ("", found):
        raise UsageError(
            f"The masks in {request.title!r} are now read in another way than when this ground truth was made: "
            "evaluate against them again first."
        )


def compute_similarity(
    request: SimilarityRequest, settings: ServerSettings, writer: "JobStateWriter"
) -> dict[str, Any]:
    if request.task in similarity.PROJECTIONS:
        writer.update(note="Computing the map, which says nothing of its progress")
    photos = similarity.compute(
        Store(settings.store),
        request.task,
        request.run,
        source=request.source,
        kind=request.vectors,
        on_share=lambda done, total: writer.set_progress(JobProgress(total=total, computed=done)),
    )
    return {"state": "finished", "total": photos, "computed": photos}


def prepare_table(request: PrepareRequest, settings: ServerSettings, writer: "JobStateWriter") -> dict[str, Any]:
    store = Store(settings.store)
    report = prepare(
        store,
        store.run(request.run),
        lambda progress: writer.set_progress(JobProgress(total=progress.total, computed=progress.done)),
    )
    return {"state": "finished", "total": report.rows, "computed": report.rows}


HANDLERS: dict[str, Callable[[Any, ServerSettings, "JobStateWriter"], dict[str, Any]]] = {
    RunRequest.kind: run_model,
    CompareRequest.kind: compare_runs,
    SuspectsRequest.kind: measure_masks,
    EvaluateRequest.kind: evaluate_runs,
    CalibrateRequest.kind: evaluate_runs,
    JudgeRequest.kind: evaluate_runs,
    SimilarityRequest.kind: compute_similarity,
    PrepareRequest.kind: prepare_table,
}
"""Kind of request -> function that does the work."""


def progress_callback(writer: "JobStateWriter") -> OnProgress:
    """Return an `on_progress` for mask counting; whatever is done at the first call counts as reused."""
    before: list[int] = []

    def count(progress: Progress) -> None:
        if not before:
            before.append(progress.done)
        new = progress.done - before[0]
        writer.set_progress(
            JobProgress(
                total=progress.total,
                reused=before[0],
                computed=new - progress.failed,
                failed=progress.failed,
            )
        )

    return count


def _from_run_progress(progress: RunProgress) -> JobProgress:
    return JobProgress(**{f.name: getattr(progress, f.name) for f in fields(JobProgress)})


class Throughput:
    """Photos per second over the last `WINDOW_SECONDS`, excluding the model's start-up before the first photo.

    Call `add` at a steady rate: photos finish a batch at a time, so two of one batch have no time between them.
    """

    WINDOW_SECONDS = 20.0

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._done: int | None = None

    def add(self, now: float, done: int) -> None:
        if self._done is not None and done > self._done:
            self._samples.append((now, done))
        self._done = done
        while len(self._samples) > 2 and now - self._samples[1][0] > self.WINDOW_SECONDS:
            self._samples.popleft()

    def per_second(self) -> float | None:
        """Return the rate; None until it is known."""
        if len(self._samples) < 2:
            return None
        (then, before), (now, done) = self._samples[0], self._samples[-1]
        return (done - before) / (now - then)


class JobStateWriter:
    """Writes the job's state from a background thread; ends the process if the job's folder is removed, or a server,
    perhaps on another machine, asks the job to stop.
    """

    def __init__(self, folder: Path) -> None:
        self._file, self._stop_file = folder / "state.json", folder / "stop"
        self._state: dict[str, Any] = {"state": "starting"}
        self._progress: JobProgress | None = None
        self._throughput = Throughput()
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._ticker = threading.Thread(target=self._write_regularly, daemon=True)

    def __enter__(self) -> "JobStateWriter":
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        self._ticker.join()

    def update(self, **changes: Any) -> None:
        if {"state", "note"} & set(changes):
            write_log(_describe_change(changes))
        with self._lock:
            self._state |= changes
            self._write()

    def set_progress(self, progress: JobProgress) -> None:
        """Record the progress without writing it, since this is called for each photo."""
        if self._progress is None:
            self._throughput.add(time.monotonic(), progress.done)
        self._progress = progress

    def finish(self, **changes: Any) -> None:
        """Write the final state."""
        self._finished.set()
        self._ticker.join()
        self.update(**self._counts() | {"seconds_left": None} | changes)

    def _write_regularly(self) -> None:
        written, last = 0.0, None
        while not self._finished.wait(_TICK_SECONDS):
            if self._stop_file.exists():
                os.kill(os.getpid(), signal.SIGTERM)
            if self._progress is not None:
                self._throughput.add(time.monotonic(), self._progress.done)
            counts = self._counts()
            if counts != last or time.monotonic() - written > HEARTBEAT_SECONDS:
                written, last = time.monotonic(), counts
                self.update(**counts)

    def _counts(self) -> dict[str, Any]:
        progress = self._progress
        if progress is None:
            return {}
        speed = self._throughput.per_second()
        left = (progress.total - progress.done) / speed if speed else None
        return asdict(progress) | {"images_per_second": speed, "seconds_left": left}

    def _write(self) -> None:
        try:
            jobs.write_json(self._file, self._state)
        except FileNotFoundError:  # the job or the whole store was removed
            if not self._finished.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
        except OSError:
            traceback.print_exc()  # a full disk ends the run itself


def write_log(text: str) -> None:
    """Print a line of the job's log: the time, and one sentence."""
    print(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {' '.join(text.split())}", flush=True)


def _describe_change(changes: Mapping[str, Any]) -> str:
    """`finished: 500 photos or masks, 20 computed, 480 known, 0 failed`, or why it failed, or a note."""
    parts = [str(changes[name]) for name in ("state", "sentence", "note") if changes.get(name)]
    if changes.get("total"):
        counts = {"photos or masks": "total", "computed": "computed", "known": "reused", "failed": "failed"}
        parts.append(", ".join(f"{changes.get(name, 0)} {word}" for word, name in counts.items()))
    return ": ".join(parts)


def _wait_for_turn(job: Job, settings: ServerSettings) -> None:
    while any(
        o.live and o.request.queue == job.request.queue and (o.requested_ns, o.id) < (job.requested_ns, job.id)
        for o in Jobs(settings).all()
    ):
        time.sleep(_TICK_SECONDS)


def _stop_on_sigterm() -> None:
    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ignore repeats while results are being committed
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
