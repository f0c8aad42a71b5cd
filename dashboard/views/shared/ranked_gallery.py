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
from dashboard.components.gallery import Look, Tile
from dashboard.formatting import count, percent, plain_markdown
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.queries.ranking import PAGE_SIZE, Order, page_of
from dashboard.server import media_urls
from dashboard.state import session
from dashboard.state.view import SIZE_RANGE
from dashboard.views.shared import controls, selection_bar
from dashboard.views.shared.tiles import CHANGED
from seglib.store import tags

Bar = list[tuple[str, float, str]]
"""(name, share 0..1, colour) of each part of a photo."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """Texts and overlay of one photo's tile."""

    value: str
    """Value of the measure sorted by."""
    meaning: str
    """The measure's name."""
    aside: str
    """A second figure, or empty."""
    alt: str
    """Start of the alt text; the photo's parts are appended."""
    mask: str | None
    """URL of the mask drawn over the photo."""
    bar: Bar
    nothing: str
    """Text for a photo without parts."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    key: str
    page: str
    """Name of the view field that holds the page number."""
    files: pd.DataFrame
    """All photos; the index is their position in the run's table."""
    order: Order
    tell: Callable[[Order], Sequence[Told]]
    """Returns the texts for the photos of one page."""
    legend: Callable[[set[str]], list[tuple[str, str]]]
    """Returns the legend as (name, colour), given the names present."""
    opens: dict[str, Any]
    """View changes that open a photo."""
    grey: bool


@contextmanager
def heading(title: str, n: int, chip: str, taken_away: dict[str, Any]) -> Iterator[None]:
    """Draw the heading row; the body of the `with` block is placed at its right.

    `chip` names the matrix cell that filters the photos, if any; `taken_away` is the view change that removes it.
    """
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        st.markdown(f"**{title}**, n = {count(n)}", width="stretch")
        if chip:
            st.button(
                f"{plain_markdown(chip)} :material/close:",
                key="chip:cell",
                help="Show the photos without such pixels too",
                on_click=session.anew,
                kwargs=taken_away,
            )
        yield


def gallery(selection: Selection, shown: Gallery) -> None:
    view, n = selection.view, len(shown.order)
    if not n:
        st.info("No photo of the selection has such pixels: choose another cell, or all photos.")
        return
    page = page_of(shown.order, getattr(view, shown.page))
    tiles = _tiles(selection, shown, page.order)
    gallery_component.gallery(
        tiles,
        shown.legend({name for tile in tiles for name, _, _ in tile.bar}),
        Look(view.overlay, view.opacity, view.size),
        selection_bar.told([tile.id for tile in tiles]),
        total=n,
        sizes=SIZE_RANGE,
        grey=shown.grey,
        key=shown.key,
        on_look=partial(controls.remember_look, shown.key),
        on_picks=partial(selection_bar.pick, shown.key),
        on_all=partial(_pick_all, shown.files, shown.order.at),
        on_open=partial(_open, shown),
    )
    if page.pages > 1:
        controls.pages(page.number, page.pages, n, PAGE_SIZE, shown.page)


def _tiles(selection: Selection, shown: Gallery, here: Order) -> list[Tile]:
    store, source = selection.store, selection.source
    rows = photo_queries.rows(source, shown.files.index.to_numpy()[here.at])
    several = len(photo_queries.options(source, "dataset")) > 1
    changed = photo_queries.changed(source, rows)
    link = controls.image_link(selection.view, **shown.opens)
    found = []
    for row, told in zip(rows.to_dict("records"), shown.tell(here), strict=True):
        words = ", ".join(f"{name} {percent(share)}" for name, share, _ in told.bar) or told.nothing
        found.append(
            Tile(
                id=row["image_id"],
                href=f"{link}{row['image_id']}",
                photo=media_urls.thumbnail_url(store, row["image_id"]),
                mask=told.mask,
                aspect=row["width"] / row["height"],
                name=f"{row['dataset']}: {row['path']}" if several else row["path"],
                alt=f"{row['path']}: {told.alt}{words}",
                found=told.value,
                share=told.meaning,
                aside=told.aside,
                warning="",
                note=CHANGED if (row["dataset"], row["path"]) in changed else "",
                bar=told.bar,
                tags=tags.split(row["tags"]),
            )
        )
    return found


def _pick_all(files: pd.DataFrame, at: NDArray[np.intp]) -> None:
    session.set_picks(session.picks().plus(files["image_id"].iloc[at]))


def _open(shown: Gallery) -> None:
    if image_id := gallery_component.opened_of(shown.key):
        session.go(controls.IMAGE, image=image_id, **shown.opens)
