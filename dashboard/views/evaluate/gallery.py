"""Gallery of the worst photos, with the main run's errors, the ground truth or the prediction over the photos.

Takes a `EvaluationSelection` and draws on the page; clicking a tile opens the viewer with the ground truth beside the
runs.
"""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.answers.captions import describe_error, largest_differences
from dashboard.charts import theme
from dashboard.components.gallery import GalleryLegend, GalleryTile
from dashboard.formatting import percent, percent_fixed
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.evaluation_stats import category_shares_at
from dashboard.queries.ranking import ImageOrder
from dashboard.server import media_urls
from dashboard.server.rendering import DOUBT_COLOUR
from dashboard.state.view import EVALUATE_SORTS, MISTAKE_SORTS
from dashboard.views.evaluate import mistakes
from dashboard.views.evaluate.selection import EvaluationSelection
from dashboard.views.multi_run import ranked_gallery
from dashboard.views.multi_run.ranked_gallery import BarParts, RankedGallery, TileContent
from dashboard.views.shared import controls
from seglib.classes import BACKGROUND
from seglib.masks.difference import CATEGORIES

GALLERY = "worst_gallery"

CATEGORY_NAMES = {
    "same": "right",
    "only_a": "missed",
    "only_b": "invented",
    "other": "wrong class",
    "uncompared": "void",
}
"""Key of a category of `seglib.masks.difference` -> its meaning when A is the ground truth."""

_SHORT = {"miou": "mIoU", "accuracy": "accuracy", "boundary": "boundary F"}
_LAYER_NAMES = {"difference": "Right and wrong", "truth": "Truth", "prediction": "Prediction", "doubts": "Doubtful"}


def render(selection: EvaluationSelection) -> None:
    view, cell = selection.base.view, selection.base.view.cell
    finds_mistakes, layer = mistakes.are_shown(view), _layer(selection)
    order = _order(selection)
    title = (
        "Photos with such pixels, most of them first"
        if cell
        else "Likely mistakes"
        if finds_mistakes
        else "Worst photos"
    )
    chip = f"truth: {cell[0]}, called {cell[1]}" if cell else ""
    if not cell:
        mistakes.list_switch(selection)
    if finds_mistakes:
        mistakes.explain(selection)
        if not len(order):
            return
    with ranked_gallery.heading(title, len(order), chip, {"cell": ()}):
        if finds_mistakes:
            mistakes.class_select(selection)
        sort_select(selection)
        controls.view_switch("Shown over the photos", "layer", _layer_names(selection))
    ranked_gallery.gallery(
        selection.base,
        RankedGallery(
            key=GALLERY,
            page_field="evaluate_page",
            files=selection.evaluation.files,
            order=order,
            describe=partial(_describe_page, selection),
            legend=partial(_legend, selection),
            viewer_state=viewer_state(selection) | {"cell": cell, "grade": view.grade},
            grey=layer in ("difference", "doubts"),
        ),
    )


def _order(selection: EvaluationSelection) -> ImageOrder:
    if mistakes.are_shown(selection.base.view):
        return mistakes.order(selection)
    return evaluation_queries.worst_order(*_query_args(selection))


def _layer_names(selection: EvaluationSelection) -> dict[str, str]:
    """Return the layers that can be shown, with their names."""
    return {name: text for name, text in _LAYER_NAMES.items() if name != "doubts" or mistakes.has_scores(selection)}


def _layer(selection: EvaluationSelection) -> str:
    """Return the layer that is shown: the chosen one if there is such."""
    chosen = selection.base.view.layer
    return chosen if chosen in _layer_names(selection) else "difference"


def _query_args(
    selection: EvaluationSelection,
) -> tuple[evaluation_queries.EvaluationQuery, str, str, str, tuple[str, ...]]:
    view = selection.base.view
    return (
        selection.query,
        selection.main_run.run,
        view.grade,
        selection.focus if view.grade == "iou" else "",
        view.cell,
    )


def gallery_positions(selection: EvaluationSelection) -> NDArray[np.intp]:
    """Return the positions of the gallery's photos in the active run's table, in gallery order.

    Only the first of identical files is kept.
    """
    if mistakes.are_shown(selection.base.view):
        return mistakes.positions(selection)
    return evaluation_queries.worst_positions(*_query_args(selection))


def viewer_state(selection: EvaluationSelection) -> dict[str, Any]:
    """Return the view changes that open a photo in the viewer: what the gallery shows, ground truth beside the runs."""
    runs = {selection.base.run.run, *(run.run for run in selection.runs)}
    mode = "overlay" if selection.base.view.layer == "difference" else ""
    return {"truth": selection.truth.id, "runs": tuple(sorted(runs)), "origin": "evaluate", "difference": mode}


def sort_select(selection: EvaluationSelection, *, labelled: bool = False) -> None:
    """Draw the sort menu; hidden while a cell's photos are shown, since those are sorted by the cell's pixels."""
    if not selection.base.view.cell:
        focus = selection.focus
        names = {name: text.replace("the chosen class", focus) for name, text in EVALUATE_SORTS.items()}
        of_class = () if focus else ("iou", "class-quality")
        finds_mistakes = mistakes.are_shown(selection.base.view)
        offered = {
            name: label
            for name, label in names.items()
            if name not in of_class and (name in MISTAKE_SORTS) == finds_mistakes
        }
        controls.view_select("Sort", "grade", offered, width=300, labelled=labelled)


# --- what is said ------------------------------------------------------------------------------------------------


def _describe_page(selection: EvaluationSelection, page_order: ImageOrder) -> list[TileContent]:
    view, files, layer = selection.base.view, selection.evaluation.files.iloc[page_order.rows], _layer(selection)
    if mistakes.are_shown(view):
        masks = [_mask(selection, *ids) for ids in zip(files["image_id"], files["truth"], strict=True)]
        return mistakes.describe_page(selection, page_order, masks, _LAYER_NAMES[layer].lower())
    accuracy = selection.evaluation.measures["pixel_accuracy"].per_image()[page_order.rows]
    errors = largest_differences(selection.evaluation.counts.take(page_order.rows), both_known=False)
    return [
        TileContent(
            value=percent(float(value)),
            meaning=_meaning(selection),
            aside="" if view.grade == "accuracy" and not view.cell else f"accuracy {percent(right)}",
            lines=tuple(describe_error(*error) for error in named),
            alt=f"pixel accuracy {percent_fixed(right)}; {_LAYER_NAMES[layer].lower()}: ",
            mask=_mask(selection, image_id, mask_id),
            bar=bar,
            empty_text="nothing but background",
        )
        for image_id, mask_id, value, right, bar, named in zip(
            files["image_id"],
            files["truth"],
            page_order.values,
            accuracy,
            _bars(selection, page_order.rows),
            errors,
            strict=True,
        )
    ]


def _mask(selection: EvaluationSelection, image_id: str, mask_id: str) -> str | None:
    store, view, run = selection.base.store, selection.base.view, selection.main_run.run
    layer = _layer(selection)
    if layer == "doubts":
        return media_urls.doubts_url(store, run, image_id, selection.truth)
    if layer == "truth":
        return media_urls.truth_url(store, selection.truth, mask_id, view.palette)
    if layer == "prediction":
        return media_urls.overlay_url(store, run, image_id, view.palette)
    return media_urls.error_map_url(store, run, image_id, selection.truth, mask_id)


def _legend(selection: EvaluationSelection, tiles: list[GalleryTile]) -> GalleryLegend:
    layer = _layer(selection)
    if layer == "doubts":
        return GalleryLegend([(mistakes.LEGEND, DOUBT_COLOUR)])
    if layer == "difference":
        return GalleryLegend([(CATEGORY_NAMES[one.key], one.colour) for one in CATEGORIES if one.opacity])
    return GalleryLegend.of_classes(_class_colours(selection), tiles, selection.main_run.untrained_classes)


def _class_colours(selection: EvaluationSelection) -> dict[str, str]:
    """Return the colours of the layer that is shown, as its masks are painted."""
    view = selection.base.view
    classes = selection.truth.classes if _layer(selection) == "truth" else selection.main_run.classes
    return theme.class_colours(classes, view.palette)


def _bars(selection: EvaluationSelection, rows: NDArray[np.intp]) -> list[BarParts]:
    """Return the parts of each photo: right and wrong, or the classes of the layer shown."""
    if _layer(selection) in ("difference", "doubts"):
        return [
            [
                (CATEGORY_NAMES[category.key], round(float(share), 4), category.colour)
                for category, share in zip(CATEGORIES, shares, strict=True)
                if category.opacity and share > 0
            ]
            for shares in category_shares_at(selection.evaluation, rows)
        ]
    counts, paint = selection.evaluation.counts.take(rows), _class_colours(selection)
    of_truth = _layer(selection) == "truth"
    values, names = (counts.a, counts.classes_a) if of_truth else (counts.b, counts.classes_b)
    area = np.maximum(counts.pixels_per_image(), 1)
    bars: list[BarParts] = [[] for _ in rows]
    for value, name in enumerate(names):
        if name == BACKGROUND:
            continue
        hit = values == value
        pixels = np.bincount(counts.image[hit], counts.pixels[hit], counts.images)
        for place in np.flatnonzero(pixels):
            bars[place].append((name, round(float(pixels[place] / area[place]), 4), paint[name]))
    return [sorted(bar, key=lambda part: -part[1]) for bar in bars]


def _meaning(selection: EvaluationSelection) -> str:
    view = selection.base.view
    if view.cell:
        return "of the photo"
    return f"IoU of {selection.focus}" if view.grade == "iou" else _SHORT[view.grade]
