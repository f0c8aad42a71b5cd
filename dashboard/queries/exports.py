"""Downloadable exports and reports of the current selection."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dashboard import report
from dashboard.state.picked_photos import Picks
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store.store import Store


def export_picks(path: Path, run: str, picks: Picks) -> bytes:
    """Return the statistics of the picked photos as CSV, read from the store now (not cached)."""
    return export.csv_bytes(export.stats_frame(Store(path), [run], image_ids=pd.Series(picks.ids, dtype="str")))


def export_rows(path: Path, run: str, filters: Filters, kind: str) -> bytes:
    """Return the output of `seglib export stats --run RUN --where FILTERS`, read from the store now (not cached)."""
    frame = export.stats_frame(Store(path), [run], filters)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


def report_file(
    path: Path, runs: Sequence[str], filters: Filters, pair: tuple[str, str] | None = None, truth: str = ""
) -> bytes:
    """Return the report that `python -m dashboard report` writes, based on what is counted so far."""
    return report.build_report(Store(path), runs, filters, pair=pair, truth_name=truth)
