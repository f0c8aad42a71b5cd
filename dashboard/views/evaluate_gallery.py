"""The worst photos: where the main run is wrong, or the truth, or what it said, over the photos.

In: a `Graded`. Out: elements on the page; a tile opens the viewer, where the truth is shown beside the runs.
"""

from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard import charts, components, data, media, session
from dashboard.components import Look, Tile
from dashboard.evaluations import Order, parts_of
from dashboard.formats import NOTHING, count, percent, plain_markdown, tenths
from dashboard.state import GRADES, LAYERS, SIZE_RANGE
from dashboard.views import parts, picked
from dashboard.views.graded import Graded
from dashboard.views.tiles import CHANGED
from seglib import tags
from seglib.difference import CATEGORIES

GALLERY = "worst_gallery"
PAGE_SIZE = 24

WORDS = {
    "same": "right",
    "only_a": "missed",
    "only_b": "invented",
    "other": "wrong class",
    "uncompared": "void",
}
"""Key of a category of `seglib.difference` -> what it means where A is the truth."""

_SHORT = {"miou": "mIoU", "accuracy": "accuracy", "boundary": "boundary F"}
_LAYER_NAMES = {"difference": "Right and wrong", "truth": "Truth", "prediction": "Prediction"}


def render(shown: Graded) -> None:
    view = shown.selection.view
    order = data.worst(shown.asked, shown.main.run, view.grade, shown.focus, view.cell)
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
        _legend(shown, tiles),
        Look(view.overlay, view.opacity, view.size),
        picked.told([tile.id for tile in tiles]),
        total=len(order.at),
        sizes=SIZE_RANGE,
        grey=view.layer == "difference",
        key=GALLERY,
        on_look=partial(parts.remember_look, GALLERY),
        on_picks=partial(picked.pick, GALLERY),
        on_all=partial(_pick_all, shown, order.at),
        on_open=partial(_open, shown),
    )
    if pages > 1:
        parts.pages(page, pages, len(order.at), PAGE_SIZE)


def _controls(shown: Graded, n: int) -> None:
    view, cell = shown.selection.view, shown.selection.view.cell
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        title = "Photos with such pixels, most of them first" if cell else "Worst photos"
        st.markdown(f"**{title}**, n = {count(n)}", width="stretch")
        if cell:
            st.button(
                f"{plain_markdown(f'truth: {cell[0]}, called {cell[1]}')} :material/close:",
                key="chip:cell",
                help="Show the photos without such pixels too",
                on_click=session.change,
                kwargs={"cell": (), "page": 1},
            )
        else:
            key = session.controlled("w:grade", view.grade)
            st.selectbox(
                "Sort",
                [name for name in GRADES if shown.focus or name != "iou"],
                format_func=lambda name: GRADES[name].replace("the chosen class", shown.focus),
                label_visibility="collapsed",
                key=key,
                on_change=session.on(key, lambda name: session.change(grade=name, page=1)),
                width=300,
            )
        key = session.controlled("w:layer", view.layer)
        st.segmented_control(
            "Shown over the photos",
            LAYERS,
            required=True,
            format_func=lambda name: _LAYER_NAMES[name],
            label_visibility="collapsed",
            key=key,
            on_change=session.on(key, lambda name: session.change(layer=name or view.layer)),
        )


def _legend(shown: Graded, tiles: list[Tile]) -> list[tuple[str, str]]:
    if shown.selection.view.layer == "difference":
        return [(WORDS[one.key], one.colour) for one in CATEGORIES if one.opacity]
    names = dict.fromkeys(name for tile in tiles for name, _, _ in tile.bar)
    paint = _paint(shown)
    return [(name, paint[name]) for name in names]


def _paint(shown: Graded) -> dict[str, str]:
    colours = shown.selection.view.palette
    return charts.class_colours(shown.about.classes, colours) | charts.class_colours(shown.main.classes, colours)


# --- tiles -------------------------------------------------------------------------------------------------------


def _tiles(shown: Graded, here: Order) -> list[Tile]:
    store, source, view = shown.selection.store, shown.selection.source, shown.selection.view
    files = shown.found.files.iloc[here.at]
    rows = data.rows(source, files.index.to_numpy())
    changed = data.changed(source, rows)
    several = len(data.options(source, "dataset")) > 1
    accuracy = shown.found.measures["pixel_accuracy"].each()[here.at]
    link = parts.image_link(view, truth=shown.about.id, runs=_runs(shown))
    bars = _bars(shown, here.at)
    found = []
    for row, mask_id, value, right, bar in zip(
        rows.to_dict("records"), files["truth"], here.values, accuracy, bars, strict=True
    ):
        image_id = row["image_id"]
        words = ", ".join(f"{name} {percent(share)}" for name, share, _ in bar) or "nothing but background"
        found.append(
            Tile(
                id=image_id,
                href=f"{link}{image_id}",
                photo=media.thumbnail_url(store, image_id),
                mask=_mask(shown, row, mask_id),
                aspect=row["width"] / row["height"],
                name=f"{row['dataset']}: {row['path']}" if several else row["path"],
                alt=f"{row['path']}: pixel accuracy {tenths(right)}; {_LAYER_NAMES[view.layer].lower()}: {words}",
                found=NOTHING if np.isnan(value) else percent(float(value)),
                share=_meaning(shown),
                aside="" if view.grade == "accuracy" and not view.cell else f"accuracy {percent(right)}",
                warning="",
                note=CHANGED if (row["dataset"], row["path"]) in changed else "",
                bar=bar,
                tags=tags.split(row["tags"]),
            )
        )
    return found


def _mask(shown: Graded, row: Any, mask_id: str) -> str | None:
    store, view, run = shown.selection.store, shown.selection.view, shown.main.run
    if view.layer == "truth":
        return media.truth_url(store, shown.about, mask_id, view.palette)
    if view.layer == "prediction":
        return media.overlay_url(store, run, row["image_id"], view.palette)
    return media.judged_url(store, run, row["image_id"], shown.about, mask_id)


def _bars(shown: Graded, at: NDArray[np.intp]) -> list[list[tuple[str, float, str]]]:
    """(name, share, colour) of each photo's parts: right and wrong, or the classes of the layer that is shown."""
    if shown.selection.view.layer == "difference":
        return [
            [
                (WORDS[one.key], round(float(share), 4), one.colour)
                for one, share in zip(CATEGORIES, shares, strict=True)
                if one.opacity and share > 0
            ]
            for shares in parts_of(shown.found, at)
        ]
    counts, paint = shown.found.counts.taken(at), _paint(shown)
    of_truth = shown.selection.view.layer == "truth"
    values, names = (counts.a, counts.classes_a) if of_truth else (counts.b, counts.classes_b)
    area = np.maximum(counts.area(), 1)
    bars: list[list[tuple[str, float, str]]] = [[] for _ in at]
    for value, name in enumerate(names):
        if name == "background":
            continue
        hit = values == value
        pixels = np.bincount(counts.image[hit], counts.pixels[hit], counts.images)
        for place in np.flatnonzero(pixels):
            bars[place].append((name, round(float(pixels[place] / area[place]), 4), paint[name]))
    return [sorted(bar, key=lambda part: -part[1]) for bar in bars]


def _meaning(shown: Graded) -> str:
    view = shown.selection.view
    if view.cell:
        return "of the photo"
    return f"IoU of {shown.focus}" if view.grade == "iou" else _SHORT[view.grade]


# --- what is clicked ---------------------------------------------------------------------------------------------


def _runs(shown: Graded) -> tuple[str, ...]:
    return tuple(sorted({shown.selection.run.run, *(run.run for run in shown.runs)}))


def _open(shown: Graded) -> None:
    if image_id := components.opened_of(GALLERY):
        session.go(parts.IMAGE, image=image_id, truth=shown.about.id, runs=_runs(shown))


def _pick_all(shown: Graded, at: NDArray[np.intp]) -> None:
    session.set_picks(session.picks().plus(shown.found.files["image_id"].iloc[at]))
