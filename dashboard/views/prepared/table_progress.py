"""Prepare the table of a large run, once, by a job; pages show the last one meanwhile, and say so."""

from datetime import datetime

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, photo_count
from dashboard.queries import source as sources
from dashboard.queries.prepared.tables import TableState, count_images
from dashboard.queries.source import RunSource
from dashboard.state import session
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import PrepareRequest
from seglib.errors import SegError


def render(source: RunSource, state: TableState, title: str) -> bool:
    """Draw what is to be said of the run's table, and start to prepare it if needed; return whether there is one."""
    if state.is_current:
        return True
    settings, request = session.shown_settings(), PrepareRequest(run=source.run, title=title)
    same = [job for job in Jobs(settings).all() if _is_for(job, request)]
    live, last = next((job for job in same if job.live), None), next(iter(same), None)
    if live is None and _is_worth_trying(source, last):
        try:
            live = Jobs(settings).start(request)
        except SegError as error:
            st.warning(escape_markdown(sources.error_message(error)))
    if state.made:
        _note(state, live)
        return True
    if live is not None:
        n = photo_count(count_images(source.without_tags()))
        with layout.card("Preparing the table", f"{n}, once; it goes on without this page", stretch=False):
            job_status.watch(settings, [live.id])
        return False
    with st.container(horizontal=True, vertical_alignment="center", key="preparing"):
        ended = f"{job_status.outcome(last)} " if last is not None else ""
        st.markdown(escape_markdown(f"{ended}The table of this run is prepared before it is shown."), width="stretch")
        st.button("Start", key="prepare", type="primary", on_click=job_status.start_jobs, args=(settings, [request]))
    return False


def _is_for(job: Job, request: PrepareRequest) -> bool:
    return isinstance(job.request, PrepareRequest) and job.request.key == request.key


def _is_worth_trying(source: RunSource, last: Job | None) -> bool:
    """Return whether to start without being asked: not while a run writes, nor after a job that has failed."""
    return not source.store().atomic.has_other_writers() and (last is None or last.state == "finished")


def _note(state: TableState, live: Job | None) -> None:
    made = datetime.fromisoformat(state.made)
    later = (
        "A newer table is being prepared." if live else "A newer table is prepared when nothing writes to the store."
    )
    st.info(f"As of {made:%Y-%m-%d %H:%M} UTC, {count(state.rows)} photos: the store has changed since. {later}")
