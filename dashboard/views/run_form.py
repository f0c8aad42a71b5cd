"""Form that starts runs: folder, models and input size, with the expected time and downloads.

Reads the server's settings and the store's runs; starts jobs when the button is pressed. Folders and models are chosen
from lists built on the server, and `jobs` validates the submitted values again.
"""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import byte_size, count, duration, photo_count, pluralize, user_message
from dashboard.offers import remembered_folders
from dashboard.offers.folder_browser import describe_local_path
from dashboard.offers.photo_folders import Folder, display_name, find_roots
from dashboard.queries import source
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
from dashboard.views.add_photos import folder_dialog, upload, welcome
from dashboard.views.shared import controls, job_status
from dashboard.workers.requests import RunRequest
from seglib.inference.config import PRECISIONS
from seglib.models.registry import DEFAULT_MODEL, MODELS, ModelSpec
from seglib.store.records import Run

_INPUT_SIDE_NOTE = " ".join(
    f"{spec.name} sees every photo at a short side of {spec.net_side}, and its mask is resized to this size."
    for spec in MODELS.values()
    if spec.net_side
)

_FOLDER, _MODELS, _RESIZE, _PRECISION, _LIMIT = "start:folder", "start:models", "start:resize", "start:auto", "start:n"
_MAX_NAMES = 3
_MIN_PHOTOS = 8
"""Minimum number of photos for a speed measurement to be meaningful."""


def render(settings: ServerSettings, runs: Sequence[Run]) -> None:
    roots = find_roots(settings)
    offered = source.offered_folders(roots)
    with layout.card("Start a run", stretch=False):
        folder = _choose_folder(settings, offered)
        upload.render(settings, _FOLDER, expanded=not offered and not settings.local_only)
        _explain_folders(settings, roots, folder)
        if folder is None:
            welcome.demo_button(settings)
            return
        models, resize, precision = _choices(settings)
        lines, due = _describe_photos(settings, folder)
        layout.remarks([*lines, *_estimate_runs(due, models, resize, precision, runs)])
        limit = st.session_state.get(_LIMIT)
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


def last_speed(runs: Sequence[Run], model: str, resize: str, precision: str) -> float | None:
    """Return the photos per second of this model's last run here at this resize; None if unknown."""
    for run in reversed(runs):
        if (run.model, run.resize) == (model, resize) and precision in ("auto", run.precision):
            for invocation in reversed(run.invocations):
                if invocation["computed"] >= _MIN_PHOTOS and invocation["seconds"] > 0:
                    return float(invocation["computed"] / invocation["seconds"])
    return None


def download_bytes(spec: ModelSpec) -> int:
    """Return the approximate download size, four bytes per parameter; 0 if the weights are already here."""
    return 0 if spec.path.exists() else 4 * spec.parameters


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
        folder_dialog.button(settings, _FOLDER, primary=not by_id)
        st.button("Look again", key="start:look", help="Lists the folders anew", on_click=source.look_again)
        folder = None if chosen is None else by_id[chosen]
        if folder is not None:
            upload.delete_button(settings, folder)
    return folder


def _explain_folders(settings: ServerSettings, roots: tuple[Path, ...], folder: Folder | None) -> None:
    """Say why a folder is not in the list."""
    lines = []
    if folder is None:
        if settings.folders_named:
            lines.append(f"There are no photos below {', '.join(display_name(path.name) for path in roots)}.")
        else:
            lines.append("There is no folder of photos yet.")
    if links := source.skipped_links(tuple(dict.fromkeys((*settings.photo_folders, *roots)))):
        more = f" and {count(len(links) - _MAX_NAMES)} more" if len(links) > _MAX_NAMES else ""
        names = ", ".join(map(display_name, links[:_MAX_NAMES]))
        how = f"choose it under {folder_dialog.LABEL}" if settings.local_only else "name it when the server is started"
        lines.append(f"Links inside of a folder are not followed ({names}{more}): to analyse one, {how}.")
    if problem := remembered_folders.find_problem(settings):
        lines.append(user_message(problem))
    layout.remarks(lines)


def _choices(settings: ServerSettings) -> tuple[list[ModelChoice], str, str]:
    left, right = st.columns(2)
    with left:
        models = controls.choose_models("Models", source.model_choices(settings), [DEFAULT_MODEL], key=_MODELS)
    with right:
        resize = controls.resize_select(
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
            st.number_input("At most", min_value=1, value=None, step=100, placeholder="all photos", key=_LIMIT)
    return models, resize, chosen_precision


def _describe_photos(settings: ServerSettings, folder: Folder) -> tuple[list[str], int]:
    """Say how many photos there are, and where; also return the number to be analysed."""
    number, left_out = source.scan_images(folder.path)
    limit: int | None = st.session_state.get(_LIMIT)
    due = min(number, limit) if limit else number
    where = f" ({describe_local_path(folder.path)})" if settings.local_only else ""
    first = f", the first {count(due)} of them" if due < number else ""
    lines = [f"{photo_count(number)} in {folder.title}{where}{first}"]
    if left_out.links_outside:
        lines.append(f"{pluralize(left_out.links_outside, 'link')} out of the folder left out")
    return lines, due


def _estimate_runs(
    due: int, models: Sequence[ModelChoice], resize: str, precision: str, runs: Sequence[Run]
) -> list[str]:
    """Say how long each model takes for so many photos, and what is downloaded first."""
    lines = []
    for model in models:
        same = [run for run in runs if model.offer.made(run)]
        speed = last_speed(same, model.name, resize or model.resize, precision)
        if speed:
            lines.append(f"{model.title}: at most about {duration(due / speed)}, at {speed:.0f} photos/s as last time")
        if model.offer.built_in and (fetched := download_bytes(MODELS[model.id])):
            lines.append(f"{model.title}: its weights are not here; about {byte_size(fetched)} are downloaded first")
        if not model.offer.built_in:
            lines.append(f"{model.title}: {count(len(model.classes))} classes, masks of {model.resize}")
    return lines
