"""Start and watch the counting that a comparison needs: automatic for few photos, otherwise behind a button.

Takes a `Versus` and draws on the page while photos are left to count. Counting runs in a separate process and continues
if the page is closed.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import photos, plain_markdown
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import source
from dashboard.settings import Settings
from dashboard.views.compare.selection import Versus
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import CompareRequest
from seglib.errors import SegError

AT_ONCE = 1000
"""Maximum number of photos counted without asking; takes a few seconds for a pair of runs."""


def render(shown: Versus) -> None:
    settings, (_, missing) = Settings.read(), comparison_queries.uncounted(shown.asked)
    if not missing:
        return
    asked = CompareRequest(runs=shown.asked.runs)
    same = [
        job for job in Jobs(settings).all() if isinstance(job.request, CompareRequest) and job.request.key == asked.key
    ]
    live, last = next((job for job in same if job.live), None), next(iter(same), None)
    if live is None and starts_itself(missing, last):
        try:
            live = Jobs(settings).start(asked)
        except SegError as error:
            st.warning(plain_markdown(source.sentence(error)))
    if live is not None:
        with layout.card(
            "Counting", f"{photos(missing)} to compare, once; it goes on without this page", stretch=False
        ):
            job_status.watch(settings, [live.id])
    elif last is not None and last.state == "finished" and last.failed >= missing:
        layout.remark(
            f"{photos(missing)} cannot be compared, since a mask is missing or damaged: press Verify on Runs."
        )
    else:
        _offer(settings, asked, missing, last)


def starts_itself(missing: int, last: Job | None) -> bool:
    """Return whether counting starts automatically.

    False if the last job was stopped or failed, or if only photos are left that it could not count.
    """
    return missing <= AT_ONCE and (last is None or (last.state == "finished" and last.failed < missing))


def _offer(settings: Settings, asked: CompareRequest, missing: int, last: Job | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="counting"):
        said = "" if last is None or last.state == "finished" else f"{job_status.outcome(last)} "
        st.markdown(plain_markdown(f"{said}{photos(missing)} are not compared yet."), width="stretch")
        st.button(
            f"Compare {photos(missing)}",
            key="count",
            type="primary",
            on_click=job_status.start,
            args=(settings, [asked]),
        )
