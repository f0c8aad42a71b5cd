"""Dialog that chooses a folder of this machine: a path field and a list of subfolders with their numbers of photos.

Only drawn, and only obeyed, while no other machine can reach the server. What is chosen is remembered in the store.
"""

from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, photo_count, user_message
from dashboard.offers import folder_browser, remembered_folders
from dashboard.offers.folder_browser import FolderListing, ImageCount, describe_local_path
from dashboard.offers.photo_folders import describe_path, display_name
from dashboard.queries import source
from dashboard.settings import ServerSettings
from seglib.errors import SegError

LABEL = "Another folder ..."
FIRST_LABEL = "Choose a folder ..."

_AT, _LIMIT, _TYPED, _PROBLEM = "folder:at", "folder:limit", "folder:typed", "folder:problem"
_IS_OPEN = "folder:is_open"
_LIST_HEIGHT = 280


def button(settings: ServerSettings, folder_key: str, *, first: bool = False) -> None:
    """Draw the button that opens the dialog; the chosen folder becomes the value of the widget `folder_key`.

    `first`: there is no folder to choose from yet.
    """
    if not settings.local_only:
        return
    st.button(
        FIRST_LABEL if first else LABEL, key="folder:open", type="primary" if first else "secondary", on_click=_open
    )
    if st.session_state.get(_IS_OPEN):
        _choose(settings, folder_key)


def _open() -> None:
    source.list_folder.clear()
    st.session_state[_PROBLEM] = st.session_state[_TYPED] = ""
    st.session_state[_IS_OPEN] = True


def _close() -> None:
    st.session_state[_IS_OPEN] = False


@st.dialog("Another folder", width="medium", on_dismiss=_close)
def _choose(settings: ServerSettings, folder_key: str) -> None:
    """Draw the dialog; it stays open when the page reruns, for example when a job ends."""
    if not st.session_state.get(_IS_OPEN):
        st.rerun()  # closes it
    home = folder_browser.find_home()
    at = st.session_state.setdefault(_AT, home)
    st.text_input(
        "Path of the folder",
        key=_TYPED,
        placeholder="~/Pictures/class",
        autocomplete="off",
        on_change=_go_to_typed,
        args=(home,),
    )
    if problem := st.session_state.get(_PROBLEM, ""):
        st.warning(escape_markdown(problem))
    listing = source.list_folder(at)
    with st.container(horizontal=True, vertical_alignment="center", key="folder:here"):
        limit = st.session_state.get(_LIMIT, home)
        st.button(
            "Up",
            key="folder:up",
            icon=":material/arrow_upward:",
            disabled=at in (limit, at.parent),
            on_click=_go_to,
            args=(at.parent,),
        )
        st.markdown(f"**{escape_markdown(describe_local_path(at))}**", width="stretch")
    _subfolders(listing)
    st.button(
        f"Use {escape_markdown(display_name(at.name) or str(at))} · {_describe_count(listing.count)}",
        key="folder:use",
        type="primary",
        disabled=not listing.count.images and listing.count.complete,
        on_click=_use,
        args=(settings, folder_key),
    )
    _remembered(settings)


def _subfolders(listing: FolderListing) -> None:
    if listing.problem:
        st.warning(escape_markdown(f"{listing.problem}."))
        return
    tall = len(listing.folders) > 6
    with st.container(height=_LIST_HEIGHT if tall else "content", border=tall, gap="xsmall", key="folder:list"):
        for name, number in listing.folders:
            path = listing.path / name
            st.button(
                f"{escape_markdown(display_name(name))} · {_describe_count(number)}",
                key=f"folder:enter:{describe_path(path, '').id}",
                icon=":material/folder:",
                type="tertiary",
                on_click=_go_to,
                args=(path,),
            )
        if not listing.folders:
            layout.remark("There are no folders in it.")
    notes = []
    if listing.left_out:
        notes.append(f"{count(listing.left_out)} more folders are not listed: type the path.")
    if listing.links:
        notes.append(f"Links to folders are not followed here ({count(listing.links)}): type the path of one.")
    layout.remarks(notes)


def _remembered(settings: ServerSettings) -> None:
    folders = remembered_folders.find(settings)
    if not folders:
        return
    with st.expander(f"Added before ({count(len(folders))})", key="folder:added"):
        for folder in folders:
            with layout.entry(f"entry:folder:{describe_path(folder, '').id}", gap="xsmall") as text:
                with text:
                    layout.remark(describe_local_path(folder))
                st.button(
                    "Forget",
                    key=f"folder:forget:{describe_path(folder, '').id}",
                    type="tertiary",
                    help="Takes it off the list; the photos and their results stay",
                    on_click=_forget,
                    args=(settings, folder),
                )


def _describe_count(number: ImageCount) -> str:
    if number.complete:
        return photo_count(number.images) if number.images else "no photos"
    return f"at least {photo_count(number.images)}" if number.images else "many files"


# --- callbacks -----------------------------------------------------------------------------------------------------


def _go_to(path: Path) -> None:
    st.session_state[_AT] = path
    st.session_state[_PROBLEM] = st.session_state[_TYPED] = ""


def _go_to_typed(home: Path) -> None:
    text = st.session_state[_TYPED]
    st.session_state[_PROBLEM] = ""
    if not text.strip():
        return
    try:
        path = remembered_folders.parse_folder(text)
    except SegError as error:
        st.session_state[_PROBLEM] = user_message(str(error))
        return
    source.list_folder.clear()
    st.session_state[_AT], st.session_state[_LIMIT] = path, folder_browser.find_limit(path, home)


def _use(settings: ServerSettings, folder_key: str) -> None:
    """Remember the folder that the dialog shows by now: a path that was typed just before the click counts too."""
    if st.session_state.get(_PROBLEM):
        return
    try:
        folder = remembered_folders.add(settings, st.session_state[_AT])
    except SegError as error:
        st.session_state[_PROBLEM] = source.error_message(error)
        return
    source.look_again()
    st.session_state[folder_key] = describe_path(folder, "").id
    _close()


def _forget(settings: ServerSettings, folder: Path) -> None:
    try:
        remembered_folders.forget(settings, folder)
    except SegError as error:
        st.session_state[_PROBLEM] = source.error_message(error)
    source.look_again()
