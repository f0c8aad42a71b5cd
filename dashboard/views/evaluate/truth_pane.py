"""Extra viewer pane with the ground truth beside the runs, if the view names one and the photo has a mask of it.

Takes a `Selection` and the viewer's images; returns a pane, and the images with the URLs of their ground-truth masks.
"""

from collections.abc import Sequence
from dataclasses import replace

from dashboard.components.viewer import ViewerImage, ViewerPair, ViewerRun
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.photos import Selection
from dashboard.server import media_urls
from dashboard.views.evaluate.gallery import CATEGORY_NAMES
from seglib.masks.difference import CATEGORIES
from seglib.store import ground_truth
from seglib.store.ground_truth import GroundTruth


def build_pane(selection: Selection, picture: ViewerImage) -> ViewerRun | None:
    """Return the pane; None if the view names no ground truth of this store, or the photo has no mask of it."""
    truth = _chosen_truth(selection)
    if truth is None or _mask_url(selection, truth, picture) is None:
        return None
    return ViewerRun.create(_key(truth), f"Truth: {truth.name}", truth.classes, selection.view.palette)


def pair(pane: ViewerRun | None, place: int) -> ViewerPair | None:
    """Return how the viewer shows the difference between the truth, its run number `place`, and the first run; None if
    there is no pane.
    """
    if pane is None:
        return None
    categories = [replace(one, label=CATEGORY_NAMES.get(one.key, one.label)) for one in CATEGORIES]
    return ViewerPair(runs=(place, 0), sides=("T", "1"), title="Against the truth", categories=categories)


def add_truth_masks(selection: Selection, pictures: Sequence[ViewerImage]) -> list[ViewerImage]:
    """Return the images with their ground-truth masks, and where the active run doubts them as the uncertainty map."""
    truth = _chosen_truth(selection)
    if truth is None:
        return list(pictures)
    key, store, run = _key(truth), selection.store, selection.run.run
    added = []
    for one in pictures:
        doubts = media_urls.doubts_url(store, run, one.image_id, truth, grey=True)
        heats = one.heats | ({key: doubts} if doubts else {})
        added.append(replace(one, masks=one.masks | {key: _mask_url(selection, truth, one)}, heats=heats))
    return added


def _chosen_truth(selection: Selection) -> GroundTruth | None:
    wanted = selection.view.truth
    return (
        next((one for one in ground_truth.list_truths(selection.store) if one.id == wanted), None) if wanted else None
    )


def _key(truth: GroundTruth) -> str:
    """Return a key that no run can have, since run names contain no colon."""
    return f"truth:{truth.id}"


def _mask_url(selection: Selection, truth: GroundTruth, picture: ViewerImage) -> str | None:
    mask_id = evaluation_queries.truth_mask_id(selection.store, truth, picture.image_id)
    return mask_id and media_urls.truth_url(selection.store, truth, mask_id)
