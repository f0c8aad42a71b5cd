"""Find near-duplicates: images whose embeddings and perceptual hashes both say that they show the same picture.

Groups that stand in several splits come first: such a photo was trained on and is tested on, so that the test says too
much (leakage).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.similarity.embeddings import Embeddings
from seglib.similarity.files import FILE_COLUMNS
from seglib.similarity.hashes import mirror_hashes
from seglib.similarity.neighbours import OnShare, find_neighbours

SPANS: tuple[str, ...] = ("splits", "datasets", "labels")
"""What the files of a group may differ in, the worst first."""

_NEIGHBOURS = 16
"""Of each image that are looked at; a larger group hangs together all the same."""


@dataclass(frozen=True, kw_only=True)
class DuplicateRule:
    """When two images count as near-duplicates.

    With these defaults, 20 of 20 planted copies (re-encoded, cropped, mirrored, brighter) were found among 1,020 photos
    of cats and dogs, and no pair of different pictures; embeddings alone found 7 such pairs at the same similarity, and
    hashes alone missed 2 copies at the usual 10 bits (`docs/similarity.md`).
    """

    similarity: float = 0.88
    """Least cosine similarity of their embeddings."""
    bits: int = 16
    """Most bits, of 64, in which their perceptual hashes differ, one of them mirrored if that fits better."""


def find_near_duplicates(
    embeddings: Embeddings,
    hashes: "pd.Series[int]",
    files: pd.DataFrame,
    rule: DuplicateRule | None = None,
    *,
    on_share: OnShare | None = None,
) -> pd.DataFrame:
    """Groups of files that show the same picture, one row per file.

    Args:
        embeddings: Vectors of the whole image; images without one are left out.
        hashes: uint64 perceptual hash, index image_id; images without one are left out.
        files: The files to look at, with the columns `FILE_COLUMNS`; the table of one run, or a selection of it.
        rule: When two images count as near-duplicates.
        on_share: Called with the share of the work that is done; minutes at a million images.

    Returns:
        One row per file of a group: group (int, 0 first), the columns of `files`, across (what the group's files differ
        in: some of `SPANS`, joined by `|`; "" if they differ in none), similarity (float32: to the most similar image
        of its group; 1 for a copy of the same bytes), bits (of 64, in which their hashes differ). Groups across splits
        come first, then across datasets, then across labels; larger groups before smaller ones.
    """
    rule = rule or DuplicateRule()
    files = files.loc[files["image_id"].notna(), list(FILE_COLUMNS)].drop_duplicates(["dataset", "path"])
    files = files.astype({"image_id": "str"})
    ids = pd.Index(files["image_id"].unique())
    known = hashes[hashes.notna() & hashes.index.isin(ids)]
    chosen = embeddings.only(known.index.to_numpy())
    own = known.reindex(chosen.ids.to_pandas()).to_numpy().astype(np.uint64)
    pairs = _agreeing_pairs(chosen, own, rule, on_share)
    images = _describe_images(chosen, pairs)
    rows = files.merge(images, on="image_id", how="left")
    return _order_groups(_group_copies(rows))


def _agreeing_pairs(
    embeddings: Embeddings, hashes: NDArray[np.uint64], rule: DuplicateRule, on_share: OnShare | None
) -> pd.DataFrame:
    """Pairs that both measures take for the same picture: one, other (positions), similarity, bits."""
    positions, similarity = find_neighbours(embeddings.vectors, _NEIGHBOURS, on_share=on_share)
    row, column = np.nonzero(similarity >= rule.similarity)
    other = positions[row, column]
    straight = np.bitwise_count(hashes[row] ^ hashes[other])
    turned = np.bitwise_count(hashes[row] ^ mirror_hashes(hashes)[other])
    bits = np.minimum(straight, turned)
    pairs: pd.DataFrame = pd.DataFrame(
        {"one": row, "other": other, "similarity": similarity[row, column], "bits": bits}
    )
    agreeing: pd.DataFrame = pairs[bits <= rule.bits]
    return agreeing


def _components(count: int, pairs: pd.DataFrame) -> NDArray[np.int32]:
    """int32 (N,): number of the connected component of each node."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs["one"], pairs["other"])), shape=(count, count))
    labels: NDArray[np.int32] = connected_components(graph, directed=False)[1]
    return labels


def _describe_images(embeddings: Embeddings, pairs: pd.DataFrame) -> pd.DataFrame:
    """image_id, group, similarity and bits (of its best pair; null without one)."""
    both = pd.concat([pairs, pairs.rename(columns={"one": "other", "other": "one"})])
    best = both.groupby("one").agg(similarity=("similarity", "max"), bits=("bits", "min"))
    best = best.reindex(range(len(embeddings)))
    return pd.DataFrame(
        {
            "image_id": embeddings.ids.to_pandas(),
            "group": _components(len(embeddings), pairs),
            "similarity": best["similarity"].to_numpy(np.float32),
            "bits": best["bits"].astype("UInt8").array,
        }
    )


def _group_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """The files that are not alone in their group; files of the same bytes are in one, with or without a vector."""
    alone = rows["group"].isna()
    beyond = pd.factorize(rows["image_id"])[0] + 1
    rows = rows.assign(group=rows["group"].where(~alone, -beyond).astype("int64"))
    copies = rows.duplicated("image_id", keep=False)
    similarity = rows["similarity"].where(~copies, 1.0).astype(np.float32)
    rows = rows.assign(similarity=similarity, bits=rows["bits"].where(~copies, 0))
    return rows[rows.duplicated("group", keep=False)]


def _order_groups(rows: pd.DataFrame) -> pd.DataFrame:
    """Number the groups, the most serious first, and say what each spans."""
    groups = rows.groupby("group")
    spans = pd.DataFrame(
        {span: groups[column].nunique() > 1 for span, column in zip(SPANS, ("split", "dataset", "label"), strict=True)}
    )
    across = pd.Series("", spans.index)
    for span in SPANS:
        across = across.where(~spans[span], across + "|" + span)
    order = spans.assign(size=groups.size(), similarity=groups["similarity"].max()).sort_values(
        [*SPANS, "size", "similarity"], ascending=False, kind="stable"
    )
    numbers = pd.Series(np.arange(len(order)), order.index)
    rows = rows.assign(
        across=rows["group"].map(across).astype("str").str.removeprefix("|"), group=rows["group"].map(numbers)
    )
    columns = ["group", *FILE_COLUMNS, "across", "similarity", "bits"]
    return rows.sort_values(["group", "dataset", "path"], ignore_index=True)[columns]
