"""Exports and reports of what is selected, as files to download."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dashboard import report
from dashboard.state.picked_photos import Picks
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store.store import Store


def exported_picks(path: Path, run: str, picks: Picks) -> bytes:
    """The statistics of the picked photos as CSV, read from the store at this moment."""
    return export.csv_bytes(export.stats_frame(Store(path), [run], image_ids=pd.Series(picks.ids, dtype="str")))


def exported(path: Path, run: str, filters: Filters, kind: str) -> bytes:
    """The bytes of `seglib export stats --run RUN --where FILTERS`, read from the store at this moment."""
    frame = export.stats_frame(Store(path), [run], filters)
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


def report_file(
    path: Path, runs: Sequence[str], filters: Filters, pair: tuple[str, str] | None = None, truth: str = ""
) -> bytes:
    """The report as `python -m dashboard report` writes it, of what is counted at this moment."""
    return report.build_report(Store(path), runs, filters, pair=pair, truth_name=truth)
