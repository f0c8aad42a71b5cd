"""The photos that the page Similar shows for a view, in its order, through which the viewer steps."""

from collections.abc import Callable

import numpy as np

from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Positions, Selection
from dashboard.queries.similarity import kept, maps, search
from dashboard.views.similar.map_section import positions_on_map
from dashboard.views.similar.scope import SimilarScope, select_scope
from seglib.errors import SegError


def found_positions(selection: Selection) -> Positions | None:
    """Return the positions in the run's table, each image once; None if they are not known at present."""
    try:
        scope = select_scope(selection)
        order = None if scope is None or scope.note else _ORDERS[selection.view.find](scope)
    except SegError:
        return None
    if order is None:
        return None
    repeated = photo_queries.table(selection.source)["image_id"].iloc[order].duplicated().to_numpy()
    return order[~repeated]


def _on_map(scope: SimilarScope) -> Positions | None:
    points = maps.map_points(scope.selection.source, scope.vectors, scope.selection.view.projection)
    return None if points is None else positions_on_map(scope, points)


def _lookalikes(scope: SimilarScope) -> Positions | None:
    similar = scope.selection.view.similar
    return search.find_similar_photos(scope.query, scope.vectors, similar).positions if similar else None


def _duplicates(scope: SimilarScope) -> Positions | None:
    rows = kept.find_duplicates(scope.query, scope.vectors)
    return None if rows is None else rows["position"].to_numpy(np.int32)


def _outliers(scope: SimilarScope) -> Positions | None:
    found = kept.find_outliers(scope.query, scope.vectors)
    return None if found is None else found.positions


_ORDERS: dict[str, Callable[[SimilarScope], Positions | None]] = {
    "map": _on_map,
    "similar": _lookalikes,
    "duplicates": _duplicates,
    "outliers": _outliers,
}
