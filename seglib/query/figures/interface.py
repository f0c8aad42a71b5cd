"""The figures and charts of a selection: one interface for a table in memory and for a prepared one.

`frame.FrameFigures` answers with pandas, `prepared.figures.PreparedFigures` with SQL; a test holds both equal. What the
frames hold is said where pandas computes them, in `query.statistics` and `query.histograms`.
"""

from collections.abc import Sequence
from typing import Protocol

import pandas as pd

from seglib.query.statistics import KeyFigures


class Figures(Protocol):
    """Each photo that several datasets hold counts once."""

    def key_figures(self) -> KeyFigures: ...

    def class_distribution(self) -> pd.DataFrame: ...

    def co_occurrence(self) -> pd.DataFrame: ...

    def folder_vs_content(self) -> pd.DataFrame: ...

    def classes_of_labels(self) -> dict[str, str]: ...

    def count_contradictions(self) -> int:
        """Photos whose folder label names another class than the one that the model sees."""

    def share_by_label(self) -> pd.DataFrame: ...

    def share_spread_by_label(self, name: str) -> pd.DataFrame: ...

    def histogram(self, field: str, bins: int) -> pd.DataFrame:
        """Photos per bin of a field with values within 0..1, such as `confidence` or `share.cat`."""

    def density(self, x: str, y: str) -> pd.DataFrame:
        """Photos per cell of two such fields."""

    def image_sizes(self) -> pd.DataFrame: ...

    def blob_counts(self, names: Sequence[str]) -> pd.DataFrame: ...
