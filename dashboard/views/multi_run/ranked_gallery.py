"""Gallery of photos ranked by a measure, used by Compare and Evaluate.

Takes a `Selection`, the ranked photos and the texts of each; clicking a tile opens the viewer, which keeps the same
order.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import gallery as gallery_component
from dashboard.components.gallery import GalleryLegend, GalleryLook, GalleryTile
from dashboard.formatting import count, escape_markdown, percent
from dashboard.queries import photos as photo_queries
from dashboard.queries.images.changed_files import find_changed_files
from dashboard.queries.photos import Selection
from dashboard.queries.ranking import PAGE_SIZE, ImageOrder, get_page
from dashboard.server import media_urls
from dashboard.state import session
from dashboard.state.view import SIZE_RANGE
from dashboard.views.shared import controls, selection_bar
from dashboard.views.shared.tiles import CHANGED
from seglib.query.columns import split_tags

BarParts = list[tuple[str, float, str]]
"""(name, share 0..1, colour) of each part of a photo."""


@dataclass(frozen=True, kw_only=True)
class TileContent:
    """Texts and overlay of one photo's tile."""

    value: str
    """Value of the measure sorted by."""
    meaning: str
    """The measure's name."""
    aside: str
    """A second figure, or empty."""
    lines: tuple[str, ...]
    """The largest differences, in words."""
    alt: str
    """Start of the alt text; the photo's parts are appended."""
    mask: str | None
    """URL of the mask drawn over the photo."""
    bar: BarParts
    empty_text: str
    """Text for a photo without parts."""


@dataclass(frozen=True, kw_only=True)
class RankedGallery:
    key: str
    page_field: str
    """Name of the view field that holds the page number."""
    files: pd.DataFrame
    """All photos; the index is their position in the run's table."""
    order: ImageOrder
    describe: Callable[[ImageOrder], Sequence[TileContent]]
    """Returns the texts for the photos of one page."""
    legend: Callable[[list[GalleryTile]], GalleryLegend]
    """Returns the legend of the tiles of one page."""
    viewer_state: dict[str, Any]
    """View changes that open a photo."""
    grey: bool


@contextmanager
def heading(title: str, n: int, chip: str, cleared_state: dict[str, Any]) -> Iterator[None]:
    """Draw the heading row; the body of the `with` block is placed at its right.

    `chip` names the matrix cell that filters the photos, if any; `cleared_state` is the view change that removes it.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        st.markdown(f"**{title}**, n = {count(n)}", width="stretch")
        if chip:
            st.button(
                f"{escape_markdown(chip)} :material/close:",
                key="chip:cell",
                help="Also show photos without such pixels",
                on_click=session.update_from_first_page,
                kwargs=cleared_state,
            )
        yield


def gallery(selection: Selection, ranked: RankedGallery) -> None:
    view, n = selection.view, len(ranked.order)
    if not n:
        st.info("None of the selected photos has such pixels: choose another cell, or all photos.")
        return
    page = get_page(ranked.order, getattr(view, ranked.page_field))
    tiles = _tiles(selection, ranked, page.order)
    gallery_component.gallery(
        tiles,
        ranked.legend(tiles),
        GalleryLook(view.overlay, view.opacity, view.size),
        selection_bar.pick_state([tile.id for tile in tiles]),
        total=n,
        sizes=SIZE_RANGE,
        grey=ranked.grey,
        key=ranked.key,
        on_look=partial(controls.remember_look, ranked.key),
        on_picks=partial(selection_bar.update_picks, ranked.key),
        on_all=partial(_pick_all, ranked.files, ranked.order.rows),
        on_open=partial(_open, ranked),
        on_similar=partial(_find_similar, ranked.key),
    )
    if page.page_count > 1:
        controls.pagination(page.number, page.page_count, n, PAGE_SIZE, ranked.page_field)


def _tiles(selection: Selection, ranked: RankedGallery, page_order: ImageOrder) -> list[GalleryTile]:
    store, source = selection.store, selection.source
    rows = photo_queries.rows_at(source, ranked.files.index.to_numpy()[page_order.rows])
    with_dataset = len(photo_queries.options(source, "dataset")) > 1
    changed = find_changed_files(source, rows)
    link = controls.image_link(selection.view, **ranked.viewer_state)
    similar = controls.similar_link(selection)
    result = []
    for row, content in zip(rows.to_dict("records"), ranked.describe(page_order), strict=True):
        words = ", ".join(f"{name} {percent(share)}" for name, share, _ in content.bar) or content.empty_text
        result.append(
            GalleryTile(
                id=row["image_id"],
                href=f"{link}{row['image_id']}",
                similar=f"{similar}{row['image_id']}" if similar else "",
                photo=media_urls.thumbnail_url(store, row["image_id"]),
                mask=content.mask,
                aspect=row["width"] / row["height"],
                name=f"{row['dataset']}: {row['path']}" if with_dataset else row["path"],
                alt="; ".join([f"{row['path']}: {content.alt}{words}", *content.lines]),
                found=content.value,
                share=content.meaning,
                aside=content.aside,
                warning="",
                note=CHANGED if (row["dataset"], row["path"]) in changed else "",
                bar=content.bar,
                lines=content.lines,
                tags=split_tags(row["tags"]),
            )
        )
    return result


def _pick_all(files: pd.DataFrame, rows: NDArray[np.intp]) -> None:
    session.set_picks(session.picks().union(files["image_id"].iloc[rows]))


def _open(ranked: RankedGallery) -> None:
    if image_id := gallery_component.read_opened_id(ranked.key):
        session.open_photo(image_id, **ranked.viewer_state)


def _find_similar(key: str) -> None:
    controls.find_similar(gallery_component.read_similar_id(key))
