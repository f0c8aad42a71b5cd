"""What jobs do and how they ended, in words; live jobs with their progress, redrawn every second.

Reads the server's settings and draws on the page. The Runs page lists ended jobs too, see `views.runs.job_cards`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, duration, escape_markdown, photo_count, pluralize, run_labels
from dashboard.offers.photo_folders import describe_path
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.workers.jobs import KILL_AFTER_SECONDS, Job, Jobs
from dashboard.workers.requests import (
    CalibrateRequest,
    CompareRequest,
    EvaluateRequest,
    JudgeRequest,
    PrepareRequest,
    Request,
    RunRequest,
    SimilarityRequest,
    SuspectsRequest,
)
from dashboard.workers.similarity import DUPLICATES, OUTLIERS
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError
from seglib.similarity.projection import LABELS
from seglib.store.store import Store

REFRESH_SECONDS = 1.0

_EVALUATIONS = (EvaluateRequest.kind, CalibrateRequest.kind, JudgeRequest.kind)
_COUNTING = (CompareRequest.kind, SuspectsRequest.kind, *_EVALUATIONS)
FAILED_WORDS = {
    RunRequest.kind: "unreadable",
    SimilarityRequest.kind: "without a vector",
    PrepareRequest.kind: "left out",
    **dict.fromkeys(_COUNTING, "without a readable mask"),
}
COMPUTED_WORDS = {
    RunRequest.kind: "computed",
    SimilarityRequest.kind: "compared",
    PrepareRequest.kind: "prepared",
    **dict.fromkeys(_COUNTING, "counted"),
}
"""Request kind -> word for photos or masks that failed (`FAILED_WORDS`) or were processed (`COMPUTED_WORDS`)."""

SIMILARITY_WORDS = {DUPLICATES: "Near-duplicates", OUTLIERS: "Unusual photos"} | {
    method: f"Map ({label})" for method, label in LABELS.items()
}
"""Task of a `SimilarityRequest` -> what it is called."""

SHOWN_LOG = "runs:log"
"""Key of the session's state: id of the job whose log the Runs page is to show."""

UNITS = {
    RunRequest.kind: "photo",
    CompareRequest.kind: "photo",
    SuspectsRequest.kind: "mask",
    SimilarityRequest.kind: "photo",
    PrepareRequest.kind: "photo",
    **dict.fromkeys(_EVALUATIONS, "mask"),
}
"""Request kind -> unit of its progress; an evaluation processes each photo once per run."""


def watch(settings: ServerSettings, job_ids: Sequence[str]) -> None:
    """Show only these live jobs, redrawn every second; the whole page reruns once one of them ends."""
    st.fragment(partial(live_jobs, settings, list(job_ids), others=False), run_every=REFRESH_SECONDS)()


def headline(job: Job, labels: Mapping[str, str] | None = None) -> str:
    """Say what the job does; `labels`: run -> what it is called."""
    request = job.request
    if isinstance(request, RunRequest):
        limit = f", at most {photo_count(request.limit)}" if request.limit else ""
        parts = (request.model_title or request.model, request.resize or "its own size")
        return f"{' · '.join((*parts, job.precision or request.precision))}, on {request.title}{limit}"
    if isinstance(request, SimilarityRequest):
        return f"{SIMILARITY_WORDS[request.task]} by {request.title or request.source}"
    if isinstance(request, PrepareRequest):
        return f"Table of {request.title or request.run}"
    assert isinstance(request, EvaluateRequest | CompareRequest)
    names = ", ".join((labels or {}).get(run, run) for run in request.runs)
    if isinstance(request, JudgeRequest):
        return f"Likely mistakes in {request.title}, by {names}"
    if isinstance(request, EvaluateRequest):
        return f"Evaluation of {names} against {request.title}"
    return f"{'Look at the masks' if isinstance(request, SuspectsRequest) else 'Comparison'} of {names}"


def labels_of(settings: ServerSettings) -> dict[str, str]:
    return run_labels(Store(settings.store).runs()) if (settings.store / STORE_MARKER).is_file() else {}


def progress(job: Job, before: int = 0) -> str:
    """Describe a live job; `before` is the number of jobs queued ahead of it."""
    if job.stopping_seconds is not None:
        return "Stopping; what is computed is kept"
    if job.state == "waiting":
        return f"Waiting: {count(before)} job{'' if before == 1 else 's'} ahead"
    if not job.total:
        return job.note or "Getting ready"
    unit = UNITS[job.request.kind]
    parts = [f"{count(job.done)} of {pluralize(job.total, unit)}"]
    if job.request.kind == RunRequest.kind and job.done == job.reused + job.failed < job.total:
        parts.append("loading the model")
    if job.images_per_second:
        parts.append(f"{job.images_per_second:.1f} {unit}s/s")
    if job.seconds_left:
        parts.append(f"about {duration(job.seconds_left)} left")
    if job.failed:
        parts.append(f"{count(job.failed)} {FAILED_WORDS[job.request.kind]}")
    return " · ".join(parts)


def outcome(job: Job) -> str:
    """Describe an ended job."""
    kind, every = job.request.kind, pluralize(job.total, UNITS[job.request.kind])
    counted = f"{count(job.computed)} {COMPUTED_WORDS[kind]}, {count(job.reused)} already known"
    counted += f", {count(job.failed)} {FAILED_WORDS[kind]}"
    if job.state == "finished":
        pace = f", {job.images_per_second:.1f} {UNITS[kind]}s/s on {job.device}" if job.computed and job.device else ""
        return f"Finished: {every}, {counted}{pace}."
    if job.state == "failed":
        return f"Failed: {job.sentence}"
    how = "Cancelled" if job.state == "cancelled" else "Its process ended without a message"
    return f"{how} after {count(job.done)} of {every}; they are kept." if job.total else f"{how}."


def live_jobs(settings: ServerSettings, job_ids: list[str], *, others: bool = True) -> None:
    """Draw live jobs, those that run first; `others` includes jobs that are not in `job_ids`."""
    live = [job for job in Jobs(settings).live() if others or job.id in job_ids]
    if {job.id for job in live} != set(job_ids):
        st.rerun()  # a job started or ended, so the whole page changes
    labels = labels_of(settings)
    for job in live:
        before = sum(
            other.request.queue == job.request.queue and other.requested_ns < job.requested_ns for other in live
        )
        with layout.entry(f"entry:{job.id}", gap="xsmall") as text:
            with text:
                layout.entry_title(headline(job, labels))
                st.progress(job.done / job.total if job.total else 0.0, text=escape_markdown(progress(job, before)))
            late = job.stopping_seconds is not None and job.stopping_seconds > KILL_AFTER_SECONDS
            if others and st.button("Log", key=f"log:{job.id}", type="tertiary"):
                st.session_state[SHOWN_LOG] = job.id
                st.rerun()  # a dialog belongs to the page
            st.button(
                "End now" if late else "Cancel",
                key=f"stop:{job.id}",
                disabled=job.stopping_seconds is not None and not late,
                on_click=attempt,
                args=(Jobs(settings).stop, job.id),
                help="Ends the process; results that were not yet saved are lost" if late else None,
            )


def open_photos(settings: ServerSettings, job: Job) -> None:
    """Callback: open Explore with the photos of this job's folder in its run."""
    assert isinstance(job.request, RunRequest)
    datasets = Store(settings.store).datasets()
    by_folder = {describe_path(one.root, "").id: one.name for one in datasets if isinstance(one.root, Path)}
    session.open_run(pages.EXPLORE, job.run, by_folder.get(job.request.folder, ""))


def start_jobs(settings: ServerSettings, requests: Sequence[Request]) -> None:
    """Callback: start these requests, or show the error."""
    for request in requests:
        try:
            Jobs(settings).start(request)
        except SegError as error:
            session.add_notes([source.error_message(error)])


def attempt(action: Callable[[str], object], job_id: str) -> None:
    """Callback: call `action` with the job id, or show the error."""
    try:
        action(job_id)
    except SegError as error:
        session.add_notes([source.error_message(error)])
