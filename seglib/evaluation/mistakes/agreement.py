"""Rank photos by how far ground truth and mask agree, for masks that came without probabilities.

This is no label quality: without probabilities, a mask that is barely wrong and one that is plainly wrong look alike.
"""

import numpy as np
import pandas as pd

from seglib.classes import PRESENT_SHARE
from seglib.errors import UnknownName
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.evaluation import Evaluation


def rank_by_agreement(evaluation: Evaluation, class_name: str = "") -> pd.DataFrame:
    """The files of an evaluation, the least agreement first; the index is that of its files.

    Columns: `FILE_COLUMNS`; `class`, the class with the least IoU of those that cover at least `PRESENT_SHARE` of the
    photo in the ground truth or the mask, or `class_name`; `agreement`, its IoU (0..1); `reason`. Photos without such a
    class are left out. Raises `UnknownName`.
    """
    counts, common = evaluation.counts, evaluation.counts.common_classes
    if class_name and class_name not in common:
        raise UnknownName("class", class_name, list(common))
    names = [class_name] if class_name else list(common)
    least = 0.0 if class_name else PRESENT_SHARE
    values = np.full((len(names), counts.images), np.inf)
    for place, name in enumerate(names):
        measure = evaluation.measures[f"iou:{name}"]
        _, either = measure.columns
        counted = (either > 0) & (either >= least * counts.pixels_per_image())
        values[place] = np.where(counted, measure.per_image(), np.inf)
    worst = values.argmin(0) if names else np.zeros(counts.images, np.intp)
    agreement = values[worst, np.arange(counts.images)] if names else np.full(counts.images, np.inf)
    keep = np.isfinite(agreement)
    frame = evaluation.files.loc[keep, FILE_COLUMNS].assign(
        **{"class": np.array(names, object)[worst[keep]], "agreement": agreement[keep]}
    )
    reasons = [
        f"mask and ground truth share {100 * share:.0f} % of what either calls {name}"
        for share, name in zip(frame["agreement"], frame["class"], strict=True)
    ]
    ranked: pd.DataFrame = frame.assign(reason=pd.array(reasons, dtype="str"))
    return ranked.sort_values("agreement", kind="stable")
