"""Turn a ranking of photos into a work list: where each photo is, how suspicious it is, and why."""

import pandas as pd

from seglib.data.photo_root import name_photo
from seglib.store.store import Store

_DECIMALS = 6


def make_work_list(store: Store, ranked: pd.DataFrame, *, with_full_paths: bool = True) -> pd.DataFrame:
    """The ranked photos (`FILE_COLUMNS` and their scores) in the same order, for people and spreadsheets.

    Columns: rank (from 1), path, full path, dataset, folder, the scores, reason, image_id. `with_full_paths=False`
    omits the full path.
    """
    roots = {dataset.name: dataset.root for dataset in store.datasets()}
    named = ("dataset", "path", "split", "label", "width", "height", "image_id", "truth", "reason")
    scores = [name for name in ranked.columns if name not in named]
    whole = [name_photo(roots[name], path) for name, path in zip(ranked["dataset"], ranked["path"], strict=True)]
    columns = {
        "rank": range(1, len(ranked) + 1),
        "path": ranked["path"],
        "full path": whole,
        "dataset": ranked["dataset"],
        "folder": ranked["label"],
        **{name: ranked[name] for name in scores},
        "reason": ranked["reason"],
        "image_id": ranked["image_id"],
    }
    if not with_full_paths:
        del columns["full path"]
    return pd.DataFrame(columns, index=ranked.index).round(_DECIMALS).reset_index(drop=True)
