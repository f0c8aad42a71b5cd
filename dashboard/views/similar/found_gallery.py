"""A gallery of photos that were found on the page Similar; a photo opens in the viewer, which keeps their order."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from dashboard.charts import theme
from dashboard.components import gallery as gallery_component
from dashboard.components.gallery import GalleryLegend, GalleryLook, GalleryTile
from dashboard.queries import photos as photo_queries
from dashboard.queries.images.changed_files import find_changed_files
from dashboard.queries.photos import Positions
from dashboard.state import session
from dashboard.state.view import PAGE_SIZE, SIZE_RANGE, View
from dashboard.views.shared import controls, selection_bar
from dashboard.views.shared.tiles import make_tiles
from dashboard.views.similar.scope import SimilarScope
from seglib.query.columns import classes_of

KEY = "found"


def viewer_state(view: View) -> dict[str, Any]:
    """Return the view fields with which the viewer finds these photos in this order again."""
    names = ("find", "embeddings", "projection", "lasso", "similar")
    return {name: getattr(view, name) for name in names} | {"origin": "similar"}


def found_gallery(
    scope: SimilarScope, positions: Positions, asides: Sequence[str] | None = None, *, size: int = PAGE_SIZE
) -> None:
    """Draw one page of these photos. `asides`: the figure at the end of each caption, in place of the confidence."""
    view = scope.selection.view
    page_count = -(-len(positions) // size)
    page = min(view.found_page, max(1, page_count))
    part = slice((page - 1) * size, page * size)
    tiles = found_tiles(scope, positions[part])
    if asides is not None:
        tiles = [replace(tile, aside=aside) for tile, aside in zip(tiles, asides[part], strict=True)]
    draw_gallery(scope, tiles, positions)
    if page_count > 1:
        controls.pagination(page, page_count, len(positions), size, "found_page")


def found_tiles(scope: SimilarScope, positions: Positions) -> list[GalleryTile]:
    selection, view = scope.selection, scope.selection.view
    rows = photo_queries.rows_at(selection.source, positions)
    return make_tiles(
        rows,
        selection.store,
        selection.run.run,
        view.palette,
        link=controls.image_link(view, **viewer_state(view)),
        similar=controls.similar_link(selection),
        with_dataset=len(photo_queries.options(selection.source, "dataset")) > 1,
        changed=find_changed_files(selection.source, rows),
    )


def draw_gallery(scope: SimilarScope, tiles: Sequence[GalleryTile], positions: Positions) -> None:
    """Draw tiles of the photos at `positions`, which are all that can be selected together."""
    selection, view = scope.selection, scope.selection.view
    names = classes_of(photo_queries.table(selection.source))
    gallery_component.gallery(
        tiles,
        GalleryLegend.of_classes(theme.class_colours(names, view.palette), tiles, selection.run.untrained_classes),
        GalleryLook(view.overlay, view.opacity, view.size),
        selection_bar.pick_state([tile.id for tile in tiles]),
        total=len(positions),
        sizes=SIZE_RANGE,
        key=KEY,
        on_look=partial(controls.remember_look, KEY),
        on_picks=partial(selection_bar.update_picks, KEY),
        on_all=partial(pick_positions, scope, positions),
        on_open=partial(_open, view),
        on_similar=_find_similar,
    )


def pick_positions(scope: SimilarScope, positions: Positions) -> None:
    """Callback: add these photos to the picks."""
    ids = photo_queries.table(scope.selection.source)["image_id"].iloc[np.asarray(positions)]
    session.set_picks(session.picks().union(ids))


def _open(view: View) -> None:
    if image_id := gallery_component.read_opened_id(KEY):
        session.open_photo(image_id, **viewer_state(view))


def _find_similar() -> None:
    controls.find_similar(gallery_component.read_similar_id(KEY))
