"""Decide which photos the viewer steps through, and in which order: those of the gallery it was opened from.

Takes a `Selection`, whose view names the gallery; returns positions in the run's table and the sort menu. Falls back to
Explore's order if that gallery is missing or empty.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dashboard.queries import photos as photo_queries
from dashboard.queries import ranking
from dashboard.queries.photos import Selection
from dashboard.state.view import PAGE_SIZE
from dashboard.views.compare import gallery as compare_gallery
from dashboard.views.compare.selection import select_comparison
from dashboard.views.evaluate import gallery as evaluate_gallery
from dashboard.views.evaluate.selection import select_evaluation
from dashboard.views.shared import controls


@dataclass(frozen=True)
class ImageNavigation:
    order: NDArray[np.integer]
    """Positions in the run's table, each image once."""
    page_field: str
    """Name of the view field that holds the gallery's page number."""
    page_size: int
    sort_select: Callable[[], None]
    description: str
    """What these photos have in common, as text."""


def image_navigation(selection: Selection) -> ImageNavigation:
    for navigation in (_comparison_navigation(selection), _evaluation_navigation(selection)):
        if navigation is not None and len(navigation.order):
            return navigation
    order = photo_queries.unique_positions(selection.source, selection.filters, selection.view.sort, selection.focus)
    return ImageNavigation(order, "page", PAGE_SIZE, partial(controls.sort_select, selection), "that pass all filters")


def _comparison_navigation(selection: Selection) -> ImageNavigation | None:
    comparison_selection = select_comparison(selection) if selection.view.origin == "compare" else None
    if comparison_selection is None:
        return None
    select = partial(compare_gallery.sort_select, comparison_selection)
    return ImageNavigation(
        compare_gallery.gallery_positions(comparison_selection),
        "compare_page",
        ranking.PAGE_SIZE,
        select,
        "shown in Compare",
    )


def _evaluation_navigation(selection: Selection) -> ImageNavigation | None:
    evaluation_selection = select_evaluation(selection) if selection.view.origin == "evaluate" else None
    if evaluation_selection is None or not evaluation_selection.photos:
        return None
    select = partial(evaluate_gallery.sort_select, evaluation_selection)
    return ImageNavigation(
        evaluate_gallery.gallery_positions(evaluation_selection),
        "evaluate_page",
        ranking.PAGE_SIZE,
        select,
        "shown in Evaluate",
    )
