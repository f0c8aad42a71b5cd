"""Compute statistics of the table: class distribution, co-occurrence, folder label against content, key figures.

Functions take a `Store.table` frame, never modify it, and return small new frames. Shares are 0..1; images whose model
does not know a class are left out of its mean rather than counted as 0.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.classes import ANIMALS, BACKGROUND, PRESENT_SHARE
from seglib.errors import UsageError
from seglib.masks.statistics import pixels_column
from seglib.query.column_filter import as_numbers
from seglib.query.columns import (
    category_codes,
    class_blobs,
    class_share,
    classes_of,
    iter_class_shares,
    label_agreement,
    to_float64,
)
from seglib.query.fields import Kind, column_kind, field_values
from seglib.store.content import NO_CONTENT

CLASS_COLUMNS: dict[str, Callable[[pd.DataFrame, str], pd.Series]] = {"share": class_share, "blobs": class_blobs}
"""Sort keys that need a class name."""

_EXACT_ROWS = 1 << 23
"""Rows per matrix product: float32 is exact for integers up to 2**24, and many times faster than int64."""


# --- questions ---------------------------------------------------------------------------------------------------


def class_distribution(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise how much of the images each class covers.

    Args:
        table: Rows of one run, a frame of `Store.table` or a selection of it.

    Returns:
        One row per class: mean_share (0..1), mean_share_when_present, present (images in which it covers at least 0.5 %
        of the mask), presence (their share, 0..1), and n, the images whose model knows the class. A mean over no images
        is None rather than 0.

    Raises:
        UsageError: The table holds several runs, which would count each image several times.

    Example:
        seglib.class_distribution(table).loc["cat", "mean_share"]
    """
    _check_one_run(table)
    rows = []
    for name, shares_or_nan in iter_class_shares(table):
        share = shares_or_nan[~np.isnan(shares_or_nan)]
        present_shares = share[share >= PRESENT_SHARE]
        rows.append(
            {
                "class": name,
                "mean_share": _mean(share),
                "mean_share_when_present": _mean(present_shares),
                "present": len(present_shares),
                "presence": len(present_shares) / len(share) if len(share) else None,
                "n": len(share),
            }
        )
    columns = ["class", "mean_share", "mean_share_when_present", "present", "presence", "n"]
    return pd.DataFrame(rows, columns=columns).set_index("class")


def co_occurrence(table: pd.DataFrame) -> pd.DataFrame:
    """Count the images in which two classes are present together.

    Args:
        table: Rows of one run, a frame of `Store.table` or a selection of it.

    Returns:
        int64 (C, C), symmetric, with class names on both axes: number of images that contain both classes. The diagonal
        counts each class itself.

    Raises:
        UsageError: The table holds several runs.

    Example:
        seglib.co_occurrence(table).loc["cat", "sofa"]
    """
    _check_one_run(table)
    names = classes_of(table)
    counts = np.zeros((len(names), len(names)), np.int64)
    if names:
        present = np.array([share >= PRESENT_SHARE for _, share in iter_class_shares(table)])  # (C, rows)
        for start in range(0, len(table), _EXACT_ROWS):
            some = present[:, start : start + _EXACT_ROWS].astype(np.float32)
            counts += (some @ some.T).astype(np.int64)
    return pd.DataFrame(counts, index=names, columns=names)


def folder_vs_animal(table: pd.DataFrame) -> pd.DataFrame:
    """Count the images per folder label and per animal that the model sees.

    Args:
        table: Rows of one run, a frame of `Store.table` or a selection of it.

    Returns:
        int64: one row per folder label (`""` without one), columns cat, dog and none. Images whose model knows neither
        animal are left out.

    Raises:
        UsageError: The table holds several runs.

    Example:
        seglib.folder_vs_animal(table).loc["cats", "dog"]  # photos in cats/ that look like dogs
    """
    frame = _count_by_label(table, "animal")
    return frame.reindex(columns=pd.Index([*ANIMALS, NO_CONTENT], name="animal"), fill_value=0)


def folder_vs_content(table: pd.DataFrame, classes: Sequence[str] | None = None) -> pd.DataFrame:
    """Count the images per folder label and per content: the class with most pixels, of those that the labels name.

    Args:
        table: Rows of one run, a frame of `Store.table` or a selection of it.
        classes: The model's classes in index order; by default, those that the table has columns for.

    Returns:
        int64: one row per folder label (`""` without one), one column per class that a label names or that was found,
        in the model's order, then none. Images without a content, because the labels of their dataset name no class of
        the model, are left out.

    Raises:
        UsageError: The table holds several runs.

    Example:
        seglib.folder_vs_content(table).loc["cars", "bus"]  # photos in cars/ that show more of a bus
    """
    known = classes_of(table) if classes is None else classes
    return arrange_contents(_count_by_label(table, "content"), table["label_class"].dropna().unique(), known)


def arrange_contents(frame: pd.DataFrame, named: Iterable[str], known: Sequence[str]) -> pd.DataFrame:
    """The counts of `folder_vs_content` with its columns in order. `named`: the classes that labels name."""
    names = (set(frame.columns) | set(named)) - {NO_CONTENT}
    if not names.isdisjoint(ANIMALS):
        names |= set(ANIMALS)
    order = {name: place for place, name in enumerate(dict.fromkeys((*known, *ANIMALS)))}
    columns = [*sorted(names, key=lambda name: order.get(name, len(order))), NO_CONTENT]
    return frame.reindex(columns=pd.Index(columns if len(frame) else [], name="content"), fill_value=0)


def classes_of_labels(table: pd.DataFrame) -> dict[str, str]:
    """Folder label -> the class that it names; labels that name none, or another one in each dataset, are left out."""
    return single_classes(_count_by_label(table, "label_class"))


def single_classes(counts: pd.DataFrame) -> dict[str, str]:
    """Label -> its class, of the labels that name one. `counts`: photos per label and class."""
    frame = counts > 0
    frame = frame[frame.sum(axis=1) == 1]
    return {
        str(label): str(frame.columns[int(row.argmax())])
        for label, row in zip(frame.index, frame.to_numpy(), strict=True)
    }


def _count_by_label(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """int64: images per folder label (`""` without one) and value of a categorical column; null values do not count."""
    _check_one_run(table)
    label_codes, labels = _label_codes(table)
    codes, names = category_codes(table[column])
    has_value = codes >= 0
    cells = label_codes[has_value] * len(names) + codes[has_value]
    counts = np.bincount(cells, minlength=len(labels) * len(names)).reshape(len(labels), len(names))
    frame = pd.DataFrame(counts, index=labels, columns=names)
    return frame[frame.sum(axis=1) > 0].rename_axis(index="label", columns=column)


def _label_codes(table: pd.DataFrame) -> tuple[NDArray[np.intp], list[str]]:
    """(code of each row, sorted folder labels); rows without a label have the label `""`."""
    codes, names = category_codes(table["label"])
    labels = sorted({"", *names})
    place = {label: code for code, label in enumerate(labels)}
    return np.array([*(place[name] for name in names), place[""]])[codes], labels


@dataclass(frozen=True)
class KeyFigures:
    photos: int
    mean_foreground_share: float | None
    mean_confidence: float | None
    agreeing: int
    """Images whose content is the class that their folder label names."""
    claiming: int
    """Images whose folder label names a class and whose content is known."""


def key_figures(table: pd.DataFrame) -> KeyFigures:
    _check_one_run(table)
    verdicts = label_agreement(table).value_counts()
    background = class_share(table, BACKGROUND) if pixels_column(BACKGROUND) in table else pd.Series(dtype="float64")
    return KeyFigures(
        photos=len(table),
        mean_foreground_share=_mean(1 - _drop_missing(background)),
        mean_confidence=_mean(_drop_missing(table["confidence"])),
        agreeing=int(verdicts["agrees"]),
        claiming=int(verdicts.sum()),
    )


def _drop_missing(values: pd.Series) -> NDArray[np.float64]:
    numbers = to_float64(values)
    return numbers[~np.isnan(numbers)]


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _check_one_run(table: pd.DataFrame) -> None:
    if (runs := table["run"].nunique()) > 1:
        raise UsageError(
            f"This table holds {runs} runs, which would count each photo {runs} times: choose one run first."
        )


# --- questions of the charts: small answers, whatever the number of rows -----------------------------------------


def sort_positions(table: pd.DataFrame, column: str, *, descending: bool = False, name: str = "") -> NDArray[np.intp]:
    """Row positions sorted by a column; `name` is the class for the columns `share` and `blobs`.

    An own column is named as a field, `column.camera`. Rows without a value always come last; the sort is stable.
    """
    if column.startswith("column."):
        numbers = _sort_keys(field_values(table, column))
    else:
        values = CLASS_COLUMNS[column](table, name) if column in CLASS_COLUMNS else table[column]
        numbers = _sort_keys(values)
    if descending:
        numbers = -numbers
    return np.argsort(np.where(np.isnan(numbers), math.inf, numbers), kind="stable")


def _sort_keys(values: pd.Series) -> NDArray[np.float64]:
    """float64 numbers in the order of the values, texts ignoring case; NaN for null."""
    if column_kind(values) in (Kind.CATEGORY, Kind.TEXT):
        codes, names = category_codes(values)
        texts = pa.array(names, pa.string())
        lowered = pa.table({"lowered": pc.utf8_lower(texts), "text": texts})
        order = pc.sort_indices(lowered, [("lowered", "ascending"), ("text", "ascending")]).to_numpy()
        ranks = np.full(len(names) + 1, math.nan)  # the last one is for code -1 (null)
        ranks[order] = np.arange(len(names))
        keys: NDArray[np.float64] = ranks[codes]
        return keys
    return as_numbers(values)
