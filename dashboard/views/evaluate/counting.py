"""Form that starts an evaluation against a folder of masks, and the status of running evaluations.

Takes a `Selection` and draws on the page. Evaluations run in a separate process; folders are chosen from those that the
dashboard was started with.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import plain_markdown
from dashboard.queries import photos as photo_queries
from dashboard.queries import source
from dashboard.settings import Settings
from dashboard.views.evaluate.selection import Graded
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.photo_folders import Folder
from dashboard.workers.requests import AUTO, MOST_COMPARED, CalibrateRequest, EvaluateRequest
from seglib.masks.annotations import FORMATS
from seglib.store import ground_truth

_FOLDER, _FORMAT, _RUNS = "evaluate:folder", "evaluate:format", "evaluate:runs"
_FORMATS = {AUTO: "As the masks look", "voc": "Class indices of VOC, 255 void", "trimap": "Oxford trimaps: 1, 2, 3"}


def render(selection: photo_queries.Selection, shown: Graded | None) -> None:
    """Draw the form; `shown` is the current evaluation, if any."""
    settings = Settings.read()
    offered = source.mask_folders(settings.data)
    if not offered:
        names = ", ".join(folder.name for folder in settings.data)
        layout.remark(f"There is no folder of PNG masks below {names}: put one there, or name another with --data.")
        return
    by_id = {folder.id: folder for folder in offered}
    labels = source.run_labels(selection.store.runs())
    by_use = list(reversed(labels))
    folder_id = st.selectbox(
        "Folder of masks",
        list(by_id),
        index=list(by_id).index(_present(offered, shown)),
        format_func=lambda i: by_id[i].title if i in by_id else i,
        key=_FOLDER,
    )
    kind = st.selectbox("Format", [AUTO, *FORMATS], format_func=lambda name: _FORMATS[name], key=_FORMAT)
    runs = st.multiselect(
        "Runs",
        by_use,
        default=[selection.run.run],
        format_func=lambda name: labels.get(name, name),
        max_selections=MOST_COMPARED,
        key=_RUNS,
    )
    asked = EvaluateRequest(folder=folder_id, title=by_id[folder_id].title, format=kind, runs=tuple(runs))
    st.button(
        "Evaluate",
        key="evaluate",
        type="primary",
        disabled=not runs,
        on_click=job_status.start,
        args=(settings, [asked]),
    )


def _present(offered: Sequence[Folder], shown: Graded | None) -> str:
    """Return the id of the preselected folder.

    The folder of the ground truth shown, else the first whose name suggests masks, else the first.
    """
    if shown is not None and (found := _folder_of(offered, shown)) is not None:
        return found.id
    words = ("segmentationclass", "mask", "trimap", "annotation", "truth", "label")
    named = (f.id for word in words for f in offered if word in f.path.name.lower())
    return next(named, offered[0].id)


def _folder_of(offered: Sequence[Folder], shown: Graded) -> Folder | None:
    about = shown.about
    return next((f for f in offered if ground_truth.id_of(f.path, about.format, about.classes) == about.id), None)


def watch(selection: photo_queries.Selection) -> None:
    """Show running evaluations, and why the last one failed."""
    settings = Settings.read()
    jobs = [job for job in Jobs(settings).all() if isinstance(job.request, EvaluateRequest)]
    live = [job.id for job in jobs if job.live]
    if live:
        with layout.card("Evaluating", "it goes on without this page", stretch=False):
            job_status.watch(settings, live)
    elif jobs and jobs[0].state == "failed" and _is_of(jobs[0], selection):
        st.warning(plain_markdown(f"{job_status.headline(jobs[0])}: {job_status.outcome(jobs[0])}"))


def _is_of(job: Job, selection: photo_queries.Selection) -> bool:
    """Return whether the job is about a run that still exists."""
    known = {run.run for run in selection.store.runs()}
    return isinstance(job.request, EvaluateRequest) and set(job.request.runs) <= known


def calibration(shown: Graded) -> None:
    """Offer to compute per-pixel confidence, which the store does not keep."""
    settings, run = Settings.read(), shown.main
    if run.weights_sha256 is None:
        return
    folder = _folder_of(source.mask_folders(settings.data), shown)
    if folder is None:
        layout.remark("For each pixel: python -m seglib evaluate --calibration runs the network again.")
        return
    asked = CalibrateRequest(folder=folder.id, title=folder.title, format=shown.about.format, runs=(run.run,))
    st.button(
        "Look at each pixel",
        key="calibrate",
        help="Runs the network over these photos again, for the confidence of each pixel",
        on_click=job_status.start,
        args=(settings, [asked]),
    )
