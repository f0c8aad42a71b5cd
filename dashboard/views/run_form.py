"""Form that starts runs: folder, models and input size, with the expected time and downloads.

Reads the server's settings and the store's runs; starts jobs when the button is pressed. Folders and models are chosen
from lists built on the server, and `jobs` validates the submitted values again.
"""

from collections.abc import Sequence

import streamlit as st

from dashboard.components import layout
from dashboard.offers.photo_folders import Folder
from dashboard.queries import source
from dashboard.queries.source import ModelChoice
from dashboard.settings import ServerSettings
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
        limit = st.session_state.get(_LIMIT)
        chosen = ChosenModels(folder=folder, models=models, resize=resize, precision=precision, limit=limit)
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
    return by_id[chosen], models, resize, chosen_precision
