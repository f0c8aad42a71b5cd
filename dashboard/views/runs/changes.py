"""What no run sees or what is no longer current: unreadable files, files left out, and changes on disk.

Reads the store; draws cards on the Runs page.
"""

import pandas as pd
import streamlit as st

from dashboard.components import layout
from dashboard.formatting import byte_size, count, user_message
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import RunSource, error_message
from dashboard.server import cache
from dashboard.state import session
from seglib.errors import SegError
from seglib.maintenance import prune
from seglib.maintenance import status as maintenance_status
from seglib.query import export
from seglib.store import scans
from seglib.store.store import Store

_CHECKED = "runs:checked"


def unreadable(source: RunSource) -> None:
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


def left_out(store: Store) -> None:
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


def changes_on_disk(store: Store) -> None:
    with layout.card(
        "Changes on disk", "compares the folders with their newest scan, without opening photos", stretch=False
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
