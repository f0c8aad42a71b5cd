"""Columns computed from the table's: shares, presence, blobs, and whether the folder label agrees with the animal."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import PRESENT_SHARE, animal_of_label
from seglib.errors import UnknownName
from seglib.masks.statistics import blobs_column, pixels_column

_DECIMALS = 7
"""Of a float32 within 0..1."""


AGREEMENTS: tuple[str, ...] = ("agrees", "contradicts", "neither")
"""Folder label against animal: the same animal, the other one, or the net saw neither; null where no claim is made."""


def classes_of(table: pd.DataFrame) -> list[str]:
    """The classes that the table has pixels of, in index order."""
    return [c.removeprefix("px:") for c in table.columns if c.startswith("px:")]


def shares(table: pd.DataFrame, name: str) -> pd.Series:
    """float64, 0..1: the class's share of each row's grid; NaN where the model does not know it."""
    if pixels_column(name) not in table.columns:
        raise UnknownName("class", name, classes_of(table))
    pixels = table[pixels_column(name)].to_numpy("float64", na_value=math.nan)
    return pd.Series(pixels / _grid_area(table), table.index)


def each_share(table: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """(class, its `shares`) of every class, with what they have in common computed once."""
    area = _grid_area(table)
    for name in classes_of(table):
        yield name, table[pixels_column(name)].to_numpy("float64", na_value=math.nan) / area


def present(table: pd.DataFrame, name: str) -> pd.Series:
    """bool: the class covers at least `PRESENT_SHARE` of the row's grid."""
    return shares(table, name) >= PRESENT_SHARE


def blobs(table: pd.DataFrame, name: str) -> pd.Series:
    """Connected regions of the class per row, each at least `PRESENT_SHARE` of the grid; no value where unknown."""
    if blobs_column(name) not in table.columns:
        raise UnknownName("class", name, classes_of(table))
    return table[blobs_column(name)]


def agreement(table: pd.DataFrame) -> pd.Series:
    """One of `AGREEMENTS` per row as a category, no value where there is no claim or no animal."""
    label_codes, labels = coded(table["label"])
    animal_codes, animals = coded(table["animal"])
    verdicts = [[_verdict(animal_of_label(label), animal) for animal in animals] for label in labels]
    known = np.full((len(labels) + 1, len(animals) + 1), -1, np.int8)  # the last ones: a code of -1
    known[:-1, :-1] = np.reshape(verdicts, (len(labels), len(animals)))
    return pd.Series(pd.Categorical.from_codes(known[label_codes, animal_codes], pd.Index(AGREEMENTS)), table.index)


def _verdict(claimed: str | None, seen: str) -> int:
    """Position in `AGREEMENTS`, -1 without a claim."""
    if claimed is None:
        return -1
    return AGREEMENTS.index("agrees" if seen == claimed else "neither" if seen == "none" else "contradicts")


def coded(column: pd.Series) -> tuple[NDArray[np.integer], list[str]]:
    """(code of each row, names): a code is a name's position, -1 for no value. Of a category its own, at no cost."""
    category = column.astype("category").cat
    return category.codes.to_numpy(), [str(name) for name in category.categories]


def _grid_area(table: pd.DataFrame) -> NDArray[np.float64]:
    area: NDArray[np.float64] = table["grid_width"].to_numpy("float64") * table["grid_height"].to_numpy("float64")
    return area


def numbers(column: pd.Series) -> NDArray[np.float64]:
    """float64 (N,), NaN for no value; of a float32 the decimal that it stands for, so that 0.7 is not below 0.7."""
    found: NDArray[np.float64] = column.to_numpy("float64", na_value=math.nan)
    return found.round(_DECIMALS) if column.dtype == np.float32 else found
