"""Title, key figures, exports and the report button at the top of a page."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.components import layout
from dashboard.components.copy_link import copy_link_button
from dashboard.components.layout import KeyFigure
from dashboard.formatting import (
    DASH,
    byte_size,
    count,
    escape_markdown,
    parameter_count,
    percent,
    photo_count,
    pluralize,
    score,
    slug,
)
from dashboard.queries import exports, photo_statistics, source
from dashboard.queries import photos as photo_queries
from dashboard.queries.photos import Selection
from dashboard.queries.prepared.tables import is_large
from dashboard.server import photo_zip
from dashboard.settings import ServerSettings
from dashboard.state import session
from dashboard.state.picked_photos import Picks
from dashboard.state.selection_words import describe_selection
from dashboard.views.selection import saved_views
from seglib.classes import PRESENT_SHARE
from seglib.errors import SegError
from seglib.query.filters import Filters

PRESENT_NOTE = f"present: at least {percent(PRESENT_SHARE)} of the photo"

SEVERAL = 2
"""A file of more runs than this is not named after them."""

FILE_KINDS = {"csv": ("CSV", "text/csv"), "parquet": ("Parquet", "application/vnd.apache.parquet")}
"""File extension -> title and media type of the tables offered for download."""


def copy_link(selection: Selection) -> None:
    """Show the page's URL and the command that writes the same rows."""
    command = ["python", "-m", "seglib", "export", "stats", "--store", selection.store.path.name]
    command += ["--run", selection.run.run, "--where", selection.filters.encode(), "--out", "selection.csv"]
    copy_link_button(shlex.join(command), key="copy_link")


def page_header(
    title: str,
    selection: Selection,
    load: Callable[[], object],
    *,
    draw_exports: Callable[[], None],
    draw_choice: Callable[[], None],
) -> bool:
    """Draw the head of a multi-run page (title, link, exports, choice of runs) and return whether `load` succeeded.

    If `load` raises `SegError`, the error is shown; the choice of runs stays, since other runs may work.
    """
    wrong = ""
    try:
        load()
    except SegError as error:
        wrong = source.error_message(error)
    with layout.heading(title):
        saved_views.menu(selection)
        copy_link(selection)
        if not wrong:
            draw_exports()
    draw_choice()
    if wrong:
        st.error(escape_markdown(wrong))
    return not wrong


def export_menu(selection: Selection, picks: Picks | None = None) -> None:
    """Offer the selected photos, or the picked ones, as a list, as a table of everything, and as files."""
    datasets = photo_queries.options(selection.source, "dataset")
    if picks is None:
        key, filters, name = "download", selection.filters, session.selection_words().file_name
    else:
        key, filters, name = "picked", Filters(), f"{describe_selection(Filters(), datasets).file_name}-picked"
    path, run = selection.store.path, selection.run.run
    with st.popover("Export", key=f"{key}:menu"):
        if is_large(selection.source):
            layout.remark("A run of this size is exported on the command line: Copy link has the command.")
            return
        full = ", full path" if ServerSettings.read().local_only else ""
        layout.remark(f"For a spreadsheet: path{full}, folder, what was seen, agreement, tags")
        _export_button(
            "List (CSV)", partial(exports.export_list, path, run, filters, picks), f"{name}.csv", key=f"{key}:list"
        )
        layout.remark("For programs: all figures of each photo and class")
        with st.container(horizontal=True):
            for kind, (title, _) in FILE_KINDS.items():
                _export_button(
                    f"Everything ({title})",
                    partial(exports.export_rows, path, run, filters, kind, picks),
                    f"{name}-everything.{kind}",
                    key=f"{key}:{kind}",
                )
        _photo_zip(exports.offer_zip(selection, name, picks))


def _export_button(title: str, make: Callable[[], bytes], file_name: str, *, key: str) -> None:
    mime = FILE_KINDS[file_name.rpartition(".")[2]][1]
    st.download_button(title, data=make, file_name=file_name, mime=mime, key=key, on_click="ignore")


def _photo_zip(offer: exports.ZipOffer) -> None:
    if offer.originals:
        layout.remark(f"The photos themselves: {pluralize(offer.files, 'file')}, {byte_size(offer.total_bytes)}")
    else:
        layout.remark(f"The photos as they are shown here: {pluralize(offer.files, 'file')}")
    if offer.url:
        layout.download_link("Photos (zip)", offer.url)
    elif offer.files:
        layout.remark(
            f"A zip holds at most {count(photo_zip.MAX_PHOTOS)} photos and {byte_size(photo_zip.MAX_BYTES)}: "
            "choose fewer, or take the list."
        )


def report_button(
    selection: Selection, runs: Sequence[str], pair: tuple[str, str] | None = None, truth: str = ""
) -> None:
    """Offer the report of these runs over the selected photos of the first one, with the slices that the page shows;
    built on demand.
    """
    by = photo_queries.known_field(selection.source, selection.view.by)
    st.download_button(
        "Report",
        data=partial(
            exports.report_file, selection.store.path, tuple(runs), selection.filters, pair=pair, truth=truth, by=by
        ),
        file_name="report.html",
        mime="text/html",
        key="download:report",
        help="One HTML file with figures, charts and photos, which opens offline, without this program",
        on_click="ignore",
    )


def table_downloads(
    meanings: Mapping[str, str], make: Callable[[str, str], bytes], *, page: str, runs: Sequence[str]
) -> None:
    """Offer a page's figures as tables to download.

    `meanings`: table -> its content. `make(table, kind)` builds its bytes on demand. Files are named after the photos,
    the page and the runs' titles.
    """
    titles = runs if len(runs) <= SEVERAL else [f"{len(runs)} runs"]
    name = "-".join(filter(None, map(slug, (session.selection_words().file_name, page, *titles))))
    with st.popover("Tables", help="The figures of this page as CSV or Parquet"):
        for table, meaning in meanings.items():
            layout.remark(meaning)
            with st.container(horizontal=True):
                for kind, (title, mime) in FILE_KINDS.items():
                    st.download_button(
                        title,
                        data=partial(make, table, kind),
                        file_name=f"{name}-{table}.{kind}",
                        mime=mime,
                        key=f"download:{table}:{kind}",
                        on_click="ignore",
                    )


def cost_table(costs: pd.DataFrame, labels: Sequence[str]) -> None:
    """Show what runs cost, one row of `evaluation.cost.costs` per label, and what each time is."""
    rows = costs.astype("object").where(costs.notna(), None).to_dict("records")
    lines = [
        [
            label,
            _latency(row),
            _number(row["ms_per_image"], ".0f"),
            parameter_count(row["parameters"]),
            _number(row["gflops"], ".2f"),
            DASH if row["checkpoint_bytes"] is None else byte_size(float(row["checkpoint_bytes"])),
        ]
        for label, row in zip(labels, rows, strict=True)
    ]
    layout.html_table([], ["run", "ms alone", "ms in run", "parameters", "GFLOPs", "checkpoint"], lines)
    unknown = "" if any(row["latency_ms"] is not None for row in rows) else "; not yet: python -m seglib cost RUN"
    notes = [
        f"ms alone: one photo at a time on an idle machine, median{unknown}. ms in run: per photo of the whole run."
    ]
    if any(row["latency_alone"] is False for row in rows):
        notes.append("*: other processes were at work, so it was not measured alone.")
    layout.remarks(notes)


def _latency(row: Mapping[Any, Any]) -> str:
    if row["latency_ms"] is None:
        return DASH
    return f"{row['latency_ms']:,.1f}{'*' if row['latency_alone'] is False else ''}"


def _number(value: float | None, form: str) -> str:
    return DASH if value is None else f"{value:,{form}}"


def key_figures(selection: Selection) -> None:
    """Draw the figures of the selected photos in one line; those that have no value are left out."""
    figures = photo_statistics.key_figures(selection.query())
    total, n = photo_queries.total_images(selection.source), f"n = {photo_count(figures.photos)}"
    shown = [
        KeyFigure(
            count(figures.photos),
            "photo" if total == 1 else "photos",
            f"{count(figures.photos)} photos of {count(total)} in this run pass the filters.",
            "" if figures.photos == total else f"of {count(total)}",
        )
    ]
    if figures.mean_foreground_share is not None:
        detail = f"Mean share of a photo that is not background, {n}."
        shown.append(KeyFigure(percent(figures.mean_foreground_share), "foreground", detail))
    if figures.mean_confidence is not None:
        detail = f"Mean over photos of the winning probability of their pixels, 0 to 1, {n}."
        shown.append(KeyFigure(score(figures.mean_confidence), "confidence", detail))
    if figures.claiming:
        detail = "Photos that show most of the class that their folder names, of those in folders that name one."
        of = f"of {count(figures.claiming)}"
        shown.append(KeyFigure(count(figures.agreeing), "folder and content agree", detail, of))
    if unreadable := len(photo_queries.failures(selection.source)):
        detail = "Files of this store that could not be read; no figure counts them. Overview lists them at its end."
        shown.append(KeyFigure(count(unreadable), f"unreadable file{'' if unreadable == 1 else 's'}", detail))
    layout.key_figures(shown)
    layout.remarks(photo_queries.repeats(selection.source, selection.filters))


def show_if_empty(selection: Selection) -> bool:
    """Return True if no photo passes the filters; a message is then already shown."""
    figures = photo_statistics.key_figures(selection.query())
    if figures.photos:
        return False
    if photo_queries.total_images(selection.source) == 0:
        st.info("This run holds no photos yet. If it is running now, reload this page in a moment.")
    else:
        st.info(
            f"None of the {photo_count(photo_queries.total_images(selection.source))} passes all filters: "
            "remove one above, or clear them all."
        )
    return True
