"""Decide which photos the viewer steps through, and in which order: those of the gallery it was opened from, or the
picked ones.

Takes a `Selection`, whose view names the gallery; returns positions in the run's table and the sort menu. Falls back to
Explore's order if that gallery is missing or empty.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dashboard.queries import photos as photo_queries
from dashboard.queries import ranking
from dashboard.queries.images.picked import picked_positions
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.state.view import PAGE_SIZE
from dashboard.views.compare import gallery as compare_gallery
from dashboard.views.compare.selection import select_comparison
from dashboard.views.evaluate import gallery as evaluate_gallery
from dashboard.views.evaluate.selection import select_evaluation
from dashboard.views.shared import controls
from dashboard.views.similar.order import found_positions
from seglib.query.filters import Filters


@dataclass(frozen=True)
class ImageNavigation:
    order: NDArray[np.integer]
    """Positions in the run's table, each image once."""
    page_field: str
    """Name of the view field that holds the gallery's page number; empty if these photos are not the gallery's."""
    page_size: int
    sort_select: Callable[[], None]
    description: str
    """What these photos have in common, as text."""
    gallery_size: int
    """Number of photos of the gallery."""


def image_navigation(selection: Selection) -> ImageNavigation:
    navigation = _gallery_navigation(selection)
    return _picked_among(selection, navigation) if session.steps_picks() else navigation


def _gallery_navigation(selection: Selection) -> ImageNavigation:
    for navigation in (
        _comparison_navigation(selection),
        _evaluation_navigation(selection),
        _similar_navigation(selection),
    ):
        if navigation is not None and len(navigation.order):
            return navigation
    order = photo_queries.unique_positions(selection.source, selection.filters, selection.view.sort, selection.focus)
    select = partial(controls.sort_select, selection, labelled=True)
    return ImageNavigation(order, "page", PAGE_SIZE, select, "that pass all filters", len(order))


def _picked_among(selection: Selection, gallery: ImageNavigation) -> ImageNavigation:
    """Return the picked photos in the gallery's order, then those outside of it.

    The photo shown stays among them when it is unpicked, so that the next one can be stepped to.
    """
    source = selection.source
    picked = picked_positions(source, session.picks())
    wanted = np.union1d(picked, photo_queries.positions_of_image(source, selection.view.image))
    order = gallery.order[np.isin(gallery.order, wanted)]
    if np.isin(order, picked).sum() < len(session.picks()):
        files = photo_queries.unique_positions(source, Filters(), "path", "")
        outside = files[np.isin(files, wanted)]
        known = photo_queries.image_ids_at(source, outside).isin(photo_queries.image_ids_at(source, order))
        order = np.concatenate([order, outside[~known.to_numpy()]])
    return replace(gallery, order=order, page_field="", description="selected")


def _comparison_navigation(selection: Selection) -> ImageNavigation | None:
    comparison_selection = select_comparison(selection) if selection.view.origin == "compare" else None
    if comparison_selection is None:
        return None
    order = compare_gallery.gallery_positions(comparison_selection)
    select = partial(compare_gallery.sort_select, comparison_selection, labelled=True)
    return ImageNavigation(order, "compare_page", ranking.PAGE_SIZE, select, "shown in Compare", len(order))


def _evaluation_navigation(selection: Selection) -> ImageNavigation | None:
    evaluation_selection = select_evaluation(selection) if selection.view.origin == "evaluate" else None
    if evaluation_selection is None or not evaluation_selection.photos:
        return None
    order = evaluate_gallery.gallery_positions(evaluation_selection)
    select = partial(evaluate_gallery.sort_select, evaluation_selection, labelled=True)
    return ImageNavigation(order, "evaluate_page", ranking.PAGE_SIZE, select, "shown in Evaluate", len(order))


def _similar_navigation(selection: Selection) -> ImageNavigation | None:
    order = found_positions(selection) if selection.view.origin == "similar" else None
    if order is None:
        return None
    select = partial(controls.sort_select, selection, labelled=True) if selection.view.find == "map" else _no_choice
    page_field = "" if selection.view.find == "duplicates" else "found_page"  # whose pages hold groups
    return ImageNavigation(order, page_field, PAGE_SIZE, select, "shown in Similar", len(order))


def _no_choice() -> None:
    """The order follows from what was looked for."""
