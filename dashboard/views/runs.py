"""Runs page: start, watch, stop and delete runs, and list what failed or is stale.

Reads the server's settings; works without a run and without a store.
"""

from dataclasses import replace
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import layout
from dashboard.formatting import DASH, byte_size, count, escape_markdown, user_message
from dashboard.offers import models
from dashboard.offers.photo_folders import find_roots
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import RunSource, error_message, offered_folders, open_store
from dashboard.server import cache
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.views import datasets, run_form
from dashboard.views.shared import job_status
from dashboard.workers.requests import RunRequest
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError
from seglib.maintenance import prune
from seglib.maintenance import status as maintenance_status
from seglib.models.registry import MODELS
from seglib.query import export
from seglib.store import content, scans
from seglib.store.records import MAX_TITLE_LENGTH, Run
from seglib.store.store import Store

UNREPEATABLE = "Its model cannot be identified by a digest, so no later run continues this one."

_CHECKED = "runs:checked"


def render(settings: ServerSettings) -> None:
    has_store = (settings.store / STORE_MARKER).is_file()
    damaged = Store(settings.store).damaged_runs() if has_store else {}
    opened = open_store(settings.store) if has_store else None
    runs = opened[2] if opened else []
    with layout.heading(pages.RUNS):
        pass
    job_status.render(settings)
    if damaged:
        _damaged_runs(Store(settings.store), damaged)
    run_form.render(settings, runs)
    if opened is None:
        layout.remark("There is no store yet: the first run creates it.")
        return
    if not runs:
        layout.remark("This store holds no other run." if damaged else "This store holds no run yet.")
        return
    store, version, _ = opened
    damaged_records = (store.damaged_datasets(), scans.find_damaged(store), content.find_damaged(store))
    layout.remarks([user_message(why) for reasons in damaged_records for why in reasons.values()])
    with layout.card("Runs in this store", f"n = {count(len(runs))}, most recently used first", stretch=False):
        for run in reversed(runs):
            _run_entry(settings, store, run)
    datasets.render(store, version)
    _unreadable(RunSource(str(settings.store), version, runs[-1].run))
    _left_out(store)
    _stale(store)


# --- the runs ------------------------------------------------------------------------------------------------------


def _run_entry(settings: ServerSettings, store: Store, run: Run) -> None:
    rows, wrong = _count_rows(store, run)
    with layout.entry(f"entry:{run.run}") as text:
        with text:
            layout.facts(f"{run.display_title} · {run.resize}", run.run, _facts(run, rows))
            layout.remarks([*([wrong] if wrong else []), *([] if run.repeatable else [UNREPEATABLE])])
        with st.container(horizontal=True, width="content"):
            st.button("Explore", key=f"explore:{run.run}", on_click=session.open_run, args=(pages.EXPLORE, run.run))
            again, why_not = _rerun_requests(settings, store, run)
            st.button(
                "Run again",
                key=f"again:{run.run}",
                disabled=not again,
                help=escape_markdown(why_not) or "Computes what is new or has changed in its folders",
                on_click=job_status.start_jobs,
                args=(settings, again),
            )
            st.button(
                "Verify",
                key=f"verify:{run.run}",
                disabled=not again,
                help="Reads every photo and mask again and recomputes what is damaged",
                on_click=job_status.start_jobs,
                args=(settings, [replace(request, verify=True) for request in again]),
            )
            _rename_popover(store, run)
            if st.button("Delete", key=f"delete:{run.run}"):
                _confirm_delete(store, run.run, rows)


def _rename_popover(store: Store, run: Run) -> None:
    with st.popover("Rename", key=f"rename:{run.run}"), st.form(f"rename_form:{run.run}", border=False):
        st.text_input(
            "Title",
            run.title or "",
            max_chars=MAX_TITLE_LENGTH,
            placeholder=run.model,
            key=f"title:{run.run}",
            help="What pages and reports call this run; empty for the model's name. Its files keep their names.",
        )
        st.form_submit_button("Save", key=f"save_title:{run.run}", on_click=_save_title, args=(store, run))


def _save_title(store: Store, run: Run) -> None:
    try:
        store.set_title(run, st.session_state[f"title:{run.run}"])
    except SegError as error:
        session.add_notes([error_message(error)])


def _damaged_runs(store: Store, damaged: dict[str, str]) -> None:
    note = f"n = {count(len(damaged))}; the others are shown without them"
    with layout.card("Runs that cannot be read", note, stretch=False):
        for name, why in damaged.items():
            with layout.entry(f"entry:{name}", gap="xsmall") as text:
                with text:
                    layout.entry_title(name)
                    layout.remark(user_message(why))
                if st.button("Delete", key=f"delete:{name}"):
                    _confirm_delete(store, name, DASH)


def _count_rows(store: Store, run: Run) -> tuple[str, str]:
    """Return the number of photos in the run, and an error message if it cannot be determined."""
    try:
        return count(store.count_rows(run)), ""
    except SegError as error:
        return DASH, error_message(error)


def _facts(run: Run, rows: str) -> list[tuple[str, str]]:
    last: dict[str, Any] = run.invocations[-1] if run.invocations else {}
    timed = [i for i in run.invocations if i["computed"] and i["seconds"]]
    speed = f"{timed[-1]['computed'] / timed[-1]['seconds']:.1f}" if timed else DASH
    return [
        (rows, "photos"),
        (count(last["failed"]) if last else DASH, "unreadable files"),
        (speed, f"photos/s on {timed[-1]['device']}" if timed else "photos/s"),
        (run.precision or DASH, "precision"),
        (run.last_used[:10], f"last used, {run.last_used[11:16]} UTC"),
    ]


def _rerun_requests(settings: ServerSettings, store: Store, run: Run) -> tuple[list[RunRequest], str]:
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


@st.dialog("Delete this run?")
def _confirm_delete(store: Store, run: str, rows: str) -> None:
    number = "" if rows == DASH else f" of {rows} photos"
    bytes_held = byte_size(maintenance_status.run_size_bytes(store, run))
    st.markdown(
        f"**{escape_markdown(run)}**: its statistics and masks{number}, {bytes_held}, are "
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


# --- what failed, what is stale ------------------------------------------------------------------------------------


def _unreadable(source: RunSource) -> None:
    failures = photo_queries.failures(source)
    if failures.empty:
        return
    with layout.card("Unreadable files", f"n = {count(len(failures))}; the same for every run", stretch=False):
        st.dataframe(failures, hide_index=True, lazy=True, alt="Files that could not be read, with reasons")
        st.download_button(
            "CSV",
            data=lambda: export.csv_bytes(failures),
            file_name="unreadable.csv",
            mime="text/csv",
            key="download:unreadable",
            on_click="ignore",
        )


def _left_out(store: Store) -> None:
    """Draw what the newest scan of each folder did not take for photos; nothing if it took everything."""
    option = "--follow-links on the command line"
    notes = [
        f"{dataset.name}: {user_message(sentence.replace('`follow_links`', option))}"
        for dataset in store.datasets()
        if (last := scans.last(store, dataset)) is not None
        for sentence in last.left_out.describe()
    ]
    if notes:
        with layout.card("Left out of the folders", "files and links that no run sees", stretch=False):
            layout.remarks(notes)


def _stale(store: Store) -> None:
    with layout.card(
        "What is stale", "compares the folders with their newest scan, without opening photos", stretch=False
    ):
        if st.button("Check now", key="check"):
            with st.spinner("Scanning the folders"):
                st.session_state[_CHECKED] = _check_store(store)
        if _CHECKED not in st.session_state:
            return
        drifts, runs, stale, differences = st.session_state[_CHECKED]
        st.dataframe(drifts, hide_index=True, alt="Datasets: files that are new, changed or gone")
        st.dataframe(runs, hide_index=True, alt="Runs: photos not computed, stale rows, size")
        layout.remarks(differences)
        if stale:
            layout.remark(f"{count(stale)} rows and pictures no longer belong to a file or a run.")
            st.button("Remove what is stale", key="prune", on_click=_prune, args=(store,))
        else:
            layout.remark("Nothing in the store is stale.")


def _check_store(store: Store) -> tuple[pd.DataFrame, pd.DataFrame, int, list[str]]:
    """Return tables per dataset and per run, how many rows and images can be removed, and how folders differ."""
    status, drifts = maintenance_status.read_status(store), maintenance_status.find_drifts(store)
    files = [
        {
            "dataset": drift.dataset,
            "files known": dataset.files,
            "new": drift.new,
            "changed": drift.changed,
            "of another time": drift.touched,
            "gone": drift.vanished,
            "folder": "there" if drift.available else "without photos" if drift.exists else "gone",
        }
        for dataset, drift in zip(status.datasets, drifts, strict=True)
    ]
    runs = [
        {
            "run": run.run,
            "photos": run.rows,
            "not computed": run.pending,
            "stale rows": run.stale_rows,
            "size": byte_size(maintenance_status.run_size_bytes(store, run.run)),
        }
        for run in status.runs
    ]
    differences = [drift.sentence for drift in drifts if drift.sentence]
    return pd.DataFrame(files), pd.DataFrame(runs), status.stale, differences


def _prune(store: Store) -> None:
    try:
        prune.prune(store)
        cache.remove_stale(store.path)
        st.session_state[_CHECKED] = _check_store(store)
    except SegError as error:
        session.add_notes([error_message(error)])
