"""Gallery of the most disagreeing photos, with the A/B difference over grey photos, sortable by any measure.

Takes a `Versus` and draws on the page; clicking a tile opens the viewer with the difference on.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.formatting import NOTHING, percent, signed, tenths
from dashboard.queries import comparison as comparison_queries
from dashboard.queries.comparison_stats import parts_of
from dashboard.queries.ranking import Order
from dashboard.server import media_urls
from dashboard.state.view import DISAGREEMENTS
from dashboard.views.compare.selection import Versus
from dashboard.views.shared import controls, ranked_gallery
from dashboard.views.shared.ranked_gallery import Gallery, Told
from seglib.masks.difference import CATEGORIES

GALLERY = "difference_gallery"
UNFLIPPED: dict[str, Any] = {"flip": (), "measure": "agreement"}
"""View changes that clear the flip and show all photos again."""

_OF_CLASS = ("iou", "area")
_DIFFERING = ("only_a", "only_b", "other", "uncompared")
_SHORT = {"agreement": "agreement", "foreground": "foreground agreement", "flip": "of the photo"}


def render(shown: Versus) -> None:
    view, flip = shown.selection.view, shown.selection.view.flip
    order = comparison_queries.disagreeing(*_asked(shown))
    title = "Photos with such pixels" if flip else "Most disagreeing photos"
    chip = f"A: {flip[0]}, B: {flip[1]}" if flip else ""
    with ranked_gallery.heading(title, len(order), chip, UNFLIPPED):
        sort_select(shown)
    ranked_gallery.gallery(
        shown.selection,
        Gallery(
            key=GALLERY,
            page="compare_page",
            files=shown.found.files,
            order=order,
            tell=partial(_tell, shown),
            legend=_legend,
            opens=opens(shown) | {"flip": flip, "measure": view.measure},
            grey=True,
        ),
    )


def _asked(shown: Versus) -> tuple[comparison_queries.Compared, str, str, str, tuple[str, ...]]:
    view = shown.selection.view
    return shown.asked, shown.b, view.measure, shown.focus if view.measure in _OF_CLASS else "", view.flip


def pictures(shown: Versus) -> NDArray[np.intp]:
    """Return positions of the gallery's photos in A's table, in gallery order, only the first of identical files."""
    return comparison_queries.disagreeing_pictures(*_asked(shown))


def opens(shown: Versus) -> dict[str, Any]:
    """Return the view changes that open a photo in the viewer: difference on, in gallery order."""
    return {"against": shown.b, "difference": "overlay", "origin": "compare"}


def sort_select(shown: Versus) -> None:
    flip, focus = shown.selection.view.flip, shown.focus
    names = [name for name in DISAGREEMENTS if (flip or name != "flip") and (focus or name not in _OF_CLASS)]
    said = {name: DISAGREEMENTS[name].replace("the chosen class", focus) for name in names}
    controls.view_select("Sort", "measure", said, width=320)


def _tell(shown: Versus, here: Order) -> list[Told]:
    measure = shown.selection.view.measure
    ids = shown.found.files["image_id"].iloc[here.at]
    agreement = shown.found.measures[shown.a, shown.b]["pixel_agreement"].each()[here.at]
    parts_here = parts_of(shown.found, shown.a, shown.b, here.at)
    return [
        Told(
            value=_written(measure, float(value)),
            meaning=_meaning(shown, measure),
            aside="" if measure == "agreement" else f"agreement {percent(alike)}",
            alt=f"pixel agreement {tenths(alike)}; ",
            mask=media_urls.difference_url(shown.selection.store, shown.a, shown.b, image_id),
            bar=[
                (category.label, round(float(share), 4), category.colour)
                for category, share in zip(CATEGORIES, shares, strict=True)
                if category.key in _DIFFERING and share > 0
            ],
            nothing="no difference",
        )
        for image_id, value, alike, shares in zip(ids, here.values, agreement, parts_here, strict=True)
    ]


def _legend(there: set[str]) -> list[tuple[str, str]]:
    return [(c.label, c.colour) for c in CATEGORIES if c.label in there or (c.opacity and c.key != "uncompared")]


def _written(measure: str, value: float) -> str:
    if measure == "area":
        return NOTHING if np.isnan(value) else f"{signed(value)} points"
    return percent(value)


def _meaning(shown: Versus, measure: str) -> str:
    if measure in _OF_CLASS:
        return f"IoU of {shown.focus}" if measure == "iou" else f"{shown.focus}, B minus A"
    return _SHORT[measure]
