"""Extra viewer pane with the ground truth beside the runs, if the view names one and the photo has a mask of it.

Takes a `Selection` and the viewer's images; returns a pane, and the images with the URLs of their ground-truth masks.
"""

from collections.abc import Sequence
from dataclasses import replace

from dashboard.charts import theme
from dashboard.components.viewer import Picture, RunShown
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.photos import Selection
from dashboard.server import media_urls
from seglib.store import ground_truth
from seglib.store.ground_truth import Truth


def pane(selection: Selection, picture: Picture) -> RunShown | None:
    """Return the pane; None if the view names no ground truth of this store, or the photo has no mask of it."""
    about = _about(selection)
    if about is None or _address(selection, about, picture) is None:
        return None
    paint = theme.class_colours(about.classes, selection.view.palette)
    colours = tuple(paint[name] for name in about.classes)
    return RunShown(run=_key(about), title=f"Truth: {about.name}", names=about.classes, colours=colours)


def added(selection: Selection, pictures: Sequence[Picture]) -> list[Picture]:
    about = _about(selection)
    if about is None:
        return list(pictures)
    return [replace(one, masks=one.masks | {_key(about): _address(selection, about, one)}) for one in pictures]


def _about(selection: Selection) -> Truth | None:
    wanted = selection.view.truth
    return next((one for one in ground_truth.all_truths(selection.store) if one.id == wanted), None) if wanted else None


def _key(about: Truth) -> str:
    """Return a key that no run can have, since run names contain no colon."""
    return f"truth:{about.id}"


def _address(selection: Selection, about: Truth, picture: Picture) -> str | None:
    mask_id = evaluation_queries.truth_mask(selection.store, about, picture.image_id)
    return mask_id and media_urls.truth_url(selection.store, about, mask_id)
