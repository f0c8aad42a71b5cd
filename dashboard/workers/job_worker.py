"""Entry point of a job's worker process: `main(folder)`, started only by `jobs`.

Reads `request.json` from the job's folder and the server's settings from the environment. Writes the results to the
store, and `state.json` next to the request at least every `BEAT_SECONDS`. SIGTERM ends it cleanly.
"""

import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

from dashboard.formatting import without_places
from dashboard.settings import Settings
from dashboard.workers import jobs, photo_folders
from dashboard.workers.jobs import BEAT_SECONDS, Job, Jobs
from dashboard.workers.requests import AUTO, CalibrateRequest, CompareRequest, EvaluateRequest, RunRequest
from seglib.data.resize import Resize
from seglib.errors import SegError, Terminated
from seglib.evaluation import comparison, truth_counting
from seglib.models.registry import find
from seglib.pipeline import run as run_module
from seglib.pipeline import session
from seglib.pipeline.session import RunOptions
from seglib.progress import OnProgress, Progress
from seglib.store.store import Store

_TICK_SECONDS = 0.5
_NICENESS = 5


def main(folder: Path) -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as in the CLI: keep torch's threads from spinning
    if hasattr(os, "nice"):
        os.nice(_NICENESS)  # pages have priority
    _stop_on_sigterm()
    with Teller(folder) as teller:
        try:
            job = jobs.read(folder)
            if job is None or job.stopping is not None:
                raise Terminated
            teller.say(state="waiting")
            _wait_for_turn(job, Settings.read())
            teller.say(state="running")
            teller.end(**work(job, Settings.read(), teller))
        except KeyboardInterrupt:  # SIGTERM too
            teller.end(state="cancelled")
        except SegError as error:
            teller.end(state="failed", sentence=without_places(str(error)))
        except OSError as error:
            teller.end(state="failed", sentence=f"The system refused: {error.strerror or type(error).__name__}.")
        except Exception as error:  # torch may raise anything; details go to the log
            traceback.print_exc()
            what = type(error).__name__
            teller.end(state="failed", sentence=f"An error inside ({what}): the job's log in the store says more.")


@dataclass(frozen=True, kw_only=True)
class Done:
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


def work(job: Job, settings: Settings, teller: "Teller") -> dict[str, Any]:
    """Do the job's work and return its outcome as fields of `Job`."""
    return WORK[job.request.kind](job.request, settings, teller)


def run_network(asked: RunRequest, settings: Settings, teller: "Teller") -> dict[str, Any]:
    """Resolve the folder id here rather than trust a path in the request."""
    folder = photo_folders.chosen(settings.data, asked.folder)
    report = run_module.run(
        folder.path,
        Store.create(settings.store),
        find(asked.model),
        resize=Resize(asked.resize),
        precision=asked.precision,
        options=RunOptions(limit=asked.limit, verify=asked.verify),
        on_progress=lambda progress: teller.count(_of_run(progress)),
        on_note=lambda note: teller.say(note=without_places(note)),
    )
    kept = ("run", "computed", "reused", "failed", "precision", "seconds", "images_per_second")
    about = {name: getattr(report, name) for name in kept} | {"total": report.images, "device": report.device or ""}
    if report.failed == report.images:
        return about | {"state": "failed", "sentence": f"None of the {report.images} photos can be read."}
    return about | {"state": "finished"}


def compare_runs(asked: CompareRequest, settings: Settings, teller: "Teller") -> dict[str, Any]:
    report = comparison.update(Store(settings.store), asked.runs, on_progress=counting(teller))
    about = {name: getattr(report, name) for name in ("computed", "reused", "seconds")}
    about |= {"total": report.images, "failed": len(report.failed)}
    if not report.images:
        return about | {"state": "failed", "sentence": "There is no photo that all of these runs have computed."}
    return about | {"state": "finished"}


def evaluate_runs(asked: EvaluateRequest, settings: Settings, teller: "Teller") -> dict[str, Any]:
    """Resolve the folder id here rather than trust a path in the request."""
    report = truth_counting.update(
        Store(settings.store),
        photo_folders.chosen(settings.data, asked.folder).path,
        asked.runs,
        kind=None if asked.format == AUTO else asked.format,
        calibration=isinstance(asked, CalibrateRequest),
        on_progress=counting(teller),
    )
    if not len(report.files):
        return {"state": "failed", "sentence": "No photo could be evaluated: its masks are missing or damaged."}
    return {"state": "finished", "seconds": report.seconds}  # the counts are those last reported


WORK: dict[str, Callable[[Any, Settings, "Teller"], dict[str, Any]]] = {
    RunRequest.kind: run_network,
    CompareRequest.kind: compare_runs,
    EvaluateRequest.kind: evaluate_runs,
    CalibrateRequest.kind: evaluate_runs,
}
"""Kind of request -> function that does the work."""


def counting(teller: "Teller") -> OnProgress:
    """Return an `on_progress` for mask counting; whatever is done at the first call counts as reused."""
    before: list[int] = []

    def count(progress: Progress) -> None:
        if not before:
            before.append(progress.done)
        new = progress.done - before[0]
        teller.count(
            Done(
                total=progress.total,
                reused=before[0],
                computed=new - progress.failed,
                failed=progress.failed,
            )
        )

    return count


def _of_run(progress: session.Progress) -> Done:
    return Done(**{f.name: getattr(progress, f.name) for f in fields(Done)})


class Pace:
    """Photos per second over the last `WINDOW_SECONDS`, excluding the model's start-up before the first photo.

    Call `add` at a steady rate: photos finish a batch at a time, so two of one batch have no time between them.
    """

    WINDOW_SECONDS = 20.0

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()
        self._done: int | None = None

    def add(self, now: float, done: int) -> None:
        if self._done is not None and done > self._done:
            self._seen.append((now, done))
        self._done = done
        while len(self._seen) > 2 and now - self._seen[1][0] > self.WINDOW_SECONDS:
            self._seen.popleft()

    def per_second(self) -> float | None:
        """Return the rate; None until it is known."""
        if len(self._seen) < 2:
            return None
        (then, before), (now, done) = self._seen[0], self._seen[-1]
        return (done - before) / (now - then)


class Teller:
    """Writes the job's state from a background thread; ends the process if the job's folder is removed."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "state.json"
        self._about: dict[str, Any] = {"state": "starting"}
        self._progress: Done | None = None
        self._pace = Pace()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> "Teller":
        self._ticker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._ticker.join()

    def say(self, **about: Any) -> None:
        with self._lock:
            self._about |= about
            self._write()

    def count(self, progress: Done) -> None:
        """Record the progress without writing it, since this is called for each photo."""
        if self._progress is None:
            self._pace.add(time.monotonic(), progress.done)
        self._progress = progress

    def end(self, **about: Any) -> None:
        """Write the final state."""
        self._over.set()
        self._ticker.join()
        self.say(**self._counts() | {"seconds_left": None} | about)

    def _tick(self) -> None:
        written, last = 0.0, None
        while not self._over.wait(_TICK_SECONDS):
            if self._progress is not None:
                self._pace.add(time.monotonic(), self._progress.done)
            counts = self._counts()
            if counts != last or time.monotonic() - written > BEAT_SECONDS:
                written, last = time.monotonic(), counts
                self.say(**counts)

    def _counts(self) -> dict[str, Any]:
        progress = self._progress
        if progress is None:
            return {}
        speed = self._pace.per_second()
        left = (progress.total - progress.done) / speed if speed else None
        return asdict(progress) | {"images_per_second": speed, "seconds_left": left}

    def _write(self) -> None:
        try:
            jobs.write(self._file, self._about)
        except FileNotFoundError:  # the job or the whole store was removed
            if not self._over.is_set():
                os.kill(os.getpid(), signal.SIGTERM)
        except OSError:
            traceback.print_exc()  # a full disk ends the run itself


def _wait_for_turn(job: Job, settings: Settings) -> None:
    while any(
        o.live and o.request.lane == job.request.lane and (o.asked, o.id) < (job.asked, job.id)
        for o in Jobs(settings).all()
    ):
        time.sleep(_TICK_SECONDS)


def _stop_on_sigterm() -> None:
    def stop(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ignore repeats while results are being committed
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
