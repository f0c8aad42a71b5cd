"""Start and watch the counting that a comparison needs: automatic for few photos, otherwise behind a button.

Takes a `ComparisonSelection` and draws on the page while photos are left to count. Counting runs in a separate process
and continues if the page is closed.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown, photo_count
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import CompareRequest
from seglib.errors import SegError

MAX_UNASKED_PHOTOS = 1000
"""Maximum number of photos counted without asking; takes a few seconds for a pair of runs."""


def render(selection: ComparisonSelection) -> None:
    settings, (_, missing) = session.shown_settings(), comparison_queries.count_pending(selection.query)
    if not missing:
        return
    request = CompareRequest(runs=selection.query.runs)
    same = [job for job in Jobs(settings).all() if job.request.kind == request.kind and job.request.key == request.key]
    live, last = next((job for job in same if job.live), None), next(iter(same), None)
    if live is None and should_start(missing, last):
        try:
            live = Jobs(settings).start(request)
        except SegError as error:
            st.warning(escape_markdown(source.error_message(error)))
    if live is not None:
        with layout.card(
            "Counting", f"{photo_count(missing)} to compare, once; it goes on without this page", stretch=False
        ):
            job_status.watch(settings, [live.id])
    elif last is not None and last.state == "finished" and last.failed >= missing:
        layout.remark(
            f"{photo_count(missing)} cannot be compared, since a mask is missing or damaged: press Verify on Runs."
        )
    else:
        _count_button(settings, request, missing, last)


def should_start(missing: int, last: Job | None) -> bool:
    """Return whether counting starts automatically.

    False if the last job was stopped or failed, or if only photos are left that it could not count.
    """
    return missing <= MAX_UNASKED_PHOTOS and (last is None or (last.state == "finished" and last.failed < missing))


def _count_button(settings: ServerSettings, request: CompareRequest, missing: int, last: Job | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="counting"):
        text = "" if last is None or last.state == "finished" else f"{job_status.outcome(last)} "
        st.markdown(escape_markdown(f"{text}{photo_count(missing)} are not compared yet."), width="stretch")
        st.button(
            f"Compare {photo_count(missing)}",
            key="count",
            type="primary",
            on_click=job_status.start_jobs,
            args=(settings, [request]),
        )
