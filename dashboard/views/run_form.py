"""Form that starts runs: folder, models and input size, with the expected time and downloads.

Reads the server's settings and the store's runs; starts jobs when the button is pressed. Folders and models are chosen
from lists built on the server, and `jobs` validates the submitted values again.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import byte_size, count, duration, photo_count
from dashboard.offers.photo_folders import Folder
from dashboard.queries import source
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
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
_MIN_PHOTOS = 8
"""Minimum number of photos for a speed measurement to be meaningful."""


def render(settings: ServerSettings, runs: Sequence[Run]) -> None:
    offered = source.offered_folders(settings.photo_folders)
    with layout.card("Start a run", stretch=False):
        if not offered:
            names = ", ".join(folder.name for folder in settings.photo_folders)
            layout.remark(
                f"There are no photos below {names}: put a folder of photos there, or name another with --data."
            )
            return
        folder, models, resize, precision = _choices(settings, offered)
        _estimates(folder, models, resize, precision, runs)
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


def _choices(settings: ServerSettings, offered: Sequence[Folder]) -> tuple[Folder, list[ModelChoice], str, str]:
    by_id = {folder.id: folder for folder in offered}
    left, right = st.columns(2)
    with left:
        chosen = st.selectbox(
            "Folder of photos", list(by_id), format_func=lambda i: by_id[i].title if i in by_id else i, key=_FOLDER
        )
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
    return by_id[chosen], models, resize, chosen_precision


def _estimates(folder: Folder, models: Sequence[ModelChoice], resize: str, precision: str, runs: Sequence[Run]) -> None:
    """Show the number of photos, the expected time and the downloads."""
    number = source.count_images(folder.path)
    limit: int | None = st.session_state.get(_LIMIT)
    due = min(number, limit) if limit else number
    lines = [f"{photo_count(number)} in {folder.title}" + (f", the first {count(due)} of them" if due < number else "")]
    for model in models:
        same = [run for run in runs if model.offer.made(run)]
        speed = last_speed(same, model.name, resize or model.resize, precision)
        if speed:
            lines.append(f"{model.title}: at most about {duration(due / speed)}, at {speed:.0f} photos/s as last time")
        if model.offer.built_in and (fetched := download_bytes(MODELS[model.id])):
            lines.append(f"{model.title}: its weights are not here; about {byte_size(fetched)} are downloaded first")
        if not model.offer.built_in:
            lines.append(f"{model.title}: {count(len(model.classes))} classes, masks of {model.resize}")
    layout.remarks(lines)
