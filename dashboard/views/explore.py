"""Explore page: the selected photos as a gallery or a table, with charts and exports of the same selection.

Takes a `Selection`.
"""

from collections.abc import Callable
from functools import partial

import streamlit as st

from dashboard.charts import theme
from dashboard.components import gallery as gallery_component
from dashboard.components import layout, ready_signal
from dashboard.components.gallery import GalleryLegend, GalleryLook
from dashboard.formatting import count, escape_markdown, photo_count
from dashboard.queries import exports, photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.state.view import PAGE_SIZE, SHOW_MODES, SIZE_RANGE, sort_label
from dashboard.views.shared import chart_cards, controls, page_header, selection_bar
from dashboard.views.shared.tiles import make_tiles
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.query.columns import classes_of

GALLERY = "gallery"

CHART_SETS: dict[str, list[Callable[[Selection], None]]] = {
    "classes": [
        partial(chart_cards.class_distribution, limit=6),
        chart_cards.share,
        partial(chart_cards.folder_against_content, apply=session.set_filters),
    ],
    "certainty": [
        *(partial(chart_cards.measure, key=key) for key in CONFIDENCE_COLUMNS),
        partial(chart_cards.confidence_against_share, height=154),
    ],
    "photos": [chart_cards.share_by_label, chart_cards.regions, chart_cards.sizes],
    "none": [],
}
CHART_NAMES = {"classes": "Classes", "certainty": "Certainty", "photos": "Folders and sizes", "none": "No charts"}


def render(selection: Selection) -> None:
    with layout.heading(pages.EXPLORE):
        _export_buttons(selection)
    layout.chips(selection.filters)
    page_header.key_figures(selection)
    if page_header.show_if_empty(selection):
        return
    gallery = selection.view.show == "gallery"
    first = gallery and not session.charts_allowed()  # draw the gallery before the charts, which would delay its images
    with session.defer_charts(first):
        _charts(selection)
    _controls(selection)
    if gallery:
        _gallery(selection)
    else:
        _table(selection)
    selection_bar.selection_bar(selection)
    if first:
        ready_signal.ready_signal(key="drawn", on_ready=session.allow_charts)


def _export_buttons(selection: Selection) -> None:
    """Draw the link and the exports of the rows."""
    page_header.copy_link(selection)
    for kind, mime in (("csv", "text/csv"), ("parquet", "application/vnd.apache.parquet")):
        st.download_button(
            "CSV" if kind == "csv" else "Parquet",
            data=partial(exports.export_rows, selection.store.path, selection.run.run, selection.filters, kind),
            file_name=f"{selection.run.run}.{kind}",
            mime=mime,
            key=f"download:{kind}",
            help=f"The statistics of the selected photos as {kind.upper() if kind == 'csv' else 'Parquet'}",
            on_click="ignore",
        )


def _charts(selection: Selection) -> None:
    controls.view_switch("Charts", "charts", CHART_NAMES)
    charts = CHART_SETS[selection.view.charts]
    if charts:
        controls.side_by_side(selection, [1] * len(charts), charts)


# --- gallery and table -------------------------------------------------------------------------------------------


def _controls(selection: Selection) -> None:
    view, figures = selection.view, photo_statistics.key_figures(selection.query())
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        order = sort_label(view.sort, selection.focus)
        files = len(photo_queries.selected_positions(selection.source, selection.filters))
        n = photo_count(files) if files == figures.photos else f"{count(files)} files of {photo_count(figures.photos)}"
        st.markdown(f"**{n}**, {escape_markdown(order)}", width="stretch")
        controls.sort_select(selection)
        if view.show == "gallery":
            controls.colours_select()
        controls.view_switch("Show", "show", {name: name.capitalize() for name in SHOW_MODES})


def _gallery(selection: Selection) -> None:
    view = selection.view
    chosen = photo_queries.sorted_positions(selection.source, selection.filters, view.sort, selection.focus)
    pages = -(-len(chosen) // PAGE_SIZE)
    page = min(view.page, pages)
    rows = photo_queries.rows_at(selection.source, chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    with_dataset = len(photo_queries.options(selection.source, "dataset")) > 1
    changed = photo_queries.find_changed_files(selection.source, rows)
    link = controls.image_link(view)
    tiles = make_tiles(
        rows, selection.store, selection.run.run, view.palette, link=link, with_dataset=with_dataset, changed=changed
    )
    gallery_component.gallery(
        tiles,
        GalleryLegend.of_classes(theme.class_colours(classes_of(rows), view.palette), tiles),
        GalleryLook(view.overlay, view.opacity, view.size),
        selection_bar.pick_state([tile.id for tile in tiles]),
        total=len(chosen),
        sizes=SIZE_RANGE,
        key=GALLERY,
        on_look=partial(controls.remember_look, GALLERY),
        on_picks=partial(selection_bar.update_picks, GALLERY),
        on_all=partial(selection_bar.pick_all, selection),
        on_open=_open_image,
    )
    if pages > 1:
        controls.pagination(page, pages, len(chosen), PAGE_SIZE)


def _open_image() -> None:
    if image_id := gallery_component.read_opened_id(GALLERY):
        session.open_photo(image_id, origin="")


def _table(selection: Selection) -> None:
    frame = photo_queries.listing(selection.source, selection.filters, selection.view.sort, selection.focus)
    columns = {
        name: st.column_config.NumberColumn(name.replace("_", " "), format="%.2f") for name in CONFIDENCE_COLUMNS
    }
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
        alt=f"Table of the {photo_count(len(frame))} selected",
    )
