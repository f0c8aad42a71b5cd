"""Form that starts an evaluation against a folder of masks, and the status of running evaluations.

Takes a `Selection` and draws on the page. Evaluations run in a separate process; folders are chosen from those that the
dashboard was started with.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import escape_markdown, run_labels
from dashboard.queries import photos as photo_queries
from dashboard.queries import source
from dashboard.settings import ServerSettings
from dashboard.views.evaluate.selection import EvaluationSelection
from dashboard.views.shared import job_status
from dashboard.workers.jobs import Job, Jobs
from dashboard.workers.photo_folders import Folder
from dashboard.workers.requests import MAX_COMPARED_RUNS, CalibrateRequest, EvaluateRequest
from seglib.annotations.options import AUTO, MASK_FORMATS
from seglib.store import ground_truth

_FOLDER, _FORMAT, _RUNS = "evaluate:folder", "evaluate:format", "evaluate:runs"
_FORMATS = {
    AUTO: "Detect from the masks",
    "index": "Class indices, 255 void",
    "voc": "Pascal VOC, 255 void",
    "binary": "Binary: 0 and one other value",
    "trimap": "Oxford trimaps: 1, 2, 3",
    "color": "Colours, named in labelmap.txt",
    "coco": "COCO JSON",
    "yolo": "YOLO segmentation",
}


def render(selection: photo_queries.Selection, evaluation_selection: EvaluationSelection | None) -> None:
    """Draw the form; `evaluation_selection` is the current evaluation, if any."""
    settings = ServerSettings.read()
    offered = source.mask_folders(settings.photo_folders)
    if not offered:
        names = ", ".join(folder.name for folder in settings.photo_folders)
        layout.remark(f"There is no folder of PNG masks below {names}: put one there, or name another with --data.")
        return
    by_id = {folder.id: folder for folder in offered}
    labels = run_labels(selection.store.runs())
    by_use = list(reversed(labels))
    folder_id = st.selectbox(
        "Folder of masks",
        list(by_id),
        index=list(by_id).index(_default_folder(offered, evaluation_selection)),
        format_func=lambda i: by_id[i].title if i in by_id else i,
        key=_FOLDER,
    )
    kind = st.selectbox("Format", MASK_FORMATS, format_func=lambda name: _FORMATS[name], key=_FORMAT)
    runs = st.multiselect(
        "Runs",
        by_use,
        default=[selection.run.run],
        format_func=lambda name: labels.get(name, name),
        max_selections=MAX_COMPARED_RUNS,
        key=_RUNS,
    )
    request = EvaluateRequest(folder=folder_id, title=by_id[folder_id].title, format=kind, runs=tuple(runs))
    st.button(
        "Evaluate",
        key="evaluate",
        type="primary",
        disabled=not runs,
        on_click=job_status.start_jobs,
        args=(settings, [request]),
    )


def _default_folder(offered: Sequence[Folder], selection: EvaluationSelection | None) -> str:
    """Return the id of the preselected folder.

    The folder of the ground truth shown, else the first whose name suggests masks, else the first.
    """
    if selection is not None and (folder := _truth_folder(offered, selection)) is not None:
        return folder.id
    words = ("segmentationclass", "mask", "trimap", "annotation", "truth", "label")
    named = (f.id for word in words for f in offered if word in f.path.name.lower())
    return next(named, offered[0].id)


def _truth_folder(offered: Sequence[Folder], selection: EvaluationSelection) -> Folder | None:
    truth = selection.truth
    return next(
        (
            f
            for f in offered
            if ground_truth.compute_truth_id(f.path, truth.format, truth.classes, truth.options) == truth.id
        ),
        None,
    )


def watch(selection: photo_queries.Selection) -> None:
    """Show running evaluations, and why the last one failed."""
    settings = ServerSettings.read()
    jobs = [job for job in Jobs(settings).all() if isinstance(job.request, EvaluateRequest)]
    live = [job.id for job in jobs if job.live]
    if live:
        with layout.card("Evaluating", "it goes on without this page", stretch=False):
            job_status.watch(settings, live)
    elif jobs and jobs[0].state == "failed" and _runs_exist(jobs[0], selection):
        st.warning(escape_markdown(f"{job_status.headline(jobs[0])}: {job_status.outcome(jobs[0])}"))


def _runs_exist(job: Job, selection: photo_queries.Selection) -> bool:
    """Return whether the job is about a run that still exists."""
    run_names = {run.run for run in selection.store.runs()}
    return isinstance(job.request, EvaluateRequest) and set(job.request.runs) <= run_names


def calibration_button(selection: EvaluationSelection) -> None:
    """Offer to compute per-pixel confidence, which the store does not keep."""
    settings, run = ServerSettings.read(), selection.main_run
    if run.weights_sha256 is None:
        return
    folder = _truth_folder(source.mask_folders(settings.photo_folders), selection)
    if folder is None:
        layout.remark("For each pixel: python -m seglib evaluate --calibration runs the model again.")
        return
    request = CalibrateRequest(folder=folder.id, title=folder.title, format=selection.truth.format, runs=(run.run,))
    st.button(
        "Calibrate per pixel",
        key="calibrate",
        help="Runs the model on these photos again, to get each pixel's confidence",
        on_click=job_status.start_jobs,
        args=(settings, [request]),
    )
