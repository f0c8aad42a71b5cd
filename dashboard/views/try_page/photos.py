"""Photos of Try: run models on the visitor's own photos; nothing is stored unless requested.

The models run in the process behind `predictor`; photos and results live in the visitor's session and end with it.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard.components import layout, viewer
from dashboard.components.viewer import ListPosition, ViewerImage, ViewerLook, ViewerRun
from dashboard.formatting import count, escape_markdown, percent, photo_count, score
from dashboard.offers import photo_folders
from dashboard.queries import source
from dashboard.queries.source import ModelChoice
from dashboard.server import rendering
from dashboard.settings import ServerSettings
from dashboard.state import pages, session
from dashboard.views.shared import controls, photo_figures
from dashboard.workers import uploads
from dashboard.workers.jobs import Jobs
from dashboard.workers.predictor import ImagePrediction, predictor
from dashboard.workers.requests import RunRequest
from dashboard.workers.uploads import MAX_PHOTO_BYTES, MAX_PHOTOS, Upload
from seglib.data.image import FAILURE_REASONS
from seglib.data.scan import IMAGE_SUFFIXES, STORE_MARKER
from seglib.errors import BadImage, SegError
from seglib.masks.overlay import alt_text
from seglib.masks.statistics import CONFIDENCE_COLUMNS, pixels_column, share_column
from seglib.models.registry import DEFAULT_MODEL, MODELS
from seglib.query import export
from seglib.store.records import Run

VIEWER = "try_viewer"
MAX_MODELS = 4
"""Maximum number of models side by side."""

_FILES, _HELD = "try:files", "try:held"
_MODELS, _RESIZE, _SHOWN, _SEEN = "try:models", "try:resize", "try:shown", "try:seen"


@dataclass(frozen=True)
class FailedPrediction:
    """Why a model gave no result."""

    sentence: str
    final: bool
    """True if the photo itself is at fault, so that a retry is pointless."""


PredictionResult = ImagePrediction | FailedPrediction


def render(settings: ServerSettings) -> None:
    runs = source.open_store(settings.store)[2] if (settings.store / STORE_MARKER).is_file() else []
    with layout.card(
        "Your photos", "they stay in memory during this visit; nothing is stored unless you ask for it", stretch=False
    ):
        photos, notes = uploads.accept_files(_files())
        left, right = st.columns([2, 1])
        with left:
            models, missing = choose_models(settings, MAX_MODELS)
            if missing:
                layout.remark(f"{count(missing)} more are available; their weights are downloaded by their first run.")
        with right:
            resize = controls.resize_select(models, key=_RESIZE)
    layout.show_notes(notes)
    if not photos:
        st.info("Choose photos or keep a frame of the live camera, and the chosen models segment them.")
        return
    if not models:
        st.info("Choose at least one model.")
        return
    answers = _predict_all(settings, photos, models, resize, runs)
    predictions = {photo.id: _predictions_of(photo, models, answers) for photo in photos}
    _show_failures(photos, answers)
    readable = [photo for photo in photos if predictions[photo.id]]
    if readable:
        _viewer_section(readable, predictions)
        _all_photos_card(readable, predictions)
        _keep_card(settings, readable, models, resize)


# --- what is asked for ---------------------------------------------------------------------------------------------


def _files() -> list[tuple[str, bytes]]:
    chosen = st.file_uploader(
        f"Photos, at most {MAX_PHOTOS} of up to {MAX_PHOTO_BYTES // 1_000_000} MB each",
        type=sorted(suffix.removeprefix(".") for suffix in IMAGE_SUFFIXES),
        accept_multiple_files=True,
        key=_FILES,
        max_upload_size=MAX_PHOTO_BYTES // 1_000_000,
    )
    held = held_photos()
    if held:
        with st.container(horizontal=True, vertical_alignment="center", key="held"):
            layout.remark(f"{photo_count(len(held))} of this visit kept: {', '.join(name for name, _ in held)}")
            st.button("Remove", key="drop_held", type="tertiary", on_click=_drop_held, help="Forget the kept photos")
    return [*held, *((file.name, file.getvalue()) for file in chosen)]


def held_photos() -> list[tuple[str, bytes]]:
    """Return (name, bytes) of the photos that stay when the uploader disappears: frames of the camera, and uploads."""
    held: list[tuple[str, bytes]] = st.session_state.get(_HELD, [])
    return held


def hold(photos: Sequence[tuple[str, bytes]]) -> bool:
    """Keep these photos for this visit; False if they are more than the limit. Call from a callback."""
    held = [*held_photos(), *photos]
    st.session_state[_HELD] = held[:MAX_PHOTOS]
    return len(held) <= MAX_PHOTOS


def hold_uploads() -> None:
    """Keep the files of the uploader; call from a callback, before the uploader disappears."""
    hold([(file.name, file.getvalue()) for file in st.session_state.get(_FILES) or []])


def _drop_held() -> None:
    st.session_state[_HELD] = []


def choose_models(settings: ServerSettings, limit: int) -> tuple[list[ModelChoice], int]:
    """Let the visitor choose up to `limit` models whose weights are here; the choice is that of all of Try.

    Returns the chosen models, and the number of those whose weights are not here.
    """
    choices = source.model_choices(settings)
    missing = [one for one in choices if one.offer.built_in and not MODELS[one.id].path.exists()]
    here = [one for one in choices if one not in missing]
    default = DEFAULT_MODEL if DEFAULT_MODEL in [one.id for one in here] else here[0].id if here else ""
    if len(chosen := st.session_state.get(_MODELS, [])) > limit:
        st.session_state[_MODELS] = chosen[:limit]
    label = f"Models side by side, at most {limit}"
    return controls.choose_models(label, here, [default], key=_MODELS, limit=limit), len(missing)


# --- asking --------------------------------------------------------------------------------------------------------


def _predict_all(
    settings: ServerSettings, uploads: Sequence[Upload], models: Sequence[ModelChoice], resize: str, runs: Sequence[Run]
) -> dict[tuple[str, str], PredictionResult]:
    """Return (image_id, model) -> answer; answers from this session are reused."""
    likes = {model.id: _matching_run(model, resize, runs) for model in models}
    titles = {model.id: model.title for model in models}
    cached: dict[tuple[str, ...], PredictionResult] = st.session_state.get(_SEEN, {})
    wanted = {
        (photo.id, model.id): (photo.id, model.id, resize, like.run if (like := likes[model.id]) else "")
        for model in models
        for photo in uploads
    }
    data_of = {photo.id: photo.data for photo in uploads}
    missing = [(pair, key) for pair, key in wanted.items() if key not in cached]
    if missing:
        bar = st.progress(0.0)
        for number, ((image_id, model), key) in enumerate(missing):
            bar.progress(
                number / len(missing), text=f"{escape_markdown(titles[model])}, {number + 1} of {len(missing)}"
            )
            like = likes[model]
            cached[key] = _predict(
                data_of[image_id], model, resize, None if like is None else (settings.store.resolve(), like)
            )
        bar.empty()
    st.session_state[_SEEN] = {key: cached[key] for key in wanted.values()}
    return {pair: cached[key] for pair, key in wanted.items()}


def _predict(photo: bytes, model: str, resize: str, like: tuple[Path, Run] | None) -> PredictionResult:
    try:
        return predictor.predict(photo, model=model, resize=resize, like=like)
    except BadImage as error:
        return FailedPrediction(f"It cannot be read: {FAILURE_REASONS[error.reason]}.", final=True)
    except SegError as error:
        return FailedPrediction(source.error_message(error), final=False)


def _matching_run(model: ModelChoice, resize: str, runs: Sequence[Run]) -> Run | None:
    """Return the newest run of this model and resize in the store, whose precision is reused."""
    wanted = resize or model.resize
    return next((run for run in reversed(runs) if run.resize == wanted and model.offer.made(run)), None)


def _predictions_of(
    photo: Upload, models: Sequence[ModelChoice], answers: dict[tuple[str, str], PredictionResult]
) -> list[tuple[str, ImagePrediction]]:
    """Return (title, result) of the models that gave one."""
    results = [(model.title, answers[photo.id, model.id]) for model in models]
    return [(title, answer) for title, answer in results if isinstance(answer, ImagePrediction)]


def _show_failures(uploads: Sequence[Upload], answers: dict[tuple[str, str], PredictionResult]) -> None:
    """Show each error once, even if several models report it for the same photo."""
    names = {photo.id: photo.name for photo in uploads}
    refused = [
        (names[image_id], answer) for (image_id, _), answer in answers.items() if isinstance(answer, FailedPrediction)
    ]
    layout.show_notes(list(dict.fromkeys(f"{name}: {answer.sentence}" for name, answer in refused)))
    if any(not answer.final for _, answer in refused):
        st.button("Ask again", key="again", on_click=_forget_failures)


def _forget_failures() -> None:
    predictions = {
        key: answer for key, answer in st.session_state[_SEEN].items() if isinstance(answer, ImagePrediction)
    }
    st.session_state[_SEEN] = predictions


# --- showing -------------------------------------------------------------------------------------------------------


def _viewer_section(readable: Sequence[Upload], predictions: dict[str, list[tuple[str, ImagePrediction]]]) -> None:
    """Show one photo under all masks, and its figures."""
    ids = [photo.id for photo in readable]
    shown_id = st.session_state.get(_SHOWN)
    index = ids.index(shown_id) if shown_id in ids else 0
    st.session_state[_SHOWN] = ids[index]
    with st.container(horizontal=True, vertical_alignment="bottom", key="controls"):
        names = {photo.id: photo.name for photo in readable}
        st.selectbox("Photo", ids, format_func=lambda i: names.get(i, i), key=_SHOWN, width="stretch")
        controls.colours_select()
    view = session.view()
    near = readable[max(0, index - 1) : index + 2]  # include its neighbours, so that the next one shows immediately
    viewer.viewer(
        [_viewer_image(photo, predictions[photo.id]) for photo in near],
        near.index(readable[index]),
        [ViewerRun.create(title, title, one.classes, view.palette) for title, one in predictions[ids[index]]],
        ListPosition(position=index, total=len(ids)),
        replace(ViewerLook.from_view(view), uncertainty=False),
        colours=view.palette,
        key=VIEWER,
        on_navigate=_navigate,
    )
    current = predictions[ids[index]]
    left, right = layout.card_rows("tried").columns([3, 2])
    with left:
        photo_figures.render([(title, one.row) for title, one in current])
    with right:
        _agreement(current)
        _computation_card(current)


def _viewer_image(photo: Upload, predictions: Sequence[tuple[str, ImagePrediction]]) -> ViewerImage:
    first = predictions[0][1]
    return ViewerImage(
        image_id=photo.id,
        name=photo.name,
        width=first.width,
        height=first.height,
        photo=uploads.data_uri(first.picture, "jpeg"),
        thumbnail=None,
        note="",
        masks={title: uploads.data_uri(rendering.grey_mask(one.mask), "png") for title, one in predictions},
        heats={},
    )


def _navigate() -> None:
    """Callback: follow the visitor to another photo in the viewer."""
    if (sent := viewer.read_navigation(VIEWER)) is None:
        return
    st.session_state[_SHOWN], look = sent
    session.update_view(**asdict(replace(look, uncertainty=session.view().uncertainty)))  # there are no such maps here


def _agreement(predictions: Sequence[tuple[str, ImagePrediction]]) -> None:
    pairs = uploads.pairwise_agreement(predictions)
    if pairs:
        with layout.card("Pixel agreement", "pixels of the same class in both; agreement, not accuracy", stretch=False):
            layout.html_table([], ["models", "agreement"], [[f"{a} and {b}", percent(share)] for a, b, share in pairs])


def _computation_card(predictions: Sequence[tuple[str, ImagePrediction]]) -> None:
    with layout.card("How it was computed", stretch=False):
        layout.html_table(
            [],
            ["model", "mask", "precision", "time"],
            [
                [
                    title,
                    f"{prediction.row['grid_width']} x {prediction.row['grid_height']}",
                    f"{prediction.precision} on {prediction.device}",
                    f"{prediction.seconds * 1000:.0f} ms",
                ]
                for title, prediction in predictions
            ],
        )


def _all_photos_card(readable: Sequence[Upload], predictions: dict[str, list[tuple[str, ImagePrediction]]]) -> None:
    """Show all photos and models as a table, and offer the rows the store would hold as CSV."""
    rows = [(photo, title, prediction) for photo in readable for title, prediction in predictions[photo.id]]
    with layout.card("All of them", f"n = {photo_count(len(readable))}", stretch=False):
        table = [
            {
                "photo": photo.name,
                "model": title,
                "seen": alt_text(_shares(prediction)),
                "confidence": score(prediction.row["confidence"]),
                "undecided pixels": percent(prediction.row["low_margin"]),
            }
            for photo, title, prediction in rows
        ]
        st.dataframe(pd.DataFrame(table), hide_index=True, alt="What each model saw in each photo")
        st.download_button(
            "CSV",
            data=lambda: export.csv_bytes(_statistics(rows)),
            file_name="tried.csv",
            mime="text/csv",
            key="download:tried",
            help="The statistics as in an export of the store",
            on_click="ignore",
        )


def _shares(prediction: ImagePrediction) -> dict[str, float]:
    pixels = prediction.row["grid_width"] * prediction.row["grid_height"]
    return {name: prediction.row[pixels_column(name)] / pixels for name in prediction.classes}


def _statistics(rows: Sequence[tuple[Upload, str, ImagePrediction]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"path": photo.name, "width": prediction.width, "height": prediction.height, "image_id": photo.id}
            | {"run": prediction.run, "model": title}
            | prediction.row
            | {share_column(name): share for name, share in _shares(prediction).items()}
            for photo, title, prediction in rows
        ]
    ).astype(dict.fromkeys(CONFIDENCE_COLUMNS, "float32"))


# --- keeping -------------------------------------------------------------------------------------------------------


def _keep_card(
    settings: ServerSettings, readable: Sequence[Upload], models: Sequence[ModelChoice], resize: str
) -> None:
    where = f"{settings.photo_folders[0].name}/{photo_folders.UPLOADS}"
    with layout.card("Keep in the store", stretch=False):
        layout.remark(
            f"Writes {photo_count(len(readable))} into the folder {where} of this machine, and starts "
            f"{'a run' if len(models) == 1 else f'{len(models)} runs'} on that folder."
        )
        st.button("Keep", key="keep", on_click=_keep_uploads, args=(settings, readable, models, resize))


def _keep_uploads(
    settings: ServerSettings, readable: Sequence[Upload], models: Sequence[ModelChoice], resize: str
) -> None:
    try:
        for photo in readable:
            photo_folders.save_upload(settings.photo_folders, photo.name, photo.data)
        folder = photo_folders.uploads_folder(settings.photo_folders)
        for model in models:
            request = RunRequest(
                folder=folder.id,
                title=folder.title,
                model=model.id,
                model_title="" if model.offer.built_in else model.title,
                resize=resize or model.resize,
            )
            Jobs(settings).start(request)
    except SegError as error:
        session.add_notes([source.error_message(error)])
    session.go_to_page(pages.RUNS)
