"""Explore page: the selected photos as a gallery or a table, with charts and exports of the same selection.

Takes a `Selection`. The photos come first; charts are drawn above them if the visitor asks for them.
"""

from collections.abc import Callable
from functools import partial

import pandas as pd
import streamlit as st

from dashboard.charts import theme
from dashboard.components import gallery as gallery_component
from dashboard.components import layout, ready_signal
from dashboard.components.gallery import GalleryLegend, GalleryLook
from dashboard.formatting import count, photo_count
from dashboard.queries import photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.images.changed_files import find_changed_files
from dashboard.queries.photos import Selection
from dashboard.state import pages, session
from dashboard.state.view import CHARTS, PAGE_SIZE, SHOW_MODES, SIZE_RANGE
from dashboard.views.own_chart import own_chart
from dashboard.views.photos.table import photo_table
from dashboard.views.selection import saved_views
from dashboard.views.shared import chart_cards, controls, page_header, selection_bar
from dashboard.views.shared.tiles import make_tiles
from seglib.query.columns import classes_of

GALLERY = "gallery"

CHART_SETS: dict[str, list[Callable[[Selection], None]]] = {
    "none": [],
    "classes": [
        partial(chart_cards.class_distribution, limit=6),
        chart_cards.share,
        partial(chart_cards.folder_against_content, apply=session.set_filters),
    ],
    "certainty": [chart_cards.certainty, chart_cards.confidence_against_share],
    "photos": [chart_cards.share_by_label, chart_cards.regions, chart_cards.sizes],
    "own": [own_chart],
}
CHART_NAMES = {
    "none": "No charts",
    "classes": "Classes",
    "certainty": "Certainty",
    "photos": "Folders and sizes",
    "own": "Your own",
}


def render(selection: Selection) -> None:
    with layout.heading(pages.EXPLORE):
        saved_views.menu(selection)
        page_header.copy_link(selection)
        page_header.export_menu(selection)
    layout.chips(selection.filters)
    page_header.key_figures(selection)
    if page_header.show_if_empty(selection):
        return
    gallery, charts = selection.view.show == "gallery", CHART_SETS[selection.view.charts]
    # draw the gallery before the first charts, which would delay its images
    first = gallery and bool(charts) and not session.charts_allowed()
    _controls(selection)
    with st.container(key="charts"), session.defer_charts(first):  # always there: what follows keeps its place
        if charts:
            controls.side_by_side(selection, [1] * len(charts), charts, key="explore")
    _photos(selection)
    selection_bar.selection_bar(selection)
    if first:
        ready_signal.ready_signal(key="drawn", on_ready=session.add_charts)
    else:
        session.allow_charts()


# --- gallery and table -------------------------------------------------------------------------------------------


def _controls(selection: Selection) -> None:
    with st.container(horizontal=True, vertical_alignment="center", key="controls"):
        controls.view_switch("Charts", "charts", {name: CHART_NAMES[name] for name in CHARTS})
        controls.sort_select(selection)
        if selection.view.show == "gallery":
            controls.colours_select()
        controls.view_switch("Show", "show", {name: name.capitalize() for name in SHOW_MODES})


def _photos(selection: Selection) -> None:
    """Draw one page of the selected photos, as a gallery or a table."""
    view, photos = selection.view, photo_statistics.key_figures(selection.query()).photos
    chosen = photo_queries.sorted_positions(selection.source, selection.filters, view.sort, selection.focus)
    if len(chosen) != photos:
        layout.remark(f"{count(len(chosen))} files of {photo_count(photos)} are shown.")
    page_count = -(-len(chosen) // PAGE_SIZE)
    page = min(view.page, page_count)
    rows = photo_queries.rows_at(selection.source, chosen[(page - 1) * PAGE_SIZE : page * PAGE_SIZE])
    if view.show == "gallery":
        _gallery(selection, rows, len(chosen))
    else:
        photo_table(selection, rows, len(chosen))
    if page_count > 1:
        controls.pagination(page, page_count, len(chosen), PAGE_SIZE)


def _gallery(selection: Selection, rows: pd.DataFrame, total: int) -> None:
    view = selection.view
    with_dataset = len(photo_queries.options(selection.source, "dataset")) > 1
    changed = find_changed_files(selection.source, rows)
    link = controls.image_link(view)
    tiles = make_tiles(
        rows,
        selection.store,
        selection.run.run,
        view.palette,
        link=link,
        similar=controls.similar_link(selection),
        with_dataset=with_dataset,
        changed=changed,
    )
    gallery_component.gallery(
        tiles,
        GalleryLegend.of_classes(
            theme.class_colours(classes_of(rows), view.palette), tiles, selection.run.untrained_classes
        ),
        GalleryLook(view.overlay, view.opacity, view.size),
        selection_bar.pick_state([tile.id for tile in tiles]),
        total=total,
        sizes=SIZE_RANGE,
        key=GALLERY,
        on_look=partial(controls.remember_look, GALLERY),
        on_picks=partial(selection_bar.update_picks, GALLERY),
        on_all=partial(selection_bar.pick_all, selection),
        on_open=_open_image,
        on_similar=_find_similar,
    )


def _open_image() -> None:
    if image_id := gallery_component.read_opened_id(GALLERY):
        session.open_photo(image_id, origin="")


def _find_similar() -> None:
    controls.find_similar(gallery_component.read_similar_id(GALLERY))
