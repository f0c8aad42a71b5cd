"""Status of running evaluations, what the last one left out, and the button that calibrates per pixel.

Evaluations run in a separate process; masks are chosen from those below the folders that the dashboard was started
with.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, pluralize
from dashboard.offers.photo_folders import find_mask_roots
from dashboard.queries import masks as mask_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries import source
from dashboard.state import session
from dashboard.views.evaluate.selection import EvaluationSelection, find_truth_source
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.requests import CalibrateRequest, EvaluateRequest, JudgeRequest


def watch(selection: photo_queries.Selection) -> None:
    """Show running evaluations, why the last one failed, and which masks it left out."""
    settings = session.shown_settings()
    jobs = [job for job in Jobs(settings).all() if isinstance(job.request, EvaluateRequest)]
    live = [job.id for job in jobs if job.live]
    if live:
        with layout.card("Evaluating", "it goes on without this page", stretch=False):
            job_status.watch(settings, live)
    elif jobs and _runs_exist(jobs[0], selection):
        lines = _complaints(jobs[0])
        if lines:
            st.warning("  \n".join(escape_markdown(line) for line in lines))


def _complaints(job: Job) -> list[str]:
    """Return what a visitor has to know of an ended evaluation."""
    lines = [f"{job_status.headline(job)}: {job_status.outcome(job)}"] if job.state == "failed" else []
    if job.left_out and isinstance(job.request, EvaluateRequest):
        them = "mask was" if job.left_out == 1 else "masks were"
        lines.append(f"{count(job.left_out)} {them} left out of the evaluation against {job.request.title}:")
        lines += job.left_out_reasons
        if (more := job.left_out - len(job.left_out_reasons)) > 0:
            lines.append(f"and {pluralize(more, 'other')}.")
    return lines


def _runs_exist(job: Job, selection: photo_queries.Selection) -> bool:
    """Return whether the job is about a run that still exists."""
    run_names = {run.run for run in selection.store.runs()}
    return isinstance(job.request, EvaluateRequest) and set(job.request.runs) <= run_names


def calibration_button(selection: EvaluationSelection) -> None:
    """Offer to compute per-pixel confidence, which the store does not keep."""
    _offer_request(
        selection,
        CalibrateRequest,
        "Calibrate per pixel",
        key="calibrate",
        help="Runs the model on these photos again, to get each pixel's confidence",
        command="For each pixel: python -m seglib evaluate --calibration runs the model again.",
    )


def judge_button(selection: EvaluationSelection) -> None:
    """Offer to score how likely the ground truth is wrong."""
    _offer_request(
        selection,
        JudgeRequest,
        "Find likely mistakes",
        key="judge",
        help="Runs the model on these photos again, to get the probability of each pixel's label",
        command="python -m seglib mistakes --truth FOLDER runs the model again and scores them.",
    )


def _offer_request(
    selection: EvaluationSelection, kind: type[CalibrateRequest], title: str, *, key: str, help: str, command: str
) -> None:
    """Draw a button that starts a job on the masks of this ground truth; `command` is said where they are not found."""
    settings, run = session.shown_settings(), selection.main_run
    if run.weights_sha256 is None:
        return
    masks = find_truth_source(source.mask_sources(find_mask_roots(settings)), selection.truth)
    options = mask_queries.truth_options(selection.truth)
    if masks is None or options is None:
        layout.remark(command)
        return
    request = kind(
        folder=masks.id,
        title=masks.title,
        format=options.format,
        classes=options.classes or (),
        ignore=options.ignore,
        offset=options.offset,
        runs=(run.run,),
        truth=selection.truth.id,
    )
    st.button(title, key=key, help=help, on_click=job_status.start_jobs, args=(settings, [request]))
