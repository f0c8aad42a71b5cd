"""The datasets of the store: a notice on every page where a folder is gone, and the list on Runs.

A moved folder is chosen in the notice, on this machine only: the library then checks that it holds the known photos.
"""

from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import DASH, count, escape_markdown
from dashboard.offers import uploaded_photos
from dashboard.queries.source import dataset_entries, error_message, look_again
from dashboard.server import cache
from dashboard.settings import ServerSettings
from dashboard.state import session
from seglib.annotations.class_names import fold_label
from seglib.classes import BACKGROUND
from seglib.data.buckets.address import SCHEMES, Bucket
from seglib.data.photo_root import parse_root
from seglib.data.scan import STORE_MARKER
from seglib.errors import SegError
from seglib.maintenance import datasets
from seglib.maintenance.datasets import DatasetEntry
from seglib.store import content
from seglib.store.records import Dataset
from seglib.store.store import Store

_BY_ITSELF, _NO_CLASS = "\tthe class of the same name", "\tno class"
"""Choices beside the classes, whose names hold no tab."""

_MANY_LABELS = 8
"""With more labels than this, their table scrolls."""


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
            [f"Type the whole path of the folder, such as {Path(str(dataset.root)).anchor}photos/{dataset.root.name}."]
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
                    root = parse_root(entry.root)
                    where = ("gone" if entry.id in missing else "there", "folder")
                    if isinstance(root, Bucket):
                        where = (SCHEMES[root.scheme], "object storage")
                    values = [
                        (count(entry.files), "files"),
                        (count(entry.shared), "photos also in another dataset"),
                        where,
                    ]
                    layout.facts(entry.dataset, str(root) if isinstance(root, Bucket) else root.name, values)
                if st.button("Labels", key=f"labels:{entry.id}", help="Which class each folder label names"):
                    _labels(store, entry)
                if st.button("Remove from store", key=f"forget:{entry.id}"):
                    _confirm_forget(store, entry)


@st.dialog("Which class does each label name?", width="large")
def _labels(store: Store, entry: DatasetEntry) -> None:
    """Draw the labels of a dataset with the classes that they name, and a form that changes one of them."""
    dataset = store.dataset(entry.id)
    try:
        frame = content.describe_labels(store, dataset)
    except SegError as error:
        st.error(escape_markdown(error_message(error)))
        st.button(
            "Remove the label map", key="labels:reset", on_click=content.keep_label_map, args=(store, dataset, {})
        )
        return
    if frame.empty:
        layout.remark("No photo of this dataset has a label.")
        return
    with st.container(height=320 if len(frame) > _MANY_LABELS else "content", border=False):
        layout.html_table(
            [],
            ["label", "photos", "class", "named by"],
            [
                [
                    row["label"],
                    count(row["photos"]),
                    row["class"] or DASH,
                    "the label map" if row["mapped"] else "itself",
                ]
                for row in frame.to_dict("records")
            ],
        )
    _change_label(store, dataset, frame["label"].tolist())


def _change_label(store: Store, dataset: Dataset, labels: list[str]) -> None:
    chosen = content.read_label_map(store, dataset)
    classes = dict.fromkeys(name for run in store.runs() for name in run.classes if name != BACKGROUND)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox("Label", labels, key="labels:label")
        key = f"labels:class:{label}"
        options = [_BY_ITSELF, _NO_CLASS, *classes, *(name for name in chosen.values() if name and name not in classes)]
        by_fold = {fold_label(one): name or _NO_CLASS for one, name in chosen.items()}
        now = by_fold.get(fold_label(label), _BY_ITSELF)
        st.selectbox("Class", options, index=options.index(now), format_func=str.strip, key=key)
        st.button("Save", type="primary", key="labels:save", on_click=_name_label, args=(store, dataset, label, key))
    layout.remark("Changes no mask: pages, exports and filters follow at once. The same from a file: run --label-map.")


def _name_label(store: Store, dataset: Dataset, label: str, key: str) -> None:
    name = st.session_state.get(key, _BY_ITSELF)
    others = content.read_label_map(store, dataset).items()
    label_map = {one: named for one, named in others if fold_label(one) != fold_label(label)}
    if name != _BY_ITSELF:
        label_map[label] = "" if name == _NO_CLASS else name
    content.keep_label_map(store, dataset, label_map)


@st.dialog("Remove this dataset from the store?")
def _confirm_forget(store: Store, entry: DatasetEntry) -> None:
    st.markdown(
        f"**{escape_markdown(entry.dataset)}**: its {count(entry.files)} files leave every page and export. "
        + (
            "The photos were uploaded here and are deleted for good."
            if uploaded_photos.is_uploaded(store.path, Path(entry.root))
            else "The photos themselves stay, and so do their results until stale data is removed: a run over the "
            "folder brings it back."
        )
    )
    if st.button("Remove from store", type="primary", key="forget", on_click=_forget, args=(store, entry)):
        st.rerun()  # closes the dialog


def _forget(store: Store, entry: DatasetEntry) -> None:
    try:
        datasets.forget_dataset(store, entry.id)
        if uploaded_photos.is_uploaded(store.path, Path(entry.root)):
            uploaded_photos.remove(store.path, Path(entry.root))
            look_again()
        cache.remove_stale(store.path)
    except SegError as error:
        session.add_notes([error_message(error)])
