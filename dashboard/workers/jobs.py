"""Long work that visitors started: each is a process that outlives the page, the visit and the server.

In: requests (see `dashboard.workers.requests`). Out: `Job`s, read from plain files, so that any page of any server
over the same store sees the same. A job is a folder `<store>/jobs/<id>/`:

    request.json    what was asked for and when; no path                               written here
    process.json    who works on it: host, boot, process id, start time                written here
    stop            a visitor wants it to end                                          written here
    state.json      how far it is, and how it ended                                    written by `job_worker`
    log.txt         what else it said

Of one lane one job computes at a time, in the order of asking; the others wait. Knows nothing of pages or nets.
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
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from dashboard.settings import ROOT, Settings
from dashboard.workers.requests import Request, record, recorded
from seglib.errors import SegError, UsageError
from seglib.fileio.process import machine, started
from seglib.store.store import Store

LIVE = ("starting", "waiting", "running")
ENDED = ("finished", "cancelled", "failed", "lost")
MOST_LIVE = 8
MOST_ENDED = 20
"""Records of ended jobs that are kept; older ones are forgotten when a new job is asked for."""

START_SECONDS = 30
"""A job whose process is not known after this long never got one."""

BEAT_SECONDS = 5.0
"""A worker says at least this often that it is there."""

PATIENCE_SECONDS = 10
"""A job that was told to stop and is still there after this long may be ended the hard way."""

WORKER = (
    sys.executable,
    "-c",
    "import pathlib, sys; from dashboard.workers import job_worker; job_worker.main(pathlib.Path(sys.argv[1]))",
)
"""Not `-m`: the processes that decode would then import all of it too, before each start."""

_starting = Lock()
_SILENT_SECONDS = 60
_ID = re.compile(r"[0-9a-f]{12}\Z")


@dataclass(frozen=True, kw_only=True)
class Job:
    id: str
    request: Request
    asked: int
    """Nanoseconds; those of one lane take turns in this order."""
    state: str
    """One of `LIVE` and `ENDED`; `lost`: its process went away without a word."""
    stopping: float | None = None
    """Seconds since it was told to stop; None if nobody did."""
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
    """Of a finished job."""
    note: str = ""
    """What it does before the first photo, if that takes long."""
    sentence: str = ""
    """Why it failed."""

    @property
    def live(self) -> bool:
        return self.state in LIVE

    @property
    def done(self) -> int:
        return self.computed + self.reused + self.failed


@dataclass(frozen=True)
class Jobs:
    """The jobs of one store."""

    settings: Settings
    command: tuple[str, ...] = WORKER

    def all(self) -> list[Job]:
        """Newest first."""
        _reap()
        folders = [path.parent for path in self._home.glob("*/request.json")]
        found = [job for folder in folders if (job := read(folder)) is not None]
        return sorted(found, key=lambda job: (job.asked, job.id), reverse=True)

    def start(self, request: Request) -> Job:
        """Raises `UsageError` if a live job does this already, or too many wait."""
        with _starting:
            jobs = self.all()
            self._check(request, jobs)
            for job in [job for job in jobs if not job.live][MOST_ENDED - 1 :]:
                shutil.rmtree(self._folder(job.id), ignore_errors=True)
            Store.create(self.settings.store)
            return self._launched(secrets.token_hex(6), request)

    def resume(self, job_id: str) -> Job:
        """Start an ended job again: what is computed is kept, the rest follows."""
        with _starting:
            job = self._known(job_id)
            if job.live:
                return job
            self._check(job.request, self.all())
            for name in ("process.json", "stop", "state.json"):
                (self._folder(job_id) / name).unlink(missing_ok=True)
            return self._launched(job_id, job.request)

    def stop(self, job_id: str) -> None:
        """Tell a job to end; what it has computed is kept. Told again after `PATIENCE_SECONDS`, it is ended at once."""
        job, folder = self._known(job_id), self._folder(job_id)
        if not job.live:
            return
        if job.stopping is None:
            (folder / "stop").touch()  # so that a worker that did not begin yet does not begin
        process = _read(folder / "process.json")
        if process and _is_alive(process, folder):
            hard = job.stopping is not None and job.stopping > PATIENCE_SECONDS
            _end(int(process["pid"]), hard=hard)

    def forget(self, job_id: str) -> None:
        """Remove the record of an ended job; its run stays."""
        if not self._known(job_id).live:
            shutil.rmtree(self._folder(job_id), ignore_errors=True)

    @property
    def _home(self) -> Path:
        return self.settings.store / "jobs"

    def _folder(self, job_id: str) -> Path:
        if not _ID.match(job_id):
            raise UsageError("There is no such job.")
        return self._home / job_id

    def _known(self, job_id: str) -> Job:
        job = read(self._folder(job_id))
        if job is None:
            raise UsageError("This job is gone: somebody removed its record.")
        return job

    def _check(self, request: Request, jobs: list[Job]) -> None:
        """What is asked for came by way of a browser."""
        request.check(self.settings)
        live = [job for job in jobs if job.live]
        if any((job.request.kind, job.request.key) == (request.kind, request.key) for job in live):
            raise UsageError(f"{request.subject} already, or waits for its turn.")
        if len(live) >= MOST_LIVE:
            raise UsageError(f"{len(live)} jobs are waiting already: start this one when some are done.")

    def _launched(self, job_id: str, request: Request) -> Job:
        folder = self._folder(job_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write(folder / "request.json", {"asked": time.time_ns(), **record(request)})
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
                    start_new_session=True,  # it goes on when the server is stopped
                    env=os.environ | self.settings.environment() | {"PYTHONPATH": path},
                )
        except OSError as error:
            raise SegError(f"The work cannot be started ({error.strerror}).") from None
        _children.append(process)
        write(folder / "process.json", identity(process.pid))
        job = read(folder)
        assert job is not None
        return job


# --- one job's files -----------------------------------------------------------------------------------------------


def read(folder: Path) -> Job | None:
    """The job in this folder; None if there is none, or none any more."""
    asked, said = _read(folder / "request.json"), _read(folder / "state.json") or {}
    request = None if asked is None else recorded(asked)
    if asked is None or request is None:
        return None
    state = str(said.get("state", "starting"))
    if state in LIVE and not _at_work(folder, int(asked["asked"])):
        said = _read(folder / "state.json") or {}  # it may just have ended as it should
        state = str(said.get("state", "starting"))
        if state in LIVE:
            state = "cancelled" if (folder / "stop").exists() else "lost"
    known = {name: said[name] for name in Job.__dataclass_fields__ if name in said and name != "state"}
    return Job(
        **known,
        id=folder.name,
        request=request,
        asked=int(asked["asked"]),
        state=state,
        stopping=_age(folder / "stop"),
    )


def write(file: Path, about: dict[str, Any]) -> None:
    """Whole or not at all; the folder must be there."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(about))
    os.replace(temporary, file)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _age(file: Path) -> float | None:
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return None


# --- processes -----------------------------------------------------------------------------------------------------

_children: list["subprocess.Popen[bytes]"] = []


def _reap() -> None:
    """Let go of workers that have ended, so that none stays as a zombie."""
    _children[:] = [process for process in _children if process.poll() is None]


def identity(pid: int) -> dict[str, Any]:
    """What tells this process from a later one that was given the same number."""
    host, boot = machine()
    return {"host": host, "boot": boot, "pid": pid, "started": started(pid)}


def _at_work(folder: Path, asked: int) -> bool:
    process = _read(folder / "process.json")
    if process is None:  # the server is just starting it, or ended in that moment
        return time.time_ns() - asked < START_SECONDS * 10**9
    return _is_alive(process, folder)


def _is_alive(process: dict[str, Any], folder: Path) -> bool:
    host, boot = machine()
    if process.get("host") != host:  # the store is shared between machines: only its beat can tell
        age = _age(folder / "state.json")
        return age is not None and age < _SILENT_SECONDS
    if process.get("boot") != boot:
        return False
    began = started(int(process["pid"]))
    return began is not None and began == process.get("started")


def _end(pid: int, *, hard: bool) -> None:
    try:
        if hard and hasattr(os, "killpg"):
            os.killpg(pid, signal.SIGKILL)  # its decoders too; the store is made for this
        else:
            os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return
