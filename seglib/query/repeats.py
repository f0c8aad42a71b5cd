"""Find the photos that several datasets hold, so that figures count each of them once.

Two equal files of one dataset are two rows of the table and count as two. A copy of a dataset, or a dataset scanned at
two places, must not: its photos would count twice, and intervals over photos would be too narrow.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.columns import category_codes


def first_datasets(files: pd.DataFrame) -> NDArray[np.bool_]:
    """bool (rows,): True but for the rows of an image that an earlier dataset of the frame holds too.

    `files` needs the columns dataset and image_id.
    """
    codes, names = category_codes(files["dataset"])
    if len(names) < 2 or len(np.unique(codes)) < 2:
        return np.ones(len(files), bool)
    images, _ = pd.factorize(files["image_id"])
    is_first: NDArray[np.bool_] = codes == codes[_first_rows(images)][images]
    return is_first


def _first_rows(images: NDArray[np.intp]) -> NDArray[np.intp]:
    """(images,): the first row of each image, for images numbered in order of appearance."""
    return np.unique(images, return_index=True)[1]


def describe_repeats(
    files: pd.DataFrame, counted: NDArray[np.bool_], consequence: str = "each is counted once"
) -> list[str]:
    """A sentence on the photos that several datasets hold, and what follows; none if there are none."""
    left_out = files[~counted]
    if left_out.empty:
        return []
    shared = files[files["image_id"].isin(left_out["image_id"])]
    photos, datasets = shared["image_id"].nunique(), sorted(shared["dataset"].astype("str").unique())
    are = "photo is" if photos == 1 else "photos are"
    return [f"{photos:,} {are} in several datasets ({', '.join(datasets)}): {consequence}."]
