"""The jobs of the store on the Runs page: those that run or wait on top, then those that ended, each with its log."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import pluralize
from dashboard.settings import ServerSettings
from dashboard.views.runs import actions
from dashboard.views.shared import job_status
from dashboard.views.shared.job_status import REFRESH_SECONDS, SHOWN_LOG
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import RunRequest

_SHOWN_ENDED = 3
"""Number of ended jobs that are shown at once."""


def render(settings: ServerSettings, jobs: Sequence[Job]) -> None:
    """Draw the jobs, newest first as `Jobs.all` returns them; nothing if there are none."""
    live = [job.id for job in jobs if job.live]
    ended = [job for job in jobs if not job.live and not _is_routine(job)]
    labels = job_status.labels_of(settings) if jobs else {}
    if live:
        with layout.card("Running", stretch=False):
            st.fragment(partial(job_status.live_jobs, settings, live), run_every=REFRESH_SECONDS)()
    if ended:
        with layout.card("Ended", stretch=False):
            for job in ended[:_SHOWN_ENDED]:
                _ended_job(settings, job, labels)
            if older := ended[_SHOWN_ENDED:]:
                with st.expander(pluralize(len(older), "older job")):
                    for job in older:
                        _ended_job(settings, job, labels)
    shown = st.session_state.pop(SHOWN_LOG, "")
    for job in jobs:
        if job.id == shown:
            actions.show_log(settings, job, job_status.headline(job, labels))


def _is_routine(job: Job) -> bool:
    """Return whether a finished job needs no mention: the page that requested the counts shows the result."""
    return job.request.kind != RunRequest.kind and job.state == "finished"


def _ended_job(settings: ServerSettings, job: Job, labels: Mapping[str, str]) -> None:
    jobs = Jobs(settings)
    with layout.entry(f"entry:{job.id}", gap="xsmall") as text:
        with text:
            layout.entry_title(job_status.headline(job, labels))
            layout.remark(job_status.outcome(job))
        with st.container(horizontal=True, width="content"):
            if job.state == "finished" and job.run:
                st.button("Explore", key=f"explore:{job.id}", on_click=job_status.open_photos, args=(settings, job))
            elif job.state != "finished":
                st.button(
                    "Resume" if job.total else "Try again",
                    key=f"resume:{job.id}",
                    on_click=job_status.attempt,
                    args=(jobs.resume, job.id),
                )
            if st.button("Log", key=f"log:{job.id}", type="tertiary"):
                actions.show_log(settings, job, job_status.headline(job, labels))
            st.button(
                "Dismiss",
                key=f"forget:{job.id}",
                type="tertiary",
                help="Removes it from this list; its run stays",
                on_click=job_status.attempt,
                args=(jobs.forget, job.id),
            )
