"""Downloadable exports and reports of the current selection."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import report
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.queries.source import HASHES, RunSource
from dashboard.server import media_urls, photo_zip
from dashboard.settings import ServerSettings
from dashboard.state.picked_photos import Picks
from seglib.query import export
from seglib.query.filters import Filters
from seglib.store.store import Store


@dataclass(frozen=True)
class ZipOffer:
    """Photos that can be taken along."""

    files: int
    total_bytes: int
    originals: bool
    """Whether the zip holds the files themselves, and not what the pages show of them."""
    url: str
    """Empty if they are too many for one zip."""


def export_list(path: Path, run: str, filters: Filters, picks: Picks | None = None) -> bytes:
    """Return the list of the selected or picked photos as CSV, read from the store now (not cached).

    It holds full paths only where no other machine can reach the server; then, without picks, it is the output of
    `seglib export list --run RUN --where FILTERS`.
    """
    with_full_paths = ServerSettings.read().local_only
    frame = export.list_frame(Store(path), run, filters, image_ids=_ids(picks), with_full_paths=with_full_paths)
    return export.list_bytes(frame)


def export_rows(path: Path, run: str, filters: Filters, kind: str, picks: Picks | None = None) -> bytes:
    """Return the output of `seglib export stats --run RUN --where FILTERS`, read from the store now (not cached)."""
    frame = export.stats_frame(Store(path), [run], filters, image_ids=_ids(picks))
    return export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame)


def _ids(picks: Picks | None) -> "pd.Series[str] | None":
    return None if picks is None else pd.Series(picks.ids, dtype="str")


def offer_zip(selection: Selection, name: str, picks: Picks | None = None) -> ZipOffer:
    """Return what a zip of the selected or picked photos would hold; it is saved as `name`."""
    if picks is None:
        files, size = _selected_files(selection.source.for_filters(selection.filters), selection.filters)
    else:
        files, size = _picked_files(selection.source, picks)
    url = ""
    if 0 < files <= photo_zip.MAX_PHOTOS and size <= photo_zip.MAX_BYTES:
        chosen = (
            {"run": selection.run.run, "where": selection.filters.encode()}
            if picks is None
            else {"picked": photo_zip.remember_ids(picks.ids)}
        )
        url = media_urls.zip_url(selection.store, name, **chosen)
    return ZipOffer(files, size, ServerSettings.read().local_only, url)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=HASHES)
def _selected_files(source: RunSource, filters: Filters) -> tuple[int, int]:
    """Return the number of selected files and the sum of their sizes in bytes."""
    chosen = photo_queries.selected_positions(source, filters)
    return len(chosen), int(photo_queries.table(source)["bytes"].to_numpy()[chosen].sum())


def _picked_files(source: RunSource, picks: Picks) -> tuple[int, int]:
    table = photo_queries.table(source)
    picked = picks.contains(table["image_id"])
    return int(picked.sum()), int(table["bytes"].to_numpy()[picked].sum())


def report_file(
    path: Path,
    runs: Sequence[str],
    filters: Filters,
    *,
    pair: tuple[str, str] | None = None,
    truth: str = "",
    by: str = "",
) -> bytes:
    """Return the report that `python -m dashboard report` writes, based on what is counted so far."""
    return report.build_report(Store(path), runs, filters, pair=pair, truth_name=truth, by=by)
