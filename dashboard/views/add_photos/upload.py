"""Form that makes a dataset of photos that the browser sends: a zip, several photos or a folder.

The files are held in memory until *Add* unpacks them into the store; the fields are then emptied.
"""

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from dashboard.formatting import escape_markdown, photo_count, pluralize
from dashboard.offers import uploaded_photos
from dashboard.offers.photo_folders import Folder, describe_path
from dashboard.queries import source
from dashboard.server import cache
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.workers.jobs import Jobs
from seglib.data.photo_root import resolve_root
from seglib.data.scan import IMAGE_SUFFIXES
from seglib.errors import SegError, UsageError
from seglib.maintenance import datasets
from seglib.store.store import Store

_ROUND, _NAME, _ADDED = "upload:round", "upload:name", "upload:added"
_SUFFIXES = sorted(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES)


def render(settings: ServerSettings, folder_key: str, *, expanded: bool) -> None:
    """Draw the form; the new folder becomes the value of the widget `folder_key`."""
    if added := st.session_state.pop(_ADDED, ""):
        st.success(escape_markdown(added))
    number = st.session_state.setdefault(_ROUND, 0)
    with st.expander("Upload photos", expanded=expanded, key=f"upload:form:{number}"):  # closed again after each
        limit = st.get_option("server.maxUploadSize")
        left, right = st.columns(2)
        with left:
            files = st.file_uploader(
                f"Photos or a zip of them, up to {limit} MB a file",
                type=[*_SUFFIXES, "zip"],
                accept_multiple_files=True,
                key=f"upload:files:{number}",
            )
        with right:
            of_folder = st.file_uploader(
                "A folder with its subfolders, whose names become labels",
                type=_SUFFIXES,
                help="Browse for it: of a folder that is dropped here, browsers do not send the names of subfolders.",
                accept_multiple_files="directory",
                key=f"upload:folder:{number}",
            )
        name = st.text_input(
            "Name of the dataset", key=_NAME, max_chars=60, placeholder="that of the zip or folder", autocomplete="off"
        )
        sent = [*files, *of_folder]
        st.button(
            f"Add {pluralize(len(sent), 'file')}" if sent else "Add",
            key="upload:add",
            disabled=not sent,
            on_click=_add,
            args=(settings, folder_key, name, sent),
        )


def _add(settings: ServerSettings, folder_key: str, name: str, sent: Sequence[UploadedFile]) -> None:
    try:
        added = uploaded_photos.add(settings.store, name, [(file.name, file) for file in sent])
    except SegError as error:
        session.add_notes([source.error_message(error)])
        return
    source.look_again()
    st.session_state[folder_key] = describe_path(added.folder, "").id
    st.session_state[_ROUND] += 1
    st.session_state[_NAME] = ""
    more = f" {pluralize(added.skipped, 'other file')} {'was' if added.skipped == 1 else 'were'} left out."
    st.session_state[_ADDED] = (
        f"{photo_count(added.photos)} {'is' if added.photos == 1 else 'are'} in {added.folder.name}: "
        f"choose models and start.{more if added.skipped else ''}"
    )


# --- deleting ------------------------------------------------------------------------------------------------------


def delete_button(settings: ServerSettings, folder: Folder) -> None:
    """Offer to delete a folder of uploaded photos; nothing for any other folder."""
    if uploaded_photos.is_uploaded(settings.store, folder.path) and st.button("Delete upload", key="upload:delete"):
        _confirm_delete(settings, folder)


@st.dialog("Delete these uploaded photos?")
def _confirm_delete(settings: ServerSettings, folder: Folder) -> None:
    st.markdown(
        f"**{escape_markdown(folder.title)}**: the photos that were uploaded are deleted for good, and leave every "
        "page and export."
    )
    if st.button("Delete", type="primary", key="upload:delete:yes", on_click=_delete, args=(settings, folder)):
        st.rerun()  # closes the dialog


def _delete(settings: ServerSettings, folder: Folder) -> None:
    try:
        if any(job.live and job.request.key[0] == folder.id for job in Jobs(settings).all()):
            raise UsageError(f"A run is using {folder.title}: cancel it first.")
        store = Store(settings.store)
        for dataset in store.datasets():
            if resolve_root(dataset.root) == folder.path:
                datasets.forget_dataset(store, dataset.id)
        uploaded_photos.remove(settings.store, folder.path)
        cache.remove_stale(settings.store)
    except SegError as error:
        session.add_notes([source.error_message(error)])
    source.look_again()
