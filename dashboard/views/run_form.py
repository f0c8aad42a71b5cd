"""Form that starts runs: folder, models and input size, with the expected time and downloads.

Reads the server's settings and the store's runs; starts jobs when the button is pressed. Folders and models are chosen
from lists built on the server, and `jobs` validates the submitted values again.
"""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, user_message
from dashboard.offers import remembered_folders
from dashboard.offers.folder_browser import describe_local_path
from dashboard.offers.photo_folders import Folder, display_name, find_roots
from dashboard.queries import source
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
from dashboard.state.shown_store import has_run
from dashboard.views.add_photos import folder_dialog, upload, welcome
from dashboard.views.runs import estimates
from dashboard.views.runs.estimates import ChosenModels
from dashboard.views.shared import controls, job_status
from dashboard.workers.requests import RunRequest
from seglib.inference.config import PRECISIONS
from seglib.models.registry import DEFAULT_MODEL, MODELS
from seglib.store.records import Run

_INPUT_SIDE_NOTE = " ".join(
    f"{spec.name} sees every photo at a short side of {spec.net_side}, and its mask is resized to this size."
    for spec in MODELS.values()
    if spec.net_side
)

_FOLDER, _MODELS, _RESIZE, _PRECISION, _LIMIT = "start:folder", "start:models", "start:resize", "start:auto", "start:n"
_MAX_NAMES = 3


def render(settings: ServerSettings, runs: Sequence[Run]) -> None:
    roots = find_roots(settings)
    offered = source.offered_folders(roots)
    with layout.card("Start a run", stretch=False):
        if not offered:
            layout.remark(_describe_nothing(settings, roots))
        folder = _choose_folder(settings, offered)
        upload.render(settings, _FOLDER, expanded=not offered and not settings.local_only)
        _explain_folders(settings, roots)
        if folder is None:
            welcome.demo_button(settings)
            return
        models, resize, precision = _choices(settings)
        limit = st.session_state.get(_LIMIT)
        chosen = ChosenModels(
            folder=folder,
            place=describe_local_path(folder.path) if settings.local_only else "",
            models=models,
            resize=resize,
            precision=precision,
            limit=limit,
        )
        estimates.render(settings, chosen, runs)
        requests = [
            RunRequest(
                folder=folder.id,
                title=folder.title,
                model=model.id,
                model_title="" if model.offer.built_in else model.title,
                resize=resize or model.resize,
                precision=precision,
                limit=limit,
            )
            for model in models
        ]
        st.button(
            "Start" if len(models) < 2 else f"Start {len(models)} runs",
            type="primary",
            key="start",
            disabled=not models,
            on_click=job_status.start_jobs,
            args=(settings, requests),
        )
        welcome.demo_button(settings)


def _choose_folder(settings: ServerSettings, offered: Sequence[Folder]) -> Folder | None:
    """Draw the choice of folder with the ways to others; None if there is nothing to choose from."""
    by_id = {folder.id: folder for folder in offered}
    if st.session_state.get(_FOLDER) not in by_id:
        st.session_state.pop(_FOLDER, None)
    with st.container(horizontal=True, vertical_alignment="bottom", key="start:folders"):
        chosen = None
        if by_id:
            chosen = st.selectbox(
                "Folder of photos",
                list(by_id),
                format_func=lambda i: by_id[i].title if i in by_id else i,
                key=_FOLDER,
                width="stretch",
            )
        folder_dialog.button(settings, _FOLDER, first=not by_id)
        st.button("Look again", key="start:look", help="Reload the list of folders", on_click=source.look_again)
        folder = None if chosen is None else by_id[chosen]
        if folder is not None:
            upload.delete_button(settings, folder)
    return folder


def _describe_nothing(settings: ServerSettings, roots: tuple[Path, ...]) -> str:
    ways = "choose a folder of this computer, or upload some" if settings.local_only else "upload some"
    if settings.folders_named:
        return f"There are no photos below {', '.join(display_name(path.name) for path in roots)}: {ways}."
    if has_run(settings.store):
        return f"No folder of photos was named when the server was started: to analyse more photos, {ways}."
    return f"There are no photos yet: {ways}."


def _explain_folders(settings: ServerSettings, roots: tuple[Path, ...]) -> None:
    """Say why a folder is not in the list."""
    lines = []
    if links := source.skipped_links(tuple(dict.fromkeys((*settings.photo_folders, *roots)))):
        more = f" and {count(len(links) - _MAX_NAMES)} more" if len(links) > _MAX_NAMES else ""
        names = ", ".join(map(display_name, links[:_MAX_NAMES]))
        how = f"choose it under {folder_dialog.LABEL}" if settings.local_only else "name it when the server is started"
        lines.append(f"Links inside of a folder are not followed ({names}{more}): to analyse one, {how}.")
    if problem := remembered_folders.find_problem(settings):
        lines.append(user_message(problem))
    layout.remarks(lines)


def _choices(settings: ServerSettings) -> tuple[list[ModelChoice], str, str]:
    with st.container(key="start:fields"):
        left, right = st.columns(2)
    with left:
        models = controls.choose_models("Models", source.model_choices(settings), [DEFAULT_MODEL], key=_MODELS)
    with right:
        resize = controls.resize_select(
            models,
            key=_RESIZE,
            accept_new_options=True,
            help="224 and 640x480 (width x height) stretch, short:520 keeps the aspect, native keeps the size. "
            f"Others can be typed. {_INPUT_SIDE_NOTE}",
        )
        precision, limit = st.columns([3, 2])
        with precision:
            chosen_precision = st.selectbox(
                "Precision",
                ["auto", *PRECISIONS],
                key=_PRECISION,
                help=(
                    "auto: the precision this model last ran with in this store, otherwise the fastest that "
                    "this machine supports natively"
                ),
            )
        with limit:
            st.number_input("Limit", min_value=1, value=None, step=100, placeholder="none", key=_LIMIT)
    return models, resize, chosen_precision
