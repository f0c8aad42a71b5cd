"""Image page: one photo under the masks of several runs, its figures, its tags, and navigation through a gallery.

Takes a `Selection`; `image_navigation` decides the order of the photos.
"""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from dashboard.components import layout, viewer
from dashboard.components.viewer import ListPosition, ViewerImage, ViewerLook, ViewerRun
from dashboard.formatting import DASH, count, display_name, escape_html, escape_markdown, photo_count, run_labels
from dashboard.queries import photos as photo_queries
from dashboard.queries.images.image_statistics import image_statistics
from dashboard.queries.own_columns.values import format_value, split_columns
from dashboard.queries.photos import Selection
from dashboard.queries.similarity.vectors import has_vectors
from dashboard.server import media_urls, photo_files
from dashboard.state import pages, session
from dashboard.state.view import url_key
from dashboard.views.evaluate import truth_pane
from dashboard.views.image import marks
from dashboard.views.image.navigation import ImageNavigation, image_navigation
from dashboard.views.shared import controls, page_header, photo_figures
from dashboard.views.shared.photo_figures import ImageStatistics
from seglib.query.columns import label_agreement
from seglib.query.fields import COLUMN_PREFIX
from seglib.store.records import Run

VIEWER = "viewer"
MAX_RUNS = 4
"""Maximum number of runs side by side."""

_ORIGIN_PAGES = {"": pages.EXPLORE, "compare": pages.COMPARE, "evaluate": pages.EVALUATE, "similar": pages.SIMILAR}
"""Origin of a view -> the page with the gallery whose order the photos have."""

NEIGHBOURS = 4
"""Neighbours on each side sent to the browser, so that it can show the next photo before the server answers."""


def render(selection: Selection) -> None:
    navigation = image_navigation(selection)
    order = navigation.order
    image_id = selection.view.image or _first_image_id(selection, order)
    files = photo_queries.positions_of_image(selection.source, image_id) if image_id else order[:0]
    if not len(files):
        _empty_page(selection, order)
        return
    if not selection.view.image:  # the URL always names the photo
        session.adjust_view(replace(selection.view, image=image_id))
        session.write_url()
    position = _position(order, files)
    row = photo_queries.rows_at(selection.source, files[:1] if position is None else order[position : position + 1])
    name = _name(selection, row.iloc[0])
    layout.document_title(str(row.iloc[0]["path"]).rpartition("/")[2], pages.IMAGE)
    with layout.heading(escape_markdown(name)):
        _back_button(_ORIGIN_PAGES[selection.view.origin])
        _similar_button(selection, image_id)
        page_header.copy_link(selection)
    _contradiction(row)
    layout.chips(selection.filters)
    if position is None:
        _outside_notice(navigation)
    available = [run for run in selection.store.runs() if _has_mask(selection, run, image_id)]
    runs = _shown_runs(selection, available)
    _controls(selection, available, runs, navigation)
    marks.render(selection, row.iloc[0], navigation.gallery_size)
    _viewer(selection, navigation, position, row, runs)
    left, right = layout.card_rows("image").columns([3, 2])
    with left:
        _figures_card(selection, row.iloc[0], runs)
    with right:
        _file_card(selection, row.iloc[0], files)


# --- which photo ---------------------------------------------------------------------------------------------------


def _back_button(page: str) -> None:
    st.button(f"Back to {page}", key="back", icon=":material/arrow_back:", on_click=session.go_to_page, args=(page,))


def _similar_button(selection: Selection, image_id: str) -> None:
    if has_vectors(selection.source):
        st.button(
            "Similar photos",
            key="similar",
            icon=":material/photo_library:",
            on_click=controls.find_similar,
            args=(image_id,),
        )


def _first_image_id(selection: Selection, order: NDArray[np.integer]) -> str:
    return str(photo_queries.rows_at(selection.source, order[:1])["image_id"].iloc[0]) if len(order) else ""


def _position(order: NDArray[np.integer], files: NDArray[np.integer]) -> int | None:
    places = np.flatnonzero(np.isin(order, files))
    return int(places[0]) if len(places) else None


def _empty_page(selection: Selection, order: NDArray[np.integer]) -> None:
    with layout.heading(pages.IMAGE):
        page_header.copy_link(selection)
    layout.chips(selection.filters)
    if selection.view.image:
        st.info(
            "This run has no photo with the id in this link: its file was removed or changed, "
            "or only another run has analysed it."
        )
        _first_photo_button(order)
    else:
        page_header.show_if_empty(selection)


def _outside_notice(navigation: ImageNavigation) -> None:
    st.info(f"This photo is not among the {photo_count(len(navigation.order))} {navigation.description}.")
    _first_photo_button(navigation.order)


def _first_photo_button(order: NDArray[np.integer]) -> None:
    if len(order):
        st.button("Show the first of them", key="to_first", on_click=session.update_view, kwargs={"image": ""})


def _name(selection: Selection, row: Any) -> str:
    with_dataset = len(photo_queries.options(selection.source, "dataset")) > 1
    return f"{row['dataset']}: {row['path']}" if with_dataset else str(row["path"])


def _contradiction(row: Any) -> None:
    if label_agreement(row).iloc[0] == "contradicts":
        says, saw = (escape_html(str(row[name].iloc[0])) for name in ("label", "content"))
        st.html(f"<p class='contradiction'>The folder says {says}, the model {saw}.</p>")


# --- which runs ----------------------------------------------------------------------------------------------------


def _has_mask(selection: Selection, run: Run, image_id: str) -> bool:
    return run.run == selection.run.run or selection.store.masks(run.run).exists(image_id)


def _shown_runs(selection: Selection, available: list[Run]) -> list[Run]:
    """Return the active run first, then the chosen ones, or all others if none are chosen; most recently used first."""
    chosen, against = selection.view.runs, selection.view.against
    others = [run for run in reversed(available) if run.run != selection.run.run and (run.run in chosen or not chosen)]
    others.sort(key=lambda run: run.run != against)  # A and B of a comparison come first
    return [selection.run, *others[: MAX_RUNS - 1]]


def _controls(selection: Selection, available: list[Run], runs: list[Run], navigation: ImageNavigation) -> None:
    names = [run.run for run in reversed(available)]
    labels = run_labels(available)
    with st.container(horizontal=True, vertical_alignment="bottom", key="viewer_controls"):
        if len(names) > 1:
            controls.choose_runs(
                f"Runs side by side, at most {MAX_RUNS}",
                names,
                [run.run for run in runs],
                lambda name: labels[name],
                partial(_choose_runs, selection.run.run, names),
                key="w:runs",
            )
        navigation.sort_select()
        controls.colours_select(labelled=True)


def _choose_runs(active: str, names: list[str], chosen: list[str]) -> None:
    """Apply the chosen runs; choosing all is the default, and the active run always stays."""
    wanted = tuple(sorted({active, *chosen}))
    session.update_view(runs=() if set(wanted) == set(names) else wanted)


# --- the viewer ----------------------------------------------------------------------------------------------------


def _viewer(selection: Selection, navigation: ImageNavigation, position: int | None, row: Any, runs: list[Run]) -> None:
    view, labels = selection.view, run_labels(selection.store.runs())
    pictures, current = _with_neighbours(selection, navigation.order, position, row, runs)
    pane = truth_pane.build_pane(selection, pictures[current])
    viewer.viewer(
        pictures if pane is None else truth_pane.add_truth_masks(selection, pictures),
        current,
        [
            *(ViewerRun.create(run.run, labels[run.run], run.classes, view.palette) for run in runs),
            *([pane] if pane else []),
        ],
        ListPosition(
            position=position,
            total=len(navigation.order),
            page_key=url_key(navigation.page_field) if navigation.page_field else "",
            page_size=navigation.page_size,
        ),
        ViewerLook.from_view(view),
        colours=view.palette,
        pair=truth_pane.pair(pane, len(runs)) if view.origin == "evaluate" else None,
        key=VIEWER,
        on_navigate=partial(_navigate, selection, navigation),
    )


def _with_neighbours(
    selection: Selection, order: NDArray[np.integer], position: int | None, row: Any, runs: list[Run]
) -> tuple[list[ViewerImage], int]:
    """Return the photo with its neighbours, and its index among them.

    A photo outside the selection is followed by the selection's first photo.
    """
    image_id = row["image_id"].iloc[0]
    first = 0 if position is None else max(0, position - NEIGHBOURS)
    near = photo_queries.rows_at(
        selection.source, order[:1] if position is None else order[first : position + NEIGHBOURS + 1]
    ).to_dict("records")
    every = [*row.to_dict("records"), *near] if position is None else near
    reason = photo_files.find(selection.store, image_id).reason
    pictures = [_viewer_image(selection, one, runs, reason if one["image_id"] == image_id else "") for one in every]
    return pictures, 0 if position is None else position - first


def _viewer_image(selection: Selection, row: Any, runs: list[Run], note: str) -> ViewerImage:
    image_id = row["image_id"]
    return ViewerImage(
        image_id=image_id,
        name=_name(selection, row),
        width=int(row["width"]),
        height=int(row["height"]),
        photo=media_urls.photo_url(selection.store, image_id),
        thumbnail=media_urls.thumbnail_url(selection.store, image_id),
        note=note,
        masks={run.run: media_urls.mask_url(selection.store, run.run, image_id) for run in runs},
        heats={run.run: media_urls.uncertainty_url(selection.store, run.run, image_id) for run in runs},
    )


def _navigate(selection: Selection, navigation: ImageNavigation) -> None:
    """Callback: follow the visitor to another photo, and turn the gallery to its page."""
    if (sent := viewer.read_navigation(VIEWER)) is None:
        return
    image_id, look = sent
    position = _position(navigation.order, photo_queries.positions_of_image(selection.source, image_id))
    if position is not None and navigation.page_field:
        session.update_view(**{navigation.page_field: position // navigation.page_size + 1})
    session.update_view(image=image_id, **asdict(look))


# --- figures -------------------------------------------------------------------------------------------------------


def _figures_card(selection: Selection, row: Any, runs: list[Run]) -> None:
    def seen_by(run: Run) -> ImageStatistics | None:
        other = replace(selection.source, run=run.run)
        return row if run.run == selection.run.run else image_statistics(other, row["image_id"])

    labels = run_labels(selection.store.runs())
    photo_figures.render([(labels[run.run], seen_by(run)) for run in runs])


def _file_card(selection: Selection, row: Any, files: NDArray[np.integer]) -> None:
    every = photo_queries.rows_at(selection.source, files)
    with_dataset = len(photo_queries.options(selection.source, "dataset")) > 1
    others = [_name(selection, other) for other in every.to_dict("records") if other["path"] != row["path"]]
    facts = [
        *([("dataset", str(row["dataset"]))] if with_dataset else []),
        ("path", str(row["path"])),
        *(("the same content", other) for other in others[:5]),
        ("folder", _text(row["label"])),
        ("split", _text(row["split"])),
        ("size", f"{count(int(row['width']))} x {count(int(row['height']))} pixels"),
        ("image_id", str(row["image_id"])),
    ]
    with layout.card("File"):
        layout.html_table([], [], facts)
    for title, fields in zip(("Your columns", "Measured from the photo"), split_columns(selection.source), strict=True):
        texts = [(field.label, format_value(row[COLUMN_PREFIX + field.label], field.kind)) for field in fields]
        if known := [(name, text) for name, text in texts if text != DASH]:
            with layout.card(title, stretch=False):
                layout.html_table([], [], known)


def _text(value: object) -> str:
    return display_name(value if isinstance(value, str) else "")
