"""Form that starts an evaluation: which masks, how they are read, and three of them over their photos.

Takes a `Selection` and draws on the page. What is said of the masks comes from `queries.masks`, so nothing is computed
before the button is pressed.
"""

import base64
import re
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from dashboard.charts import theme
from dashboard.components import layout
from dashboard.formatting import count, escape_html, escape_markdown, photo_count, pluralize, run_labels, user_message
from dashboard.offers.photo_folders import Folder, find_mask_roots
from dashboard.queries import masks as mask_queries
from dashboard.queries.masks import Inspection, MaskPreview, Offer
from dashboard.queries.photos import Selection
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.views.evaluate.selection import EvaluationSelection, find_truth_source
from dashboard.views.shared import job_status
from dashboard.workers.requests import MAX_COMPARED_RUNS, EvaluateRequest
from seglib.annotations.class_names import clean_names
from seglib.annotations.options import AUTO
from seglib.errors import SegError, UsageError
from seglib.store.ground_truth import GroundTruth

POPOVER = "evaluate:new"
"""Key of the popover that holds the form once there is a ground truth."""

_FOLDER, _FORMAT, _RUNS = "evaluate:folder", "evaluate:format", "evaluate:runs"
_CLASSES, _IGNORE, _OFFSET, _SUFFIX = "evaluate:classes", "evaluate:ignore", "evaluate:offset", "evaluate:suffix"
_CHOSEN_FOLDER, _CHOSEN_RUNS, _READINGS, _SHOWN = "_eval_folder", "_eval_runs", "_eval_readings", "_eval_shown"
"""Session state that outlives the widgets, which are not always drawn."""

_FORMATS = {
    AUTO: "Detect from the masks",
    "index": "Class indices, 255 void",
    "voc": "Pascal VOC, 255 void",
    "binary": "Binary: 0 and one other value",
    "trimap": "Oxford trimaps: 1, 2, 3",
    "color": "Colours, named in labelmap.txt",
    "yolo": "YOLO segmentation labels",
}
_FILE_FORMATS = {AUTO: "Detect from the file", "coco": "COCO JSON"}

_WITH_CLASSES = (AUTO, "index", "voc", "binary", "yolo")
_WITH_VALUES = (AUTO, "index", "voc", "binary", "trimap")
"""Formats that `ignore` and `offset` apply to."""

_CONTROL_NAMES = re.compile("`(format|classes|ignore|offset|suffix)`")
"""Parameters that a refusal names; the controls here have the same names, capitalised."""

_MAX_IGNORED = 0xFFFF
_MAX_EXPLAINED = 5
_REFRESH_SECONDS = 1.0

_Reading = dict[str, Any]
"""Widget key -> value, of the controls that say how masks are read."""


def render(selection: Selection, evaluation_selection: EvaluationSelection | None) -> None:
    """Draw the form; `evaluation_selection` is the current evaluation, if any."""
    settings = session.shown_settings()
    roots = find_mask_roots(settings)
    runs = _choose_runs(selection)
    asked = runs or (selection.run.run,)
    offer = mask_queries.offered(roots, selection.source, asked)
    names = ", ".join(folder.name for folder in roots)
    if offer is None:
        layout.remark(f"Looking for masks below {names} ...")
        _rerun_when(lambda: mask_queries.offered(roots, selection.source, asked) is not None)
        return
    if not offer.sources:
        _explain_no_masks(offer, names)
        return
    truth = None if evaluation_selection is None else evaluation_selection.truth
    masks = _choose_masks(offer.sources, truth)
    request, problem = _read_controls(masks, runs)
    inspection: Inspection | None = Inspection(watched=(), refusal=problem)
    if request is not None:
        inspection = mask_queries.inspected(
            masks.path, selection.source, asked, request.options, selection.view.palette
        )
    _show_inspection(inspection, selection.view.palette)
    _reading_controls("" if inspection is None else inspection.refusal)
    if inspection is None and request is not None:
        options = request.options
        _rerun_when(
            lambda: (
                mask_queries.inspected(masks.path, selection.source, asked, options, selection.view.palette) is not None
            )
        )
    st.button(
        "Evaluate",
        key="evaluate",
        type="primary",
        disabled=not runs or inspection is None or bool(inspection.refusal),
        on_click=_start,
        args=(settings, request),
    )


def _start(settings: ServerSettings, request: EvaluateRequest) -> None:
    """Callback: start the evaluation, and close the popover."""
    job_status.start_jobs(settings, [request])
    if POPOVER in st.session_state:
        st.session_state[POPOVER] = False


def _rerun_when(is_ready: Callable[[], bool]) -> None:
    """Look every second whether the background thread is done, and draw the page again when it is."""

    def look() -> None:
        if is_ready():
            st.rerun()

    st.fragment(look, run_every=_REFRESH_SECONDS)()


# --- what is chosen ----------------------------------------------------------------------------------------------


def _choose_runs(selection: Selection) -> tuple[str, ...]:
    labels = run_labels(selection.store.runs())
    active, state = selection.run.run, st.session_state
    of_run, kept = state.get(_CHOSEN_RUNS, ("", ()))
    chosen = state.get(_RUNS, kept if of_run == active else [active])
    state[_RUNS] = [name for name in chosen if name in labels]
    runs = st.multiselect(
        "Runs",
        list(reversed(labels)),
        format_func=lambda name: labels.get(name, name),
        max_selections=MAX_COMPARED_RUNS,
        key=_RUNS,
    )
    state[_CHOSEN_RUNS] = active, tuple(runs)
    return tuple(runs)


def _choose_masks(offered: Sequence[Folder], truth: GroundTruth | None) -> Folder:
    """Draw the choice of masks, and set the other controls to what was last chosen for these masks."""
    by_id, state = {masks.id: masks for masks in offered}, st.session_state
    if state.setdefault(_FOLDER, state.get(_CHOSEN_FOLDER)) not in by_id:
        state[_FOLDER] = _default_masks(offered, truth).id
    masks = by_id[
        st.selectbox(
            "Folder of masks",
            list(by_id),
            format_func=lambda i: by_id[i].title if i in by_id else i,
            key=_FOLDER,
        )
    ]
    state[_CHOSEN_FOLDER] = masks.id
    readings: dict[str, _Reading] = state.setdefault(_READINGS, {})
    is_truth = truth is not None and find_truth_source([masks], truth) is not None
    reading = readings.setdefault(masks.id, _default_reading(truth if is_truth else None))
    is_new = state.get(_SHOWN) != masks.id
    state[_SHOWN] = masks.id
    for key, value in reading.items():
        if is_new or key not in state:
            state[key] = value
    return masks


def _default_masks(offered: Sequence[Folder], truth: GroundTruth | None) -> Folder:
    """Return the masks of the ground truth shown, else the first whose name suggests masks, else the first."""
    if truth is not None and (masks := find_truth_source(offered, truth)) is not None:
        return masks
    words = ("segmentationclass", "mask", "trimap", "annotation", "truth", "label")
    named = (masks for word in words for masks in offered if word in masks.path.name.lower())
    return next(named, offered[0])


def _default_reading(truth: GroundTruth | None) -> _Reading:
    """Return how the masks of this ground truth were read."""
    options = None if truth is None else mask_queries.truth_options(truth)
    if options is None:
        return {_FORMAT: AUTO, _CLASSES: "", _IGNORE: "", _OFFSET: 0, _SUFFIX: ""}
    return {
        _FORMAT: options.format,
        _CLASSES: ", ".join(options.classes or ()),
        _IGNORE: ", ".join(map(str, options.ignore)),
        _OFFSET: options.offset,
        _SUFFIX: "",
    }


def _read_controls(masks: Folder, runs: tuple[str, ...]) -> tuple[EvaluateRequest | None, str]:
    """Draw the choice of format; return the request for all controls, or why their values make none."""
    state = st.session_state
    formats = _FILE_FORMATS if masks.path.is_file() else _FORMATS
    if state[_FORMAT] not in formats:
        state[_FORMAT] = AUTO
    st.selectbox("Format", list(formats), format_func=lambda name: formats[name], key=_FORMAT)
    state[_READINGS][masks.id] = {key: state[key] for key in (_FORMAT, _CLASSES, _IGNORE, _OFFSET, _SUFFIX)}
    with_classes, with_values = state[_FORMAT] in _WITH_CLASSES, state[_FORMAT] in _WITH_VALUES
    try:
        request = EvaluateRequest(
            folder=masks.id,
            title=masks.title,
            format=state[_FORMAT],
            runs=runs,
            classes=_parse_classes(state[_CLASSES]) if with_classes else (),
            ignore=_parse_values(state[_IGNORE]) if with_values else (),
            offset=state[_OFFSET] or 0 if with_values else 0,
            suffix=state[_SUFFIX].strip(),
        )
        _ = request.options  # raises if they do not go together
    except SegError as error:
        return None, str(error)
    return request, ""


def _parse_classes(text: str) -> tuple[str, ...]:
    """Read `background, cat, dog`; never a path, since the text comes from a browser."""
    return clean_names(tuple(name.strip() for name in text.split(",")), "Classes") if text.strip() else ()


def _parse_values(text: str) -> tuple[int, ...]:
    values = text.replace(",", " ").split()
    if not all(value.isascii() and value.isdecimal() and int(value) <= _MAX_IGNORED for value in values):
        raise UsageError(f"Ignore lists values of pixels, 0 to {_MAX_IGNORED}, such as 0, 250: not {text[:40]!r}.")
    return tuple(sorted({int(value) for value in values}))


def _reading_controls(refusal: str) -> None:
    """Draw the controls that a refusal may ask for; the others are in `More`."""
    state = st.session_state
    kind = state[_FORMAT]
    asks_for_classes = kind in ("index", "binary") or "`classes`" in refusal or state[_CLASSES].strip()
    if kind in _WITH_CLASSES and asks_for_classes:
        st.text_input("Classes", placeholder="background, cat, dog", help="In the order of their indices", key=_CLASSES)
    asked = any(f"`{name}`" in refusal for name in ("ignore", "offset", "suffix"))
    used = bool(state[_IGNORE] or state[_OFFSET] or state[_SUFFIX])
    with st.expander("More", expanded=asked or used):
        if kind in _WITH_VALUES:
            left, right = st.columns(2)
            left.text_input("Ignore", placeholder="0, 250", help="Values that are void, besides 255", key=_IGNORE)
            right.number_input(
                "Offset",
                min_value=-_MAX_IGNORED,
                max_value=_MAX_IGNORED,
                step=1,
                help="Index of a class = value less this; lower values are void. 1 where classes count from 1",
                key=_OFFSET,
            )
        st.text_input(
            "Suffix",
            placeholder="_mask",
            help="What the masks' names end in besides the photos' names; the usual ones are found by themselves",
            key=_SUFFIX,
        )


# --- what is shown of the masks ----------------------------------------------------------------------------------


def _explain_no_masks(offer: Offer, names: str) -> None:
    lines = [
        f"There are no masks of these photos below {names}: put a folder of PNG, TIFF, GIF or BMP masks there, each "
        "named like its photo, YOLO labels or a COCO file, or add another folder on the page Runs."
    ]
    lines += [f"{title} is not offered: {reason}." for title, reason in offer.left_out[:_MAX_EXPLAINED]]
    layout.remarks(lines)


def _show_inspection(inspection: Inspection | None, palette: str) -> None:
    """Show what was read and previews, or why nothing can be read."""
    if inspection is None:
        layout.remark("Looking at the masks ...")
        return
    if inspection.refusal:
        sentence = user_message(_CONTROL_NAMES.sub(lambda match: match[1].capitalize(), inspection.refusal))
        if "`labelmap`" in inspection.refusal:
            sentence += " It is found as labelmap.txt in the masks' folder or beside it."
        st.warning(escape_markdown(sentence))
        return
    have = "has" if inspection.matched == 1 else "have"
    matched = f"{count(inspection.matched)} of {photo_count(inspection.photos)} {have} a mask"
    st.markdown(escape_markdown(f"{matched} · {inspection.description}."))
    _previews(inspection.previews, inspection.classes, palette)
    lines = [f"Matched: {inspection.rules}."]
    if inspection.unused:
        fit = "fits" if inspection.unused == 1 else "fit"
        lines.append(f"{pluralize(inspection.unused, 'mask')} {fit} none of these photos.")
    if inspection.failed:
        lines.append(
            f"{len(inspection.failed)} of {inspection.read} masks looked at would be left out; the first: "
            f"{user_message(inspection.failed[0])}"
        )
    layout.remarks(lines)


def _previews(previews: Sequence[MaskPreview], classes: Sequence[str], palette: str) -> None:
    colours = theme.class_colours(classes, palette)
    present = dict.fromkeys(name for preview in previews for name, _ in preview.classes)
    figures = "".join(
        f"<figure><img src='data:image/jpeg;base64,{base64.b64encode(preview.jpeg).decode()}' "
        f"alt='{escape_html(preview.alt)}'><figcaption>{escape_html(preview.photo)}</figcaption></figure>"
        for preview in previews
    )
    legend = "".join(f"<li><i style='background: {colours[name]}'></i>{escape_html(name)}</li>" for name in present)
    st.html(f"<div class='previews'>{figures}</div><ul class='preview-legend'>{legend}</ul>")
