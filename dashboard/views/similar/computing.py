"""Start and watch what takes longer than a page may: UMAP, PaCMAP, and the comparison of many photos with each other.

Takes a `SimilarScope` and a task of `workers.similarity`. A process of its own does it, which goes on if the page is
closed; what it finds is kept in the store.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown, photo_count
from dashboard.queries import source
from dashboard.queries.similarity import kept
from dashboard.state import session
from dashboard.views.shared import job_status
from dashboard.views.similar.scope import SimilarScope
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import SimilarityRequest
from seglib.errors import SegError

MAX_UNASKED_PHOTOS = 20_000
"""Most photos for which the work starts without asking; it takes about a minute."""


def render(scope: SimilarScope, task: str) -> None:
    settings, vectors = session.shown_settings(), scope.vectors
    number = kept.count_vectors(scope.selection.source, vectors)
    request = SimilarityRequest(
        task=task,
        run=scope.selection.run.run,
        source=vectors.source,
        vectors=vectors.kind,
        title=scope.chosen.title,
    )
    same = [
        job
        for job in Jobs(settings).all()
        if isinstance(job.request, SimilarityRequest) and job.request.key == request.key
    ]
    live, last = next((job for job in same if job.live), None), next(iter(same), None)
    if live is None and number <= MAX_UNASKED_PHOTOS and not _was_in_vain(last):
        try:
            live = Jobs(settings).start(request)
        except SegError as error:
            st.warning(escape_markdown(source.error_message(error)))
            return
    if live is not None:
        with layout.card("Computing", f"{photo_count(number)}, once; it goes on without this page", stretch=False):
            job_status.watch(settings, [live.id])
        return
    with st.container(horizontal=True, vertical_alignment="center", key="computing"):
        ended = f"{job_status.outcome(last)} " if last is not None and _was_in_vain(last) else ""
        text = f"{ended}{photo_count(number)} are to be compared with each other, once."
        st.markdown(escape_markdown(text), width="stretch")
        st.button("Start", key="compute", type="primary", on_click=job_status.start_jobs, args=(settings, [request]))


def _was_in_vain(last: Job | None) -> bool:
    """Return whether the last job was stopped or failed, so that another one is not started without asking."""
    return last is not None and last.state != "finished"
