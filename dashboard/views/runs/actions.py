"""What can be done with a run: explore, compare, run again, verify, rename, read its log, delete.

`do` is called while the page is drawn; some actions open a dialog, others switch the page or start a job.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import byte_size, escape_markdown, photo_count, run_labels
from dashboard.offers import models
from dashboard.offers.photo_folders import find_roots
from dashboard.queries.source import error_message, offered_folders
from dashboard.server import cache
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.views.shared import job_status
from dashboard.workers import job_log
from dashboard.workers.jobs import Job
from dashboard.workers.requests import RunRequest
from seglib.errors import SegError
from seglib.maintenance import disk_use, prune
from seglib.maintenance.disk_use import DiskUse
from seglib.models.registry import MODELS
from seglib.store.records import MAX_TITLE_LENGTH, Run
from seglib.store.store import Store

EXPLORE, COMPARE, AGAIN, VERIFY = "explore", "compare", "again", "verify"
RENAME, LOG, DELETE = "rename", "log", "delete"

_WRONG_TITLE = "runs:wrong_title"


def do(run: Run, action: str, *, settings: ServerSettings, store: Store, runs: Sequence[Run], job: Job | None) -> None:
    """Do what was chosen in the menu of `run`; `job`: its newest job."""
    others = [other for other in reversed(runs) if other.run != run.run]
    if action == EXPLORE:
        session.open_run(pages.EXPLORE, run.run)
        st.rerun()
    elif action == COMPARE and len(others) == 1:
        compare(run.run, others[0].run)
        st.rerun()
    elif action == COMPARE and others:
        _choose_other(runs, run, others)
    elif action in (AGAIN, VERIFY):
        requests, _ = rerun_requests(settings, store, run)
        job_status.start_jobs(settings, [replace(request, verify=action == VERIFY) for request in requests])
        st.rerun()
    elif action == RENAME:
        _rename(store, run)
    elif action == LOG and job is not None:
        show_log(settings, job, run.display_title)
    elif action == DELETE:
        confirm_delete(store, run.run, run.display_title)


def disk_size(use: DiskUse) -> str:
    return byte_size(use.bytes) if use.exact else f"about {byte_size(use.bytes)}"


def compare(a: str, b: str) -> None:
    """Switch to Compare with these two runs on the next rerun."""
    session.go_to_page(pages.COMPARE, run=a, against=b, runs=tuple(sorted((a, b))), demo=False)


def rerun_requests(settings: ServerSettings, store: Store, run: Run) -> tuple[list[RunRequest], str]:
    """Return the requests that bring this run up to date, one for each of its folders that is offered here, and why
    there are none.
    """
    model, why_not = _model_of(settings, run)
    if why_not:
        return [], why_not
    used = {str(invocation["dataset"]) for invocation in run.invocations}
    folders = {dataset.root for dataset in store.datasets() if dataset.id in used}
    requests = [
        RunRequest(
            folder=folder.id,
            title=folder.title,
            model=model,
            model_title="" if model == run.model else run.display_title,
            resize=run.resize,
            precision=run.precision or "auto",
        )
        for folder in offered_folders(find_roots(settings))
        if folder.path in folders
    ]
    return requests, "" if requests else "Its folders are not among those that this dashboard offers."


def _model_of(settings: ServerSettings, run: Run) -> tuple[str, str]:
    """Return the id of the run's model, and why it cannot be used."""
    if run.precision is None:
        return "", "Its masks were imported: no model of this program made them."
    if run.request:
        try:
            models.check_run(settings, run)
        except SegError as error:
            return "", error_message(error)
        return f"{models.RUN_PREFIX}{run.run}", ""
    spec = MODELS.get(run.model)
    if spec is None:
        return "", "Its model was in the memory of another program, or its path is not known."
    same = (run.weights_sha256 or "").startswith(spec.sha256)
    return run.model, "" if same else "Its weights are not those of the model of this name."


# --- dialogs -------------------------------------------------------------------------------------------------------


@st.dialog("Compare with another run")
def _choose_other(runs: Sequence[Run], run: Run, others: Sequence[Run]) -> None:
    labels = run_labels(runs)
    layout.remark(f"A: {labels[run.run]}")
    other = st.selectbox("B", [one.run for one in others], format_func=lambda name: labels[name], key="runs:other")
    if st.button("Compare", type="primary", key="runs:compare"):
        compare(run.run, other)
        st.rerun()


@st.dialog("Rename this run")
def _rename(store: Store, run: Run) -> None:
    with st.form(f"rename:{run.run}", border=False):
        st.text_input(
            "Title",
            run.title or "",
            max_chars=MAX_TITLE_LENGTH,
            placeholder=run.model,
            key=f"title:{run.run}",
            help="What pages and reports call this run; empty for the model's name. Its files keep their names.",
        )
        saved = st.form_submit_button(
            "Save", type="primary", key=f"save_title:{run.run}", on_click=_save_title, args=(store, run)
        )
    if wrong := st.session_state.pop(_WRONG_TITLE, ""):
        st.error(escape_markdown(wrong))
    elif saved:
        st.rerun()  # closes the dialog


def _save_title(store: Store, run: Run) -> None:
    try:
        store.set_title(run, st.session_state[f"title:{run.run}"])
    except SegError as error:
        st.session_state[_WRONG_TITLE] = error_message(error)


@st.dialog("Log", width="large")
def show_log(settings: ServerSettings, job: Job, title: str) -> None:
    """Show the last lines of a job's log, with the whole of it to download."""
    layout.remark(f"{title}: {job_status.outcome(job) if not job.live else job_status.progress(job)}")
    try:
        text = job_log.read_log(settings, job.id)
    except SegError as error:
        st.info(escape_markdown(error_message(error)))
        return
    if not text.strip():
        layout.remark("Nothing is written in it.")
        return
    st.code(text, language=None, wrap_lines=True, height=min(420, 60 + 22 * text.count("\n")))
    st.download_button(
        "Download",
        data=partial(_whole_log, settings, job.id),
        file_name=f"job-{job.id}.txt",
        mime="text/plain",
        key="download:log",
        on_click="ignore",
    )


def _whole_log(settings: ServerSettings, job_id: str) -> bytes:
    return job_log.read_log(settings, job_id, job_log.MAX_BYTES).encode()


@st.dialog("Delete this run?")
def confirm_delete(store: Store, run: str, title: str = "") -> None:
    """Ask whether a run, which may be unreadable, is to be deleted."""
    size = disk_use.measure_run(store, run)
    try:
        rows = f" of {photo_count(store.count_rows(store.run(run)))}"
    except SegError:
        rows = ""
    name = (
        f"{escape_markdown(title)}** ({escape_markdown(run)})"
        if title not in ("", run)
        else f"{escape_markdown(run)}**"
    )
    st.markdown(
        f"**{name}: its statistics and masks{rows}, {disk_size(size)}, are "
        "deleted for good. The photos themselves and all other runs stay."
    )
    if st.button("Delete", type="primary", key="delete", on_click=_delete, args=(store, run)):
        st.rerun()  # closes the dialog


def _delete(store: Store, run: str) -> None:
    try:
        prune.remove_run(store, run)
        session.forget_run(run)
        cache.remove_stale(store.path)
    except SegError as error:
        session.add_notes([error_message(error)])
