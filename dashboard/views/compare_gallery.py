"""The most disagreeing photos: where A and B differ over grey photos, sorted by any measure.

In: a `Versus`. Out: elements on the page; a tile opens the viewer with the difference on.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import components, data, media, session
from dashboard.comparisons import Order, parts_of
from dashboard.components import Look, Tile
from dashboard.formats import NOTHING, count, percent, plain_markdown, signed, tenths
from dashboard.state import DISAGREEMENTS, SIZE_RANGE
from dashboard.views import compare_cards, parts, picked
from dashboard.views.tiles import CHANGED
from dashboard.views.versus import Versus
from seglib import tags
from seglib.difference import CATEGORIES

GALLERY = "difference_gallery"
PAGE_SIZE = 24

_OF_CLASS = ("iou", "area")
_DIFFERING = ("only_a", "only_b", "other", "uncompared")
_SHORT = {"agreement": "agreement", "foreground": "foreground agreement", "flip": "of the photo"}


def render(shown: Versus) -> None:
    view = shown.selection.view
    order = data.disagreeing(shown.asked, shown.b, view.measure, shown.focus, view.flip)
    _controls(shown, len(order.at))
    if not len(order.at):
        st.info("No photo of the selection has such pixels: choose another cell, or all photos.")
        return
    pages = -(-len(order.at) // PAGE_SIZE)
    page = min(view.page, pages)
    first = (page - 1) * PAGE_SIZE
    here = Order(order.at[first : first + PAGE_SIZE], order.values[first : first + PAGE_SIZE])
    tiles = _tiles(shown, here)
    components.gallery(
        tiles,
        _legend(tiles),
        Look(view.overlay, view.opacity, view.size),
        picked.told([tile.id for tile in tiles]),
        total=len(order.at),
        sizes=SIZE_RANGE,
        grey=True,
        key=GALLERY,
        on_look=partial(parts.remember_look, GALLERY),
        on_picks=partial(picked.pick, GALLERY),
        on_all=partial(_pick_all, shown, order.at),
        on_open=partial(_open, shown),
    )
    if pages > 1:
        parts.pages(page, pages, len(order.at), PAGE_SIZE)


def _controls(shown: Versus, n: int) -> None:
    view, flip = shown.selection.view, shown.selection.view.flip
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        st.markdown(f"**Most disagreeing photos**, n = {count(n)}", width="stretch")
        if flip:
            st.button(
                f"{plain_markdown(f'A: {flip[0]}, B: {flip[1]}')} :material/close:",
                key="chip:flip",
                help="Show the photos without such pixels too",
                on_click=session.change,
                kwargs={"flip": (), "measure": "agreement", "page": 1},
            )
        names = [name for name in DISAGREEMENTS if (flip or name != "flip") and (shown.focus or name not in _OF_CLASS)]
        key = session.controlled("w:measure", view.measure)
        st.selectbox(
            "Sort",
            names,
            format_func=lambda name: DISAGREEMENTS[name].replace("the chosen class", shown.focus or "the chosen class"),
            label_visibility="collapsed",
            key=key,
            on_change=session.on(key, lambda name: session.change(measure=name, page=1)),
            width=320,
        )


def _tiles(shown: Versus, here: Order) -> list[Tile]:
    store, source = shown.selection.store, shown.selection.source
    rows = data.rows(source, shown.found.files.index.to_numpy()[here.at])
    several = len(data.options(source, "dataset")) > 1
    changed = data.changed(source, rows)
    agreement = shown.found.measures[shown.a, shown.b]["pixel_agreement"].each()[here.at]
    parts_here = parts_of(shown.found, shown.a, shown.b, here.at)
    link = parts.image_link(shown.selection.view, against=shown.b, difference="overlay")
    measure = shown.selection.view.measure
    found = []
    for row, value, alike, shares in zip(rows.to_dict("records"), here.values, agreement, parts_here, strict=True):
        image_id = row["image_id"]
        bar = [
            (category.label, round(float(share), 4), category.colour)
            for category, share in zip(CATEGORIES, shares, strict=True)
            if category.key in _DIFFERING and share > 0
        ]
        words = ", ".join(f"{name} {percent(share)}" for name, share, _ in bar) or "no difference"
        found.append(
            Tile(
                id=image_id,
                href=f"{link}{image_id}",
                photo=media.thumbnail_url(store, image_id),
                mask=media.difference_url(store, shown.a, shown.b, image_id),
                aspect=row["width"] / row["height"],
                name=f"{row['dataset']}: {row['path']}" if several else row["path"],
                alt=f"{row['path']}: pixel agreement {tenths(alike)}; {words}",
                found=NOTHING if np.isnan(value) else _written(measure, float(value)),
                share=_meaning(shown, measure),
                aside="" if measure == "agreement" else f"agreement {percent(alike)}",
                warning="",
                note=CHANGED if (row["dataset"], row["path"]) in changed else "",
                bar=bar,
                tags=tags.split(row["tags"]),
            )
        )
    return found


def _legend(tiles: Sequence[Tile]) -> list[tuple[str, str]]:
    there = {label for tile in tiles for label, _, _ in tile.bar}
    return [(c.label, c.colour) for c in CATEGORIES if c.label in there or (c.opacity and c.key != "uncompared")]


def _pick_all(shown: Versus, at: NDArray[np.intp]) -> None:
    session.set_picks(session.picks().plus(shown.found.files["image_id"].iloc[at]))


def _open(shown: Versus) -> None:
    if image_id := components.opened_of(GALLERY):
        compare_cards.open_image(shown, image_id)


def _written(measure: str, value: float) -> str:
    return f"{signed(value)} points" if measure == "area" else percent(value)


def _meaning(shown: Versus, measure: str) -> str:
    if measure in _OF_CLASS:
        return f"IoU of {shown.focus}" if measure == "iou" else f"{shown.focus}, B minus A"
    return _SHORT[measure]
