"""The datasets of the store: a notice on every page where a folder is gone, and the list on Runs.

A moved folder is chosen in the notice, on this machine only: the library then checks that it holds the known photos.
"""

from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown
from dashboard.queries.source import dataset_entries, error_message
from dashboard.server import cache
from dashboard.settings import ServerSettings
from dashboard.state import session
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError
from seglib.maintenance import datasets
from seglib.maintenance.datasets import DatasetEntry
from seglib.store.records import Dataset
from seglib.store.store import Store


def missing_folders(settings: ServerSettings) -> None:
    """Say which folders are gone, with a way to say where they are now; nothing if all are there."""
    if not (settings.store / STORE_MARKER).is_file():
        return
    try:
        store = Store(settings.store)
    except SegError:  # the page says why
        return
    for dataset in datasets.find_missing_folders(store):
        if dataset.id not in store.damaged_datasets():
            _missing_folder(settings, store, dataset)


def _missing_folder(settings: ServerSettings, store: Store, dataset: Dataset) -> None:
    name = "" if dataset.name == dataset.root.name else f" (dataset {dataset.name})"
    sentence = f"The folder {dataset.root.name}{name} is gone: its photos cannot be opened."
    with st.container(horizontal=True, vertical_alignment="center", key=f"missing:{dataset.id}"):
        if not settings.local_only:
            command = f"python -m seglib dataset move {dataset.id} FOLDER"
            st.warning(f"{escape_markdown(sentence)} If it has moved, on the server: `{command}`", width="stretch")
            return
        st.warning(escape_markdown(sentence), width="stretch")
        with st.popover("The folder moved: choose it"), st.form(f"move:{dataset.id}", border=False):
            key = f"moved:{dataset.id}"
            st.text_input(
                "Folder in which the photos are now", key=key, placeholder=str(dataset.root), autocomplete="off"
            )
            layout.remark("Most of the known files must be there, with the same paths and contents.")
            st.form_submit_button(
                "Use this folder", type="primary", key=f"use:{dataset.id}", on_click=_move, args=(store, dataset, key)
            )


def _move(store: Store, dataset: Dataset, key: str) -> None:
    text = str(st.session_state.get(key, "")).strip()
    folder = Path(text).expanduser()
    if not folder.is_absolute():
        session.add_notes(
            [f"Type the whole path of the folder, such as {dataset.root.anchor}photos/{dataset.root.name}."]
        )
        return
    try:
        report = datasets.move_dataset(store, dataset.id, folder)
    except SegError as error:
        session.add_notes([error_message(error)])
        return
    session.add_notes(
        [f"{count(report.found)} of {count(report.files)} files of {report.dataset} are in {folder.name}."]
    )


def render(store: Store, version: str) -> None:
    """Draw the list of datasets, each with a button that removes it from the store."""
    entries = dataset_entries((str(store.path), version))
    missing = {dataset.id for dataset in datasets.find_missing_folders(store)}
    note = f"n = {count(len(entries))}; removing one leaves its photos where they are"
    with layout.card("Datasets in this store", note, stretch=False):
        for entry in entries:
            with layout.entry(f"dataset:{entry.id}") as text:
                with text:
                    values = [
                        (count(entry.files), "files"),
                        (count(entry.shared), "photos also in another dataset"),
                        ("gone" if entry.id in missing else "there", "folder"),
                    ]
                    layout.facts(entry.dataset, Path(entry.root).name, values)
                if st.button("Remove from store", key=f"forget:{entry.id}"):
                    _confirm_forget(store, entry)


@st.dialog("Remove this dataset from the store?")
def _confirm_forget(store: Store, entry: DatasetEntry) -> None:
    st.markdown(
        f"**{escape_markdown(entry.dataset)}**: its {count(entry.files)} files leave every page and export. The photos "
        "themselves stay, and so do their results until stale data is removed: a run over the folder brings it back."
    )
    if st.button("Remove from store", type="primary", key="forget", on_click=_forget, args=(store, entry.id)):
        st.rerun()  # closes the dialog


def _forget(store: Store, dataset_id: str) -> None:
    try:
        datasets.forget_dataset(store, dataset_id)
        cache.remove_stale(store.path)
    except SegError as error:
        session.add_notes([error_message(error)])
