"""Gallery of the most disagreeing photos, with the A/B difference over grey photos, sortable by any measure.

Takes a `ComparisonSelection` and draws on the page; clicking a tile opens the viewer with the difference on.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.answers.captions import describe_difference, largest_differences
from dashboard.charts.theme import class_colours
from dashboard.components.gallery import GalleryLegend, GalleryTile
from dashboard.formatting import DASH, percent, percent_fixed, percentage_points
from dashboard.queries import comparison as comparison_queries
from dashboard.queries import photos as photo_queries
from dashboard.queries.comparison_stats import category_shares_at
from dashboard.queries.ranking import ImageOrder
from dashboard.server import media_urls
from dashboard.state.view import COMPARE_SORTS, SUSPECTS
from dashboard.views.compare import suspects
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.multi_run import ranked_gallery
from dashboard.views.multi_run.ranked_gallery import RankedGallery, TileContent
from dashboard.views.shared import controls
from dashboard.views.shared.tiles import make_tiles
from seglib.masks.difference import CATEGORIES

GALLERY = "difference_gallery"
WITHOUT_FLIP: dict[str, Any] = {"flip": (), "measure": "agreement"}
"""View changes that clear the flip and show all photos again."""

_CLASS_MEASURES = ("iou", "area")
_DIFFERING = ("only_a", "only_b", "other", "uncompared")
_SHORT = {"agreement": "agreement", "foreground": "foreground agreement", "flip": "of the photo"}


def render(selection: ComparisonSelection) -> None:
    view, flip = selection.base.view, selection.base.view.flip
    lists_suspects = suspects.are_shown(view)
    if not flip:
        suspects.list_switch(selection)
    if lists_suspects:
        suspects.explain(selection)
    order = suspects.order(selection) if lists_suspects else _differing_order(selection)
    if lists_suspects and not len(order):
        return
    title = "Photos with such pixels" if flip else suspects.TITLE if lists_suspects else "Most disagreeing photos"
    chip = f"A: {flip[0]}, B: {flip[1]}" if flip else ""
    with ranked_gallery.heading(title, len(order), chip, WITHOUT_FLIP):
        if not lists_suspects:
            sort_select(selection)
    ranked_gallery.gallery(
        selection.base,
        RankedGallery(
            key=GALLERY,
            page_field="compare_page",
            files=selection.comparison.files,
            order=order,
            describe=partial(_describe_suspects if lists_suspects else _describe_page, selection),
            legend=partial(_class_legend, selection) if lists_suspects else _legend,
            viewer_state=viewer_state(selection) | {"flip": flip, "measure": view.measure},
            grey=not lists_suspects,
        ),
    )


def _differing_order(selection: ComparisonSelection) -> ImageOrder:
    return comparison_queries.disagreement_order(*_query_args(selection))


def _query_args(
    selection: ComparisonSelection,
) -> tuple[comparison_queries.ComparisonQuery, str, str, str, tuple[str, ...]]:
    view = selection.base.view
    return (
        selection.query,
        selection.b,
        view.measure,
        selection.focus if view.measure in _CLASS_MEASURES else "",
        view.flip,
    )


def gallery_positions(selection: ComparisonSelection) -> NDArray[np.intp]:
    """Return positions of the gallery's photos in A's table, in gallery order, only the first of identical files."""
    if suspects.are_shown(selection.base.view):
        return suspects.positions(selection)
    return comparison_queries.disagreement_positions(*_query_args(selection))


def viewer_state(selection: ComparisonSelection) -> dict[str, Any]:
    """Return the view changes that open a photo in the viewer: difference on, in gallery order."""
    difference = "" if suspects.are_shown(selection.base.view) else "overlay"
    return {"against": selection.b, "difference": difference, "origin": "compare"}


def sort_select(selection: ComparisonSelection, *, labelled: bool = False) -> None:
    flip, focus = selection.base.view.flip, selection.focus
    names = [name for name in COMPARE_SORTS if (flip or name != "flip") and (focus or name not in _CLASS_MEASURES)]
    names = [name for name in names if name != SUSPECTS or suspects.are_shown(selection.base.view)]
    labels = {name: COMPARE_SORTS[name].replace("the chosen class", focus) for name in names}
    controls.view_select("Sort", "measure", labels, width=320, labelled=labelled)


def _describe_page(selection: ComparisonSelection, page_order: ImageOrder) -> list[TileContent]:
    measure = selection.base.view.measure
    ids = selection.comparison.files["image_id"].iloc[page_order.rows]
    agreement = selection.comparison.measures[selection.a, selection.b]["pixel_agreement"].per_image()[page_order.rows]
    counts = selection.comparison.counts[selection.a, selection.b].take(page_order.rows)
    differences = largest_differences(counts, both_known=True)
    parts_here = category_shares_at(selection.comparison, selection.a, selection.b, page_order.rows)
    return [
        TileContent(
            value=_format_value(measure, float(value)),
            meaning=_meaning(selection, measure),
            aside="" if measure == "agreement" else f"agreement {percent(alike)}",
            lines=tuple(describe_difference(*difference) for difference in named),
            alt=f"pixel agreement {percent_fixed(alike)}; ",
            mask=media_urls.difference_url(selection.base.store, selection.a, selection.b, image_id),
            bar=[
                (category.label, round(float(share), 4), category.colour)
                for category, share in zip(CATEGORIES, shares, strict=True)
                if category.key in _DIFFERING and share > 0
            ],
            empty_text="no difference",
        )
        for image_id, value, alike, shares, named in zip(
            ids, page_order.values, agreement, parts_here, differences, strict=True
        )
    ]


def _describe_suspects(selection: ComparisonSelection, page_order: ImageOrder) -> list[TileContent]:
    """Return the texts of suspects, with A's mask over each photo and A's classes below it."""
    store, base = selection.base.store, selection.base
    rows = photo_queries.rows_at(base.source, selection.comparison.files.index.to_numpy()[page_order.rows])
    tiles = make_tiles(rows, store, selection.a, base.view.palette)
    return suspects.describe_page(selection, page_order, [one.mask for one in tiles], [one.bar for one in tiles])


def _class_legend(selection: ComparisonSelection, tiles: list[GalleryTile]) -> GalleryLegend:
    run = selection.runs[0]
    return GalleryLegend.of_classes(
        class_colours(run.classes, selection.base.view.palette), tiles, run.untrained_classes
    )


def _legend(tiles: list[GalleryTile]) -> GalleryLegend:
    present = {name for tile in tiles for name, _, _ in tile.bar}
    return GalleryLegend(
        [(c.label, c.colour) for c in CATEGORIES if c.label in present or (c.opacity and c.key != "uncompared")]
    )


def _format_value(measure: str, value: float) -> str:
    if measure == "area":
        return DASH if np.isnan(value) else f"{percentage_points(value)} points"
    return percent(value)


def _meaning(selection: ComparisonSelection, measure: str) -> str:
    if measure in _CLASS_MEASURES:
        return f"IoU of {selection.focus}" if measure == "iou" else f"{selection.focus}, B minus A"
    return _SHORT[measure]
