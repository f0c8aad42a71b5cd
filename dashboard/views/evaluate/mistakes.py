"""Likely mistakes in the ground truth, in the Evaluate page's gallery: their order, captions, and how to get scores.

Takes a `EvaluationSelection`. Scores come from the store; a job makes those that are missing.
"""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, percent, photo_count
from dashboard.queries.evaluation import EvaluationQuery
from dashboard.queries.mistakes import label_quality
from dashboard.queries.ranking import ImageOrder
from dashboard.server.rendering import DOUBT_COLOUR
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.state.view import MISTAKE_SORTS, View
from dashboard.views.evaluate import counting
from dashboard.views.evaluate.selection import EvaluationSelection
from dashboard.views.multi_run.ranked_gallery import TileContent
from dashboard.views.shared import controls
from seglib.metrics.label_quality import DOUBTFUL_BELOW

TITLE = "Likely mistakes in the ground truth"
LEGEND = f"doubtful: the model gives the label less than {percent(DOUBTFUL_BELOW)} and prefers another class"

_LISTS = {"worst": "Worst photos", "mistakes": TITLE}
_EVERY_CLASS = "every class"


def are_shown(view: View) -> bool:
    return view.grade in MISTAKE_SORTS and not view.cell


def list_switch(selection: EvaluationSelection) -> None:
    """Draw the choice between the photos that the run gets wrong and those whose ground truth may be wrong."""
    controls.list_switch(
        "w:evaluate_list", _LISTS, "mistakes" if are_shown(selection.base.view) else "worst", _show_list
    )


def _show_list(name: str | None) -> None:
    if name == "mistakes":
        session.update_from_first_page(grade="mistakes", layer="doubts")
    elif name == "worst":
        session.update_from_first_page(grade="miou", layer="difference")


def class_select(selection: EvaluationSelection) -> None:
    """Draw the choice of one class by which photos are ranked, or of all."""
    run = selection.main_run
    scored = label_quality.scored_files(selection.query, run.run).quality
    pixels = scored.cells.class_pixels().sum(0)
    names = [run.classes[index] for index in np.argsort(-pixels, kind="stable") if pixels[index]]
    chosen = selection.focus if selection.base.view.grade == "class-quality" else _EVERY_CLASS
    key = session.sync_widget("w:mistake_class", chosen)
    st.selectbox(
        "Class",
        [_EVERY_CLASS, *names],
        key=key,
        label_visibility="collapsed",
        on_change=session.widget_callback(key, _choose_class),
        width=170,
    )


def _choose_class(name: str | None) -> None:
    if name == _EVERY_CLASS:
        session.update_from_first_page(grade="mistakes")
    elif name:
        session.update_from_first_page(grade="class-quality", focus=name)


def order(selection: EvaluationSelection) -> ImageOrder:
    return label_quality.mistake_order(*_query_args(selection))


def positions(selection: EvaluationSelection) -> NDArray[np.intp]:
    """Return the positions of these photos in the active run's table, in this order."""
    return label_quality.mistake_positions(*_query_args(selection))


def _query_args(selection: EvaluationSelection) -> tuple[EvaluationQuery, str, str, str]:
    grade = selection.base.view.grade
    return selection.query, selection.main_run.run, grade, selection.focus if grade == "class-quality" else ""


def has_scores(selection: EvaluationSelection) -> bool:
    return bool(len(label_quality.scored_files(selection.query, selection.main_run.run).rows))


def explain(selection: EvaluationSelection) -> None:
    """Say what the scores are about, and offer to make those that are missing."""
    scored, run = len(label_quality.scored_files(selection.query, selection.main_run.run).rows), selection.main_run
    label = escape_markdown(selection.labels[run.run])
    if run.weights_sha256 is None:
        st.info(
            f"{label} came without a model, so there are no probabilities to judge the ground truth by. "
            "Sort the worst photos by the lowest IoU instead, or choose another run."
        )
        return
    if scored:
        of = "" if scored == selection.photos else f" of {count(selection.photos)}"
        notes = label_quality.scored_files(selection.query, run.run).quality.notes
        layout.remarks(
            [
                f"Ground truth that {selection.labels[run.run]} confidently contradicts. Label quality, 0 to 1: soft "
                "minimum over the pixels of the probability that the model gives to their label; "
                f"n = {count(scored)}{of} {'photo' if scored == 1 and not of else 'photos'}.",
                *(note.replace(run.run, selection.labels[run.run]) for note in notes),
            ]
        )
    else:
        st.info(
            f"To find likely mistakes in {escape_markdown(selection.truth.name)}, {label} has to look at its "
            f"{photo_count(selection.photos)} once more: the store keeps no probabilities."
        )
    if scored < selection.photos:
        counting.judge_button(selection)


def describe_page(
    selection: EvaluationSelection, page_order: ImageOrder, masks: Sequence[str | None], layer: str
) -> list[TileContent]:
    """Return the texts of one page's photos; `masks`: URLs of what is drawn over them."""
    _, run, sort, class_name = _query_args(selection)
    frame = label_quality.scored_files(selection.query, run).describe(page_order.rows, class_name)
    meaning = f"quality of {class_name}" if sort == "class-quality" else "label quality"
    return [
        TileContent(
            value=f"{value:.3f}",
            meaning=meaning,
            aside="" if sort == "class-quality" else f"{row['class']} {row['class_score']:.3f}",
            lines=_as_lines(row["reason"]),
            alt=f"{meaning} {value:.3f}; {layer}: ",
            mask=mask,
            bar=[("doubtful", round(float(row["doubtful"]), 4), DOUBT_COLOUR)] if row["doubtful"] > 0 else [],
            empty_text="no doubtful pixel",
        )
        for row, value, mask in zip(frame.to_dict("records"), page_order.values.tolist(), masks, strict=True)
    ]


def _as_lines(reason: str) -> tuple[str, ...]:
    """Return each part of a reason as a line of its own."""
    return tuple(part[0].upper() + part[1:].replace(" %", "\xa0%") for part in reason.split("; "))


def work_list(selection: EvaluationSelection, kind: str) -> bytes:
    """Return the photos of this list as a file, with full paths only for visitors on this machine."""
    local = ServerSettings.read().local_only
    return label_quality.export_work_list(*_query_args(selection), kind, with_full_paths=local)
