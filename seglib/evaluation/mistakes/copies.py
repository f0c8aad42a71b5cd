"""Find near-duplicates whose masks differ: of two photos that show the same picture, one mask is wrong.

Takes the table of one run and groups of files (`similarity.duplicates.find_near_duplicates`). Masks are compared by the
shares of their classes, so that a mirrored or cropped copy is no other picture.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.query.columns import iter_class_shares
from seglib.similarity.duplicates import find_near_duplicates
from seglib.similarity.embeddings import list_sources, read_embeddings
from seglib.similarity.hashes import read_hashes
from seglib.store.store import Store

DIFFERING = 0.1
"""Copies differ if at least this share of the area has another class, whatever its place."""


def find_copies(store: Store, table: pd.DataFrame) -> pd.DataFrame | None:
    """Groups of near-duplicates among these files; None if the store has no embeddings of whole photos."""
    sources = [one for one in list_sources(store) if "global" in one.kinds]
    if not sources:
        return None
    names = {one.name for one in sources}
    own = str(table["run"].iloc[0]) if len(table) else ""
    embeddings = read_embeddings(store, own if own in names else sources[0].name).only(table["image_id"])
    return find_near_duplicates(embeddings, read_hashes(store, embeddings.ids.to_pylist()), table)


def find_differing_copies(table: pd.DataFrame, groups: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.object_]]:
    """(strength, words) of each row of the table: half the sum of the differences of the classes' shares from the copy
    that differs most, NaN below `DIFFERING`. `groups` needs the columns group, dataset and path.
    """
    strength, words = np.full(len(table), np.nan), np.full(len(table), "", object)
    keys = pd.MultiIndex.from_arrays([table["dataset"].astype("str"), table["path"].astype("str")])
    rows = keys.get_indexer(pd.MultiIndex.from_arrays([groups["dataset"].astype("str"), groups["path"].astype("str")]))
    numbers, rows = groups["group"].to_numpy()[rows >= 0], rows[rows >= 0]
    chosen = table.iloc[rows]
    shares = np.nan_to_num(np.array([share for _, share in iter_class_shares(chosen)]).T)  # (G, C)
    for group in np.unique(numbers):
        members = np.flatnonzero(numbers == group)
        if len(members) < 2:
            continue
        differences = np.array([np.abs(shares[members] - shares[one]).sum(1) / 2 for one in members])
        for place, other in enumerate(differences.argmax(1)):
            if (difference := differences[place, other]) >= DIFFERING:
                row = rows[members[place]]
                strength[row] = difference
                copy = chosen["path"].iloc[members[other]]
                words[row] = f"looks like {copy}, but {100 * difference:.0f} % of the mask has another class"
    return strength, words
