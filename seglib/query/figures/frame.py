"""The figures of a selection of a table in memory."""

from collections.abc import Callable, Sequence

import pandas as pd

from seglib.classes import BACKGROUND
from seglib.masks.statistics import blobs_column, pixels_column
from seglib.query import columns, histograms, statistics
from seglib.query.fields import field_values
from seglib.query.statistics import KeyFigures

_GRID = ("grid_width", "grid_height")
_LABELS = ("run", "label", "label_class", "content")


class FrameFigures:
    """Implements `interface.Figures`, reading only the columns that each answer needs."""

    def __init__(
        self,
        classes: Sequence[str],
        rows: Callable[[Sequence[str]], pd.DataFrame],
        class_rows: Callable[[], pd.DataFrame] | None = None,
    ) -> None:
        """`rows`: the photos with these columns, those that the run lacks left out; `class_rows`: with
        `class_columns`, which several answers need.
        """
        self._classes, self._rows = classes, rows
        self._class_rows = class_rows or (lambda: rows(class_columns(classes)))

    def key_figures(self) -> KeyFigures:
        return statistics.key_figures(self._rows([*_LABELS, *_GRID, "confidence", pixels_column(BACKGROUND)]))

    def class_distribution(self) -> pd.DataFrame:
        return statistics.class_distribution(self._class_rows())

    def co_occurrence(self) -> pd.DataFrame:
        return statistics.co_occurrence(self._class_rows())

    def folder_vs_content(self) -> pd.DataFrame:
        return statistics.folder_vs_content(self._rows(_LABELS), self._classes)

    def classes_of_labels(self) -> dict[str, str]:
        return statistics.classes_of_labels(self._rows(_LABELS))

    def count_contradictions(self) -> int:
        return int((columns.label_agreement(self._rows(_LABELS)) == "contradicts").sum())

    def share_by_label(self) -> pd.DataFrame:
        return histograms.share_by_label(self._class_rows())

    def share_spread_by_label(self, name: str) -> pd.DataFrame:
        return histograms.share_spread_by_label(self._rows([*_LABELS, *_GRID, pixels_column(name)]), name)

    def histogram(self, field: str, bins: int) -> pd.DataFrame:
        return histograms.histogram(field_values(self._rows(_columns_of(field)), field), bins)

    def density(self, x: str, y: str) -> pd.DataFrame:
        rows = self._rows([*_columns_of(x), *_columns_of(y)])
        return histograms.density(field_values(rows, x), field_values(rows, y))

    def image_sizes(self) -> pd.DataFrame:
        return histograms.image_sizes(self._rows(["width", "height"]))

    def blob_counts(self, names: Sequence[str]) -> pd.DataFrame:
        return histograms.blob_counts(self._rows(["run", *map(blobs_column, names)]), names)


def class_columns(classes: Sequence[str]) -> list[str]:
    """The columns for answers about every class."""
    return [*_LABELS, *_GRID, *map(pixels_column, classes)]


def _columns_of(field: str) -> list[str]:
    group, _, name = field.partition(".")
    return [*_GRID, pixels_column(name)] if group == "share" else [field]
