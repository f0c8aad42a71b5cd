"""Say in a word what the state of a run is: done, partial, being computed, without its folder, or unreadable.

Pure functions of what is known of a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dashboard.formatting import count
from dashboard.queries.runs.pending import StoreCounts
from dashboard.workers.jobs import Job
from dashboard.workers.requests import RunRequest
from seglib.store.records import Run

_COUNTS = ("computed", "reused", "failed")
CHECKING = "checking …"


@dataclass(frozen=True)
class RunState:
    text: str
    tone: str = ""
    """A tone of `components.run_table.RunRow`."""
    note: str = ""
    """A sentence with details."""


def newest_job(jobs: Sequence[Job], run: str) -> Job | None:
    """Return the newest job that computed photos for this run; `jobs` are sorted newest first."""
    return next((job for job in jobs if isinstance(job.request, RunRequest) and job.run == run), None)


def is_superseded(job: Job, run: Run) -> bool:
    """Return whether the run was brought up to date after this job, as from the command line: its end is history."""
    asked = datetime.fromtimestamp(job.requested_ns / 1e9, UTC).isoformat()
    return any(
        str(one["started"]) > asked and sum(int(one.get(name, 0)) for name in _COUNTS) >= job.total
        for one in run.invocations
    )


def run_state(counts: StoreCounts | None, job: Job | None, missing: Sequence[str] = (), wrong: str = "") -> RunState:
    """Return the state of a run.

    `counts`: of its datasets in the store, None if they are being counted; `job`: its newest job; `missing`: its
    datasets whose folders are gone; `wrong`: why its statistics cannot be read.
    """
    if wrong:
        return RunState("cannot be read", "problem", wrong)
    if job is not None and job.live:
        return RunState(_of("running", job.done, job.total), "running")
    if missing:
        folders = "folder" if len(missing) == 1 else "folders"
        return RunState("needs its folder", "problem", f"The {folders} of {', '.join(missing)} cannot be found.")
    return _completeness(counts, job)


def _completeness(counts: StoreCounts | None, job: Job | None) -> RunState:
    """Done or partial, by what the job did not get to, or by what the store knows of the run's datasets."""
    if job is not None and job.state != "finished" and job.done < job.total:
        return RunState(_of("partial", job.done, job.total), "partial")
    if counts is None:
        return RunState(CHECKING, "partial")
    if counts.computed < counts.total:
        return RunState(_of("partial", counts.computed, counts.total), "partial")
    return RunState("done")


def _of(word: str, done: int, total: int) -> str:
    return f"{word}, {count(done)} of {count(total)}" if total else word
