"""Masks that look wrong without any ground truth, in the Compare page's gallery: order, captions, measuring.

Takes a `ComparisonSelection`. What the masks alone show is measured once, by a job.
"""

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import layout
from dashboard.formatting import count, pluralize
from dashboard.queries.mistakes import suspects as suspect_queries
from dashboard.queries.ranking import ImageOrder
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.state.view import SUSPECTS, View
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.multi_run.ranked_gallery import BarParts, TileContent
from dashboard.views.shared import controls, job_status
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import SuspectsRequest
from seglib.evaluation.mistakes.suspects import REASONS

TITLE = "Masks that look wrong"
_LISTS = {"differing": "Most disagreeing photos", "suspects": TITLE}


def are_shown(view: View) -> bool:
    return view.measure == SUSPECTS and not view.flip


def list_switch(selection: ComparisonSelection) -> None:
    """Draw the choice between the photos on which A and B disagree and those whose mask looks wrong."""
    controls.list_switch(
        "w:compare_list", _LISTS, "suspects" if are_shown(selection.base.view) else "differing", _show_list
    )


def _show_list(name: str | None) -> None:
    if name in _LISTS:
        session.update_from_first_page(measure=SUSPECTS if name == "suspects" else "agreement")


def order(selection: ComparisonSelection) -> ImageOrder:
    return suspect_queries.suspect_order(selection.query)


def positions(selection: ComparisonSelection) -> NDArray[np.intp]:
    return suspect_queries.suspect_positions(selection.query)


def explain(selection: ComparisonSelection) -> None:
    """Say what makes a mask of A look wrong and what was not looked at, and offer to look."""
    found = suspect_queries.suspects(selection.query)
    notes = [note.replace(run, selection.labels[run]) for note in found.notes for run in selection.run_names[:1]]
    layout.remarks(
        [
            f"Masks of A, {selection.labels[selection.a]}, for {', or '.join(REASONS.values())}: "
            f"{count(len(found.photos))} of {pluralize(found.images, 'photo')}, the strongest reason first.",
            *notes,
        ]
    )
    if not found.unmeasured:
        return
    settings = session.shown_settings()
    live = [job for job in Jobs(settings).live() if isinstance(job.request, SuspectsRequest)]
    if live:
        with layout.card("Looking at the masks", "it goes on without this page", stretch=False):
            job_status.watch(settings, [job.id for job in live])
    else:
        st.button(
            f"Look at {pluralize(found.unmeasured, 'mask')}",
            key="look_at_masks",
            help="Reads each mask once, to find two animals in one region and what the frame cuts off",
            on_click=job_status.start_jobs,
            args=(settings, [SuspectsRequest(runs=(selection.a,))]),
        )


def describe_page(
    selection: ComparisonSelection, page_order: ImageOrder, masks: Sequence[str | None], bars: Sequence[BarParts]
) -> list[TileContent]:
    """Return the texts of one page's photos; `masks`: URLs of what is drawn over them; `bars`: the classes of A."""
    photos = suspect_queries.suspects(selection.query).photos
    reasons = photos["reason"].reindex(selection.comparison.files.index[page_order.rows])
    return [
        TileContent(
            value=f"{value:.2f}",
            meaning="suspicion",
            aside="",
            lines=tuple(part[0].upper() + part[1:].replace(" %", "\xa0%") for part in reason.split("; ")),
            alt=f"suspicion {value:.2f}; ",
            mask=mask,
            bar=bar,
            empty_text="nothing but background",
        )
        for value, reason, mask, bar in zip(page_order.values.tolist(), reasons, masks, bars, strict=True)
    ]


def work_list(selection: ComparisonSelection, kind: str) -> bytes:
    """Return the suspects as a file, with full paths only for visitors on this machine."""
    return suspect_queries.export_work_list(selection.query, kind, with_full_paths=ServerSettings.read().local_only)
