"""Long-running jobs that visitors start; each is a process that outlives the page, the visit and the server.

Jobs are read from plain files, so every page of every server on the same store sees the same list. A job is a folder
`<store>/jobs/<id>/`:

    request.json    what was requested and when; contains no path                      written here
    process.json    the worker process: host, boot, process id, start time             written here
    stop            a visitor asked to stop the job; the worker looks for it           written here
    state.json      progress and outcome                                               written by `job_worker`
    log.txt         the worker's output

Jobs in the same queue run one at a time, in the order in which they were requested.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from dashboard.settings import ROOT, ServerSettings
from dashboard.workers.requests import Request, from_record, to_record
from seglib.errors import SegError, UsageError
from seglib.fileio.atomic import replace_file
from seglib.fileio.process import host_and_boot, process_start_time
from seglib.store.store import Store

LIVE_STATES = ("starting", "waiting", "running")
ENDED_STATES = ("finished", "cancelled", "failed", "lost")
MAX_LIVE_JOBS = 8
MAX_ENDED_JOBS = 20
"""Number of ended jobs whose records are kept; older ones are deleted when a new job is started."""

START_TIMEOUT_SECONDS = 30
"""A job without a known process after this time counts as lost."""

HEARTBEAT_SECONDS = 5.0
"""Longest interval between two writes of a worker's state."""

KILL_AFTER_SECONDS = 10
"""A job still running this long after it was asked to stop may be killed."""

WORKER_COMMAND = (
    sys.executable,
    "-c",
    "import pathlib, sys; from dashboard.workers import job_worker; job_worker.main(pathlib.Path(sys.argv[1]))",
)
"""Not `-m`: each decoder process would then import all of it as well before it starts."""

_start_lock = Lock()
_children: list["subprocess.Popen[bytes]"] = []
_LOST_AFTER_SECONDS = 60
_ID = re.compile(r"[0-9a-f]{12}\Z")


@dataclass(frozen=True, kw_only=True)
class Job:
    id: str
    request: Request
    requested_ns: int
    """Time of the request in nanoseconds; orders the jobs of a queue."""
    state: str
    """One of `LIVE_STATES` and `ENDED_STATES`; `lost`: the process died without reporting an outcome."""
    stopping_seconds: float | None = None
    """Seconds since the job was asked to stop; None if it was not."""
    run: str = ""
    total: int = 0
    computed: int = 0
    reused: int = 0
    failed: int = 0
    images_per_second: float | None = None
    seconds_left: float | None = None
    precision: str = ""
    device: str = ""
    seconds: float | None = None
    """Duration of a finished job."""
    note: str = ""
    """What the job does before the first photo, if that takes long."""
    sentence: str = ""
    """Why the job failed."""
    left_out: int = 0
    """Masks that an evaluation could not use."""
    left_out_reasons: Sequence[str] = ()
    """Why; of the first few only."""

    @property
    def live(self) -> bool:
        return self.state in LIVE_STATES

    @property
    def done(self) -> int:
        return self.computed + self.reused + self.failed


@dataclass(frozen=True)
class Jobs:
    """The jobs of one store."""

    settings: ServerSettings
    command: tuple[str, ...] = WORKER_COMMAND

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        _reap()
        jobs = [job for folder in self._folders() if (job := read_job(folder)) is not None]
        return sorted(jobs, key=lambda job: (job.requested_ns, job.id), reverse=True)

    def live(self) -> list[Job]:
        """Return the live jobs: those that run, then those that wait, in the order of their turns.

        Reads one file of each job that has ended, so that every page can ask.
        """
        _reap()
        jobs = [job for folder in self._folders() if not _has_ended(folder) and (job := read_job(folder)) is not None]
        return sort_by_turn(job for job in jobs if job.live)

    def log_file(self, job_id: str) -> Path:
        return self._folder(job_id) / "log.txt"

    def start(self, request: Request) -> Job:
        """Start a job. Raises `UsageError` if a live job already does this work or too many are waiting."""
        with _start_lock:
            jobs = self.all()
            self._check(request, jobs)
            for job in [job for job in jobs if not job.live][MAX_ENDED_JOBS - 1 :]:
                shutil.rmtree(self._folder(job.id), ignore_errors=True)
            Store.create(self.settings.store)
            return self._launch(secrets.token_hex(6), request)

    def resume(self, job_id: str) -> Job:
        """Restart an ended job; results computed so far are kept."""
        with _start_lock:
            job = self._get(job_id)
            if job.live:
                return job
            self._check(job.request, self.all())
            for name in ("process.json", "stop", "state.json"):
                (self._folder(job_id) / name).unlink(missing_ok=True)
            return self._launch(job_id, job.request)

    def stop(self, job_id: str) -> None:
        """Ask a job to stop; results computed so far are kept. A second call after `KILL_AFTER_SECONDS` kills it."""
        job, folder = self._get(job_id), self._folder(job_id)
        if not job.live:
            return
        if job.stopping_seconds is None:
            (folder / "stop").touch()  # so that a worker that has not begun yet never does
        process = _read_json(folder / "process.json")
        if process and _is_of_this_host(process) and _is_alive(process, folder):  # elsewhere it sees the file `stop`
            hard = job.stopping_seconds is not None and job.stopping_seconds > KILL_AFTER_SECONDS
            _terminate(int(process["pid"]), hard=hard)

    def forget(self, job_id: str) -> None:
        """Delete the record of an ended job; its run is kept."""
        if not self._get(job_id).live:
            shutil.rmtree(self._folder(job_id), ignore_errors=True)

    @property
    def _jobs_folder(self) -> Path:
        return self.settings.store / "jobs"

    def _folders(self) -> list[Path]:
        return [path for path in self._jobs_folder.glob("*") if _ID.match(path.name)]

    def _folder(self, job_id: str) -> Path:
        if not _ID.match(job_id):
            raise UsageError("There is no such job.")
        return self._jobs_folder / job_id

    def _get(self, job_id: str) -> Job:
        job = read_job(self._folder(job_id))
        if job is None:
            raise UsageError("This job no longer exists: its record was removed.")
        return job

    def _check(self, request: Request, jobs: list[Job]) -> None:
        """Validate a request, which comes from the browser."""
        request.check(self.settings)
        live = [job for job in jobs if job.live]
        if any((job.request.kind, job.request.key) == (request.kind, request.key) for job in live):
            raise UsageError(f"{request.description} already, or is waiting.")
        if len(live) >= MAX_LIVE_JOBS:
            raise UsageError(f"{len(live)} jobs are already waiting: start this one when some are done.")

    def _launch(self, job_id: str, request: Request) -> Job:
        folder = self._folder(job_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / "request.json", {"asked": time.time_ns(), **to_record(request)})
        except OSError as error:
            raise SegError(f"The store cannot be written ({error.strerror}), so no work can be started here.") from None
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
        try:
            with (folder / "log.txt").open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - our own program
                    [*self.command, str(folder)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # so that it keeps running when the server stops
                    env=os.environ | self.settings.to_environment() | {"PYTHONPATH": path},
                )
        except OSError as error:
            raise SegError(f"The work cannot be started ({error.strerror}).") from None
        _children.append(process)
        write_json(folder / "process.json", process_identity(process.pid))
        job = read_job(folder)
        assert job is not None
        return job


def sort_by_turn(jobs: Iterable[Job]) -> list[Job]:
    """Sort live jobs: those that run first, then those that wait, each in the order of their requests."""
    return sorted(jobs, key=lambda job: (job.state != "running", job.requested_ns, job.id))


# --- one job's files -----------------------------------------------------------------------------------------------


def read_job(folder: Path) -> Job | None:
    """Return the job in this folder; None if there is none, or no longer one."""
    request_json, state_json = _read_json(folder / "request.json"), _read_json(folder / "state.json") or {}
    request = None if request_json is None else from_record(request_json)
    if request_json is None or request is None:
        return None
    state = str(state_json.get("state", "starting"))
    if state in LIVE_STATES and not _has_worker(folder, int(request_json["asked"])):
        state_json = _read_json(folder / "state.json") or {}  # it may have ended normally in the meantime
        state = str(state_json.get("state", "starting"))
        if state in LIVE_STATES:
            state = "cancelled" if (folder / "stop").exists() else "lost"
    values = {name: state_json[name] for name in Job.__dataclass_fields__ if name in state_json and name != "state"}
    return Job(
        **values,
        id=folder.name,
        request=request,
        requested_ns=int(request_json["asked"]),
        state=state,
        stopping_seconds=_age(folder / "stop"),
    )


def _has_ended(folder: Path) -> bool:
    state = (_read_json(folder / "state.json") or {}).get("state")
    return state in ENDED_STATES


def write_json(file: Path, values: dict[str, Any]) -> None:
    """Write JSON atomically; the folder must exist."""
    replace_file(file, json.dumps(values).encode())


def _read_json(file: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _age(file: Path) -> float | None:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return None


# --- processes -----------------------------------------------------------------------------------------------------


def _reap() -> None:
    """Reap ended workers, so that none remains as a zombie."""
    _children[:] = [process for process in _children if process.poll() is None]


def process_identity(pid: int) -> dict[str, Any]:
    """Identify this process, so that a later one with the same pid is not mistaken for it."""
    host, boot = host_and_boot()
    return {"host": host, "boot": boot, "pid": pid, "started": process_start_time(pid)}


def _has_worker(folder: Path, requested_ns: int) -> bool:
    process = _read_json(folder / "process.json")
    if process is None:  # the server is still starting it, or died while doing so
        return time.time_ns() - requested_ns < START_TIMEOUT_SECONDS * 10**9
    return _is_alive(process, folder)


def _is_of_this_host(process: dict[str, Any]) -> bool:
    return (process.get("host"), process.get("boot")) == host_and_boot()


def _is_alive(process: dict[str, Any], folder: Path) -> bool:
    if not _is_of_this_host(process):  # only its heartbeat shows that it is alive
        age = _age(folder / "state.json")
        return age is not None and age < _LOST_AFTER_SECONDS
    began = process_start_time(int(process["pid"]))
    return began is not None and began == process.get("started")


def _terminate(pid: int, *, hard: bool) -> None:
    try:
        if hard and hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)  # its decoders too; the store tolerates interrupted writes
        else:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
