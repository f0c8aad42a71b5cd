"""Filters that find photos of doubtful quality, with the thresholds of cleanvision (docs/measures.md)."""

import pandas as pd

from seglib.query.filters import Filters
from seglib.store.schemas import COLUMN_PREFIX

READY_FILTERS: dict[str, tuple[str, str]] = {
    "Dark": ("highlights", "..<0.32"),
    "Overexposed": ("shadows", "0.95.."),
    "Blurred": ("sharpness", "..<0.29"),
    "Almost one colour": ("image_entropy", "..<3"),
}
"""Name -> the measure and its range."""


def ready_filter(name: str) -> Filters:
    measure, text = READY_FILTERS[name]
    return Filters({f"column.{measure}": (text,)})


def measure_column(name: str) -> str:
    """The column of the table that a ready filter looks at."""
    return COLUMN_PREFIX + READY_FILTERS[name][0]


def available_filters(table: pd.DataFrame) -> list[str]:
    """The names of the ready filters whose measure the table has."""
    return [name for name in READY_FILTERS if measure_column(name) in table]
