"""The bar on top of every page while a job runs, and a line once it has finished.

The bar refreshes without rerunning the page, which reruns only when a job has ended. A visitor is told of jobs
that were live while they looked, once. The Runs page lists its jobs itself.
"""

from collections.abc import Collection, Sequence
from functools import partial

import streamlit as st

from dashboard.formatting import count, duration, escape_html, pluralize
from dashboard.queries.similarity.vectors import vector_name
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.state.view import PROJECTIONS
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import CompareRequest, EvaluateRequest, PrepareRequest, RunRequest, SimilarityRequest

REFRESH_SECONDS = 1.5

_SEEN, _ENDED = "_jobs_seen", "_jobs_ended"
_SHOWN_BY_PAGE: dict[str, type] = {
    pages.COMPARE: CompareRequest,
    pages.EVALUATE: EvaluateRequest,
    pages.SIMILAR: SimilarityRequest,
}
"""Page -> kind of job that it shows itself."""


def render(settings: ServerSettings, page: str) -> list[Job]:
    """Draw the bar and what has ended; return the live jobs of the store, those that run first."""
    live = Jobs(settings).live()
    _note_ended(settings, page, live)
    shown = [job for job in live if not _is_shown_by(page, job)]
    with st.container(key="progress_bar", gap="xsmall"):  # also when empty, so that the page below keeps its place
        for job in _ended_jobs():
            _ended(settings, job)
        if shown:
            ids = {job.id for job in live}
            st.fragment(partial(_bar, settings, page, ids), run_every=REFRESH_SECONDS)()
    return live


def describe(jobs: Sequence[Job]) -> str:
    """Say what the first of these live jobs does, as `My class photos: 64 of 500, 88 s left`, and how many others are
    live.
    """
    job, others = jobs[0], len(jobs) - 1
    text = f"{job_title(job)}: {_describe_progress(job)}"
    return f"{text} · {pluralize(others, 'more job')}" if others else text


def job_title(job: Job) -> str:
    request = job.request
    if isinstance(request, RunRequest):
        return request.title
    if isinstance(request, SimilarityRequest):
        return job_status.SIMILARITY_WORDS[request.task]
    if isinstance(request, PrepareRequest):
        return job_status.headline(job)
    return f"Evaluation against {request.title}" if isinstance(request, EvaluateRequest) else "Comparison"


def _describe_progress(job: Job) -> str:
    if job.stopping_seconds is not None:
        return "stopping"
    if job.state == "waiting":
        return "waiting"
    if not job.total:
        return "getting ready"
    left = f", {duration(job.seconds_left)} left" if job.seconds_left else ""
    return f"{count(job.done)} of {count(job.total)}{left}"


def partial_note(live: Sequence[Job], runs: Collection[str], name: str = "") -> str:
    """Say that the figures of one of these runs are not final, as it is still being computed; empty if they are.

    `name`: what the run is called, if it is not the only one shown.
    """
    for job in live:
        computing = isinstance(job.request, RunRequest) and not job.request.verify and job.run in runs
        if computing and job.done < job.total:
            of_run = f" of {name}" if name else ""
            return f"Partial: {count(job.done)} of {pluralize(job.total, 'photo')}{of_run} so far"
    return ""


# --- the bar -------------------------------------------------------------------------------------------------------


def _bar(settings: ServerSettings, page: str, drawn: set[str]) -> None:
    """Draw the jobs that are live now; `drawn`: ids of those that were when the page was drawn."""
    live = Jobs(settings).live()
    if drawn - {job.id for job in live}:
        st.rerun()  # one has ended, so the page has final figures
    _seen().update(job.id for job in live)
    shown = [job for job in live if not _is_shown_by(page, job)]
    if not shown:
        return
    job, text = shown[0], describe(shown)
    share = f" value='{job.done / job.total:.4f}'" if job.total else ""
    with st.container(horizontal=True, vertical_alignment="center", key="progress_bar_line"):
        st.html(
            f"<div class='progress-bar'><span>{escape_html(text)}</span>"
            f"<progress{share} max='1' aria-label='{escape_html(job_title(job))}'></progress></div>"
        )
        if st.button(pages.RUNS, key="progress_bar:runs", type="tertiary", help="Watch and cancel what runs"):
            session.go_to_page(pages.RUNS)
            st.rerun()


def _is_shown_by(page: str, job: Job) -> bool:
    kind = _SHOWN_BY_PAGE.get(page)
    return page == pages.RUNS or (kind is not None and isinstance(job.request, kind))


# --- what has ended ------------------------------------------------------------------------------------------------


def _seen() -> set[str]:
    """Ids of the jobs that were live when this visitor last looked; modified in place."""
    seen: set[str] = st.session_state.setdefault(_SEEN, set())
    return seen


def _ended_jobs() -> list[Job]:
    """The ended jobs to announce to this visitor; modified in place."""
    ended: list[Job] = st.session_state.setdefault(_ENDED, [])
    return ended


def _note_ended(settings: ServerSettings, page: str, live: Sequence[Job]) -> None:
    seen, ended, now = _seen(), _ended_jobs(), {job.id for job in live}
    if page == pages.RUNS:
        ended.clear()
    elif seen - now:
        told = [job for job in Jobs(settings).all() if job.id in seen - now and job.state != "cancelled"]
        ended += [job for job in told if not _is_shown_by(page, job)]
    seen.clear()
    seen |= now


def _ended(settings: ServerSettings, job: Job) -> None:
    """Draw one line about a job that has ended, with a way to its result."""
    finished = job.state == "finished"
    text = f"{job_title(job)}: {'finished' if finished else job_status.outcome(job)}"
    if finished and job.total:
        text += f", {pluralize(job.total, job_status.UNITS[job.request.kind])}"
    with st.container(horizontal=True, vertical_alignment="center", key=f"job_ended:{job.id}"):
        st.html(f"<div class='progress-bar ended' role='status'><span>{escape_html(text)}</span></div>")
        label = "Look at it" if finished else "See Runs"
        st.button(label, key=f"look:{job.id}", type="tertiary", on_click=_look, args=(settings, job))
        st.button("Dismiss", key=f"dismiss:{job.id}", type="tertiary", on_click=_dismiss, args=(job.id,))


def _look(settings: ServerSettings, job: Job) -> None:
    """Callback: open the result of a finished job, or the Runs page."""
    _dismiss(job.id)
    request = job.request
    if job.state != "finished":
        session.go_to_page(pages.RUNS)
    elif isinstance(request, RunRequest):
        job_status.open_photos(settings, job)
    elif isinstance(request, CompareRequest):
        first, second, *_ = request.runs
        session.go_to_page(pages.COMPARE, run=first, against=second, runs=tuple(sorted(request.runs)), demo=False)
    elif isinstance(request, EvaluateRequest):
        session.go_to_page(pages.EVALUATE, run=request.runs[0], runs=tuple(sorted(request.runs)), demo=False)
    elif isinstance(request, SimilarityRequest):
        _look_at_similar(request)
    elif isinstance(request, PrepareRequest):
        session.go_to_page(pages.OVERVIEW, run=request.run, demo=False)


def _look_at_similar(request: SimilarityRequest) -> None:
    is_map = request.task in PROJECTIONS
    parts = {"find": "map", "projection": request.task} if is_map else {"find": request.task}
    name = vector_name(request.source, request.vectors)
    session.go_to_page(pages.SIMILAR, run=request.run, embeddings=name, demo=False, **parts)


def _dismiss(job_id: str) -> None:
    ended = _ended_jobs()
    ended[:] = [job for job in ended if job.id != job_id]
