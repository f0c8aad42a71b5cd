"""Gallery of the most disagreeing photos, with the A/B difference over grey photos, sortable by any measure.

Takes a `ComparisonSelection` and draws on the page; clicking a tile opens the viewer with the difference on.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.formatting import DASH, percent, percent_fixed, percentage_points
from dashboard.queries import comparison as comparison_queries
from dashboard.queries.comparison_stats import category_shares_at
from dashboard.queries.ranking import ImageOrder
from dashboard.server import media_urls
from dashboard.state.view import COMPARE_SORTS
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.shared import controls, ranked_gallery
from dashboard.views.shared.ranked_gallery import RankedGallery, TileContent
from seglib.masks.difference import CATEGORIES

GALLERY = "difference_gallery"
WITHOUT_FLIP: dict[str, Any] = {"flip": (), "measure": "agreement"}
"""View changes that clear the flip and show all photos again."""

_CLASS_MEASURES = ("iou", "area")
_DIFFERING = ("only_a", "only_b", "other", "uncompared")
_SHORT = {"agreement": "agreement", "foreground": "foreground agreement", "flip": "of the photo"}


def render(shown: ComparisonSelection) -> None:
    view, flip = shown.selection.view, shown.selection.view.flip
    order = comparison_queries.disagreement_order(*_query_args(shown))
    title = "Photos with such pixels" if flip else "Most disagreeing photos"
    chip = f"A: {flip[0]}, B: {flip[1]}" if flip else ""
    with ranked_gallery.heading(title, len(order), chip, WITHOUT_FLIP):
        sort_select(shown)
    ranked_gallery.gallery(
        shown.selection,
        RankedGallery(
            key=GALLERY,
            page_field="compare_page",
            files=shown.comparison.files,
            order=order,
            describe=partial(_describe_page, shown),
            legend=_legend,
            viewer_state=viewer_state(shown) | {"flip": flip, "measure": view.measure},
            grey=True,
        ),
    )


def _query_args(
    shown: ComparisonSelection,
) -> tuple[comparison_queries.ComparisonQuery, str, str, str, tuple[str, ...]]:
    view = shown.selection.view
    return shown.query, shown.b, view.measure, shown.focus if view.measure in _CLASS_MEASURES else "", view.flip


def gallery_positions(shown: ComparisonSelection) -> NDArray[np.intp]:
    """Return positions of the gallery's photos in A's table, in gallery order, only the first of identical files."""
    return comparison_queries.disagreement_positions(*_query_args(shown))


def viewer_state(shown: ComparisonSelection) -> dict[str, Any]:
    """Return the view changes that open a photo in the viewer: difference on, in gallery order."""
    return {"against": shown.b, "difference": "overlay", "origin": "compare"}


def sort_select(shown: ComparisonSelection) -> None:
    flip, focus = shown.selection.view.flip, shown.focus
    names = [name for name in COMPARE_SORTS if (flip or name != "flip") and (focus or name not in _CLASS_MEASURES)]
    labels = {name: COMPARE_SORTS[name].replace("the chosen class", focus) for name in names}
    controls.view_select("Sort", "measure", labels, width=320)


def _describe_page(shown: ComparisonSelection, page_order: ImageOrder) -> list[TileContent]:
    measure = shown.selection.view.measure
    ids = shown.comparison.files["image_id"].iloc[page_order.rows]
    agreement = shown.comparison.measures[shown.a, shown.b]["pixel_agreement"].per_image()[page_order.rows]
    parts_here = category_shares_at(shown.comparison, shown.a, shown.b, page_order.rows)
    return [
        TileContent(
            value=_format_value(measure, float(value)),
            meaning=_meaning(shown, measure),
            aside="" if measure == "agreement" else f"agreement {percent(alike)}",
            alt=f"pixel agreement {percent_fixed(alike)}; ",
            mask=media_urls.difference_url(shown.selection.store, shown.a, shown.b, image_id),
            bar=[
                (category.label, round(float(share), 4), category.colour)
                for category, share in zip(CATEGORIES, shares, strict=True)
                if category.key in _DIFFERING and share > 0
            ],
            empty_text="no difference",
        )
        for image_id, value, alike, shares in zip(ids, page_order.values, agreement, parts_here, strict=True)
    ]


def _legend(there: set[str]) -> list[tuple[str, str]]:
    return [(c.label, c.colour) for c in CATEGORIES if c.label in there or (c.opacity and c.key != "uncompared")]


def _format_value(measure: str, value: float) -> str:
    if measure == "area":
        return DASH if np.isnan(value) else f"{percentage_points(value)} points"
    return percent(value)


def _meaning(shown: ComparisonSelection, measure: str) -> str:
    if measure in _CLASS_MEASURES:
        return f"IoU of {shown.focus}" if measure == "iou" else f"{shown.focus}, B minus A"
    return _SHORT[measure]
