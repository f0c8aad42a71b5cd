"""Near-duplicates in groups, those across splits first, since such photos were trained on and are tested on."""

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.components import layout
from dashboard.components.gallery import GalleryTile
from dashboard.formatting import count, photo_count, pluralize
from dashboard.queries.photos import Positions
from dashboard.queries.similarity import kept
from dashboard.state import session
from dashboard.views.shared import controls
from dashboard.views.similar import computing
from dashboard.views.similar.found_gallery import draw_gallery, found_tiles, pick_positions
from dashboard.views.similar.scope import SimilarScope
from dashboard.workers.similarity import DUPLICATES
from seglib.query.export import csv_bytes

GROUPS_PER_PAGE = 16
MAX_SHOWN = 12
"""Most photos of a group that are shown."""

_SPLITS = ("train", "val", "test")
_SPAN_WORDS = {"splits": "across splits", "datasets": "across data sets", "labels": "across folders"}


def render(scope: SimilarScope) -> None:
    rows = kept.find_duplicates(scope.query, scope.vectors)
    if rows is None:
        computing.render(scope, DUPLICATES)
        return
    if not len(rows):
        st.info("No two of these photos show the same picture.")
        return
    groups = int(rows["group"].max()) + 1
    notes = ["Embeddings and perceptual hashes both say that these photos show the same picture."]
    if rows["across"].str.contains("splits").any():
        notes.append("On a test photo that it was trained on, a model scores better than it should.")
    layout.answer(describe(rows), notes)
    _actions(scope, rows)
    page_count = -(-groups // GROUPS_PER_PAGE)
    page = min(scope.selection.view.found_page, page_count)
    first = (page - 1) * GROUPS_PER_PAGE
    shown = rows[rows["group"].between(first, first + GROUPS_PER_PAGE - 1)]
    draw_gallery(scope, _tiles(scope, shown), _positions(rows))
    if page_count > 1:
        controls.pagination(page, page_count, groups, GROUPS_PER_PAGE, "found_page", unit="group")


def describe(rows: pd.DataFrame) -> str:
    """`12 groups of near-duplicates, 31 photos, 3 groups across train and test.`"""
    words = [f"{pluralize(rows['group'].nunique(), 'group')} of near-duplicates", photo_count(len(rows))]
    across = rows[rows["across"].str.contains("splits")]
    present = set(across["split"].dropna().astype("str"))
    if leaking := across["group"].nunique():
        splits = [name for name in _SPLITS if name in present]
        names = " and ".join(filter(None, (", ".join(splits[:-1]), *splits[-1:])))
        words.append(f"{pluralize(leaking, 'group')} across {names or 'splits'}")
    return ", ".join(words) + "."


def _actions(scope: SimilarScope, rows: pd.DataFrame) -> None:
    rest = rows[rows.duplicated("group")]
    with st.container(horizontal=True, vertical_alignment="center", key="duplicate_actions"):
        st.button(
            f"Select all but the first of each group ({count(len(rest))})",
            key="select_rest",
            help="To tag or export them with the bar at the bottom",
            on_click=pick_positions,
            args=(scope, _positions(rest)),
        )
        st.download_button(
            "Groups (CSV)",
            data=partial(export_groups, rows),
            file_name=f"{session.selection_words().file_name}-near-duplicates.csv",
            mime="text/csv",
            key="download:duplicates",
            on_click="ignore",
        )


def export_groups(rows: pd.DataFrame) -> bytes:
    return csv_bytes(rows.drop(columns="position"))


def _positions(rows: pd.DataFrame) -> Positions:
    return rows["position"].to_numpy(np.int32)


def _tiles(scope: SimilarScope, rows: pd.DataFrame) -> list[GalleryTile]:
    """Return the tiles of these groups, the first of each with the group's heading."""
    shown = rows[rows.groupby("group").cumcount() < MAX_SHOWN]
    sizes = rows["group"].value_counts()
    tiles = found_tiles(scope, _positions(shown))
    result: list[GalleryTile] = []
    begins = ~shown.duplicated("group")
    for tile, row, is_first in zip(tiles, shown.to_dict("records"), begins, strict=True):
        heading = _heading(row["group"], int(sizes[row["group"]]), str(row["across"])) if is_first else ""
        split = row["split"] if isinstance(row["split"], str) else ""
        result.append(replace(tile, heading=heading, aside=_aside(row["similarity"]), note=tile.note or split))
    return result


def _heading(group: int, size: int, across: str) -> str:
    words = [f"Group {count(group + 1)}", pluralize(size, "photo")]
    words += [_SPAN_WORDS[span] for span in across.split("|") if span in _SPAN_WORDS]
    if size > MAX_SHOWN:
        words.append(f"{count(MAX_SHOWN)} shown")
    return " · ".join(words)


def _aside(similarity: float) -> str:
    return "" if np.isnan(similarity) else f"similarity {similarity:.3f}"
