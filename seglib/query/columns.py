"""Derive columns from the table: shares, presence, blobs, tags, and agreement between folder label and content."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import PRESENT_SHARE
from seglib.errors import UnknownName
from seglib.masks.statistics import blobs_column, pixels_column
from seglib.store.content import NO_CONTENT
from seglib.store.schemas import TAG_SEPARATOR

_DECIMALS = 7
"""Decimals that a float32 within 0..1 can hold."""

AGREEMENTS: tuple[str, ...] = ("agrees", "contradicts", "neither")
"""Folder label against content: the class that it names, another one, or none of them; null if it names no class."""

AGREEMENT_WORDS: dict[str, str] = {
    "agrees": "agree",
    "contradicts": "disagree",
    "neither": "nothing seen",
    "": "folder names no class",
}
"""One of `AGREEMENTS`, or the empty text in place of null -> how pages and lists call it."""


def classes_of(table: pd.DataFrame) -> list[str]:
    """Classes with a pixel count column in the table, in index order."""
    return [c.removeprefix("px:") for c in table.columns if c.startswith("px:")]


def class_share(table: pd.DataFrame, name: str) -> pd.Series:
    """float64, 0..1: share of each row's mask that the class covers; NaN where the model does not know the class.

    Raises `UnknownName` if no model in the table knows it.
    """
    if pixels_column(name) not in table.columns:
        raise UnknownName("class", name, classes_of(table))
    pixels = table[pixels_column(name)].to_numpy("float64", na_value=math.nan)
    return pd.Series(pixels / _grid_area(table), table.index)


def iter_class_shares(table: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield (class, its `class_share` as an array) for every class, computing the mask areas only once."""
    area = _grid_area(table)
    for name in classes_of(table):
        yield name, table[pixels_column(name)].to_numpy("float64", na_value=math.nan) / area


def is_present(table: pd.DataFrame, name: str) -> pd.Series:
    """bool: whether the class covers at least `PRESENT_SHARE` of each row's mask."""
    return class_share(table, name) >= PRESENT_SHARE


def class_blobs(table: pd.DataFrame, name: str) -> pd.Series:
    """Number of connected regions of the class, each at least `PRESENT_SHARE` of the mask; null where unknown.

    Raises `UnknownName` if no model in the table knows the class.
    """
    if blobs_column(name) not in table.columns:
        raise UnknownName("class", name, classes_of(table))
    return table[blobs_column(name)]


def label_agreement(table: pd.DataFrame) -> pd.Series:
    """One of `AGREEMENTS` per row (categorical); null if the label names no class or the content is null."""
    named_codes, named = category_codes(table["label_class"])
    content_codes, contents = category_codes(table["content"])
    verdict_codes = np.full((len(named) + 1, len(contents) + 1), -1, np.int8)  # last row and column: code -1 (null)
    verdict_codes[:-1, :-1] = [[_verdict(name, content) for content in contents] for name in named] or -1
    return pd.Series(
        pd.Categorical.from_codes(verdict_codes[named_codes, content_codes], pd.Index(AGREEMENTS)), table.index
    )


def _verdict(named: str, content: str) -> int:
    """Index into `AGREEMENTS`."""
    return AGREEMENTS.index("agrees" if content == named else "neither" if content == NO_CONTENT else "contradicts")


def split_tags(tags: object) -> list[str]:
    """Split one value of the `tags` column into tag names."""
    return tags.split(TAG_SEPARATOR) if isinstance(tags, str) and tags else []


def count_tags(values: pd.Series) -> dict[str, int]:
    """Map tag -> number of rows that have it, sorted by name; `""` counts untagged rows, if there are any."""
    counts: dict[str, int] = {}
    for joined, n in values.value_counts(dropna=False).items():
        for name in split_tags(joined) or [""]:
            counts[name] = counts.get(name, 0) + int(n)
    return {name: n for name, n in sorted(counts.items()) if n}


def category_codes(column: pd.Series) -> tuple[NDArray[np.integer], list[str]]:
    """(code of each row, names): codes index into names, -1 for null. Free for a categorical column."""
    category = column.astype("category").cat
    return category.codes.to_numpy(), [str(name) for name in category.categories]


def _grid_area(table: pd.DataFrame) -> NDArray[np.float64]:
    area: NDArray[np.float64] = table["grid_width"].to_numpy("float64") * table["grid_height"].to_numpy("float64")
    return area


def to_float64(column: pd.Series) -> NDArray[np.float64]:
    """float64 (N,), NaN for null; float32 values are rounded, so that a stored 0.7 compares equal to 0.7."""
    numbers: NDArray[np.float64] = column.to_numpy("float64", na_value=math.nan)
    return numbers.round(_DECIMALS) if column.dtype == np.float32 else numbers
