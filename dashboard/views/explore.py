"""Explore: the selected photos themselves, as a gallery or a table, with charts and exports of the same selection.

In: a `Selection`. Out: the page.
"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard import charts, components, data, session, ui
from dashboard.components import Look
from dashboard.data import Selection
from dashboard.formats import photos, plain_markdown
from dashboard.state import PAGE_SIZE, SHOWS, SIZE_RANGE, sort_label
from dashboard.views import cards, parts, picked
from dashboard.views.tiles import tiles
from seglib.masks.statistics import MEASURES
from seglib.query.columns import classes_of

GALLERY = "gallery"

CHART_SETS: dict[str, list[Callable[[Selection], None]]] = {
    "classes": [
        partial(cards.class_distribution, most=6),
        cards.share,
        partial(parts.folder_against_animal, apply=session.set_filters),
    ],
    "certainty": [
        *(partial(cards.measure, key=key) for key in MEASURES),
        partial(cards.confidence_against_share, height=154),
    ],
    "photos": [cards.share_by_label, cards.regions, cards.sizes],
    "none": [],
}
CHART_NAMES = {"classes": "Classes", "certainty": "Certainty", "photos": "Folders and sizes", "none": "No charts"}


def render(selection: Selection) -> None:
    with ui.heading("Explore"):
        _leaving(selection)
    ui.chips(selection.filters)
    parts.key_figures(selection)
    if parts.is_empty(selection):
        return
    gallery = selection.view.show == "gallery"
    first = gallery and not session.can_chart()  # else the pictures would come after the charts
    with session.charts_later(first):
        _charts(selection)
    _controls(selection)
    if gallery:
        _gallery(selection)
    else:
        _table(selection)
    picked.bar(selection)
    if first:
        components.drawn(key="drawn", on_drawn=session.allow_charts)


def _leaving(selection: Selection) -> None:
    """What can be taken along: the link and the rows."""
    parts.copy_link(selection)
    for kind, mime in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
        st.download_button(
            "CSV" if kind == "csv" else "Parquet",
            data=partial(data.exported, selection.store.path, selection.run.run, selection.filters, kind),
            file_name=f"{selection.run.run}.{kind}",
            mime=mime,
            key=f"download:{kind}",
            help=f"The statistics of the selected photos as {kind.upper() if kind == 'csv' else 'Parquet'}",
            on_click="ignore",
        )


def _charts(selection: Selection) -> None:
    parts.view_switch("Charts", "charts", CHART_NAMES)
    shown = CHART_SETS[selection.view.charts]
    if shown:
        parts.side_by_side(selection, [1] * len(shown), shown)


# --- gallery and table -------------------------------------------------------------------------------------------


def _controls(selection: Selection) -> None:
    view, figures = selection.view, selection.answer("key_figures")
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        order = sort_label(view.sort, selection.focus)
        st.markdown(f"**{photos(figures.photos)}**, {plain_markdown(order)}", width="stretch")
        parts.sort_select(selection)
        if view.show == "gallery":
            parts.colours_select()
        parts.view_switch("Show", "show", {name: name.capitalize() for name in SHOWS})


def _gallery(selection: Selection) -> None:
    view = selection.view
    chosen = data.positions(selection.source, selection.filters, view.sort, selection.focus)
    pages = -(-len(chosen) // PAGE_SIZE)
    page = min(view.page, pages)
    rows = data.rows(selection.source, chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    several = len(data.options(selection.source, "dataset")) > 1
    changed = data.changed(selection.source, rows)
    link = parts.image_link(view)
    shown = tiles(
        rows, selection.store, selection.run.run, view.palette, link=link, with_dataset=several, changed=changed
    )
    colours = charts.class_colours(classes_of(rows), view.palette)
    found = dict.fromkeys(name for tile in shown for name, _, _ in tile.bar)
    components.gallery(
        shown,
        [(name, colours[name]) for name in found],
        Look(view.overlay, view.opacity, view.size),
        picked.told([tile.id for tile in shown]),
        total=len(chosen),
        sizes=SIZE_RANGE,
        key=GALLERY,
        on_look=partial(parts.remember_look, GALLERY),
        on_picks=partial(picked.pick, GALLERY),
        on_all=partial(picked.pick_all, selection),
        on_open=_open_image,
    )
    if pages > 1:
        parts.pages(page, pages, len(chosen), PAGE_SIZE)


def _open_image() -> None:
    if image_id := components.opened_of(GALLERY):
        session.go(parts.IMAGE, image=image_id, origin="")


def _table(selection: Selection) -> None:
    frame = data.listing(selection.source, selection.filters, selection.view.sort, selection.focus)
    columns = {name: st.column_config.NumberColumn(name.replace("_", " "), format="%.2f") for name in MEASURES}
    for name in frame.columns:
        kind, _, class_name = name.partition(":")
        if class_name:
            columns[name] = st.column_config.NumberColumn(f"{kind} of {class_name}", format="percent")
    st.dataframe(
        frame,
        hide_index=True,
        lazy=True,
        height=620,
        column_config=columns | {"path": st.column_config.TextColumn(pinned=True)},
        key="table",
        alt=f"Table of the {photos(len(frame))} selected",
    )
