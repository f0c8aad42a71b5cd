"""Report sections on each single run: key figures, class distribution, photos and provenance.

Takes a `ReportScope` and returns sections as HTML.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from dashboard.charts.class_choice import largest_classes
from dashboard.formatting import DASH, count, display_name, interval, percent_fixed, photo_count, redact_paths, score
from dashboard.report import html as report_html
from dashboard.report.html import ReportTile, TableCell
from dashboard.report.scope import ReportScope, shrink_mask
from dashboard.server import rendering
from dashboard.state.view import PALETTES, describe_filter
from seglib import __version__
from seglib.classes import BACKGROUND, PRESENT_SHARE, palette
from seglib.errors import StoreError
from seglib.masks import overlay, png
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import RESAMPLES, Estimate
from seglib.query import statistics
from seglib.store.records import Run

MAX_PHOTOS = 24
MAX_CLASSES = 9
_MAX_LABELS = 4
_BACKGROUND_COLOUR = "#8b93a1"
"""Colour of the background class, which has none in the palette."""


def header(scope: ReportScope, answers: Sequence[str]) -> str:
    """Return the title, the answers of the report, what it covers, and its key figures."""
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    chosen = "; ".join(describe_filter(key, value) for key, value in scope.filters.items())
    lines = [f"Made on {created} by seglib {__version__}. This file is self-contained and loads nothing."]
    if chosen:
        lines.append(f"Only photos that pass these filters in {scope.label(scope.runs[0].run)}: {chosen}.")
    notes = scope.comparison.notes if scope.comparison else ()
    head = report_html.header(scope.title, answers, [*lines, *scope.repeats, *notes])
    return head + report_html.key_numbers(_key_figures(scope))


def _key_figures(scope: ReportScope) -> list[tuple[str, str, str]]:
    figures = [(count(len(scope.files)), "photos", _label_summary(scope.files))]
    if len(scope.runs) > 1 and scope.comparison is None:
        return figures
    if scope.comparison is None:
        totals = statistics.key_figures(scope.rows(scope.runs[0]))
        n = f"n = {photo_count(totals.photos)}"
        return [
            *figures,
            (percent_fixed(totals.mean_foreground_share), "mean foreground share", n),
            (score(totals.mean_confidence), "mean confidence, 0 to 1", n if totals.mean_confidence is not None else ""),
            (f"{count(totals.agreeing)} of {count(totals.claiming)}", "folder and content agree", ""),
        ]
    agreed = scope.comparison.consensus_figure()
    measure_name = "pixel agreement" if len(scope.runs) == 2 else f"pixels on which all {len(scope.runs)} agree"
    figures += [_overall(agreed, measure_name), _mean(agreed, measure_name)]
    if len(scope.runs) == 2:
        (measures,) = scope.comparison.measures.values()
        name = "foreground_agreement"
        fore = bootstrap.estimate({name: measures[name]})[name]
        figures += [_overall(fore, "foreground agreement"), _mean(fore, "foreground agreement")]
    return figures


def _overall(figure: Estimate, measure_name: str) -> tuple[str, str, str]:
    return percent_fixed(figure.value), f"{measure_name}, over all pixels", interval(figure.interval)


def _mean(figure: Estimate, measure_name: str) -> tuple[str, str, str]:
    note = f"{interval(figure.mean_interval)}, n = {count(figure.n)}"
    return percent_fixed(figure.mean), f"{measure_name}, mean over photos", note


def _label_summary(files: pd.DataFrame) -> str:
    """Return the labels with their counts, such as `cats 250, dogs 250`, most frequent first."""
    numbers = files["label"].astype("object").where(files["label"].notna(), "").value_counts()
    texts = [f"{display_name(str(label))} {count(int(n))}" for label, n in numbers.items()]
    return ", ".join(texts[:_MAX_LABELS]) + (", ..." if len(texts) > _MAX_LABELS else "")


def distribution(scope: ReportScope) -> str:
    distributions = {run.run: statistics.class_distribution(scope.rows(run)) for run in scope.runs}
    largest = pd.concat([frame["mean_share"].astype("float64") for frame in distributions.values()], axis=1).max(axis=1)
    names = largest_classes(largest, MAX_CLASSES)
    colours = class_colours(list(dict.fromkeys(name for run in scope.runs for name in run.classes)))

    def cell(run: Run, name: str) -> TableCell:
        frame = distributions[run.run]
        if name not in frame.index or pd.isna(share := frame["mean_share"][name]):
            return report_html.bar(None, "")
        text = f"{percent_fixed(float(share))} in {count(int(frame['present'][name]))}"
        return report_html.bar(float(share), text, colours[name], pale=float(frame["presence"][name]))

    rows = [[name, *(cell(run, name) for run in scope.runs)] for name in names]
    note = (
        f"Solid bar: mean share of the photo. Pale bar, and the number behind the share: photos with at least "
        f"{percent_fixed(PRESENT_SHARE)} of it, of n = {photo_count(len(scope.files))}."
    )
    columns = ["class", *(scope.short(run.run) for run in scope.runs)]
    table = report_html.table(columns, rows, caption="Mean share and presence of each class")
    return report_html.section("Class distribution", note, table)


def class_colours(names: list[str]) -> dict[str, str]:
    paint = zip(names, palette(PALETTES[0], names), strict=True)
    return {name: _BACKGROUND_COLOUR if name == BACKGROUND else "#" + bytes(rgb).hex() for name, rgb in paint}


# --- photos --------------------------------------------------------------------------------------------------------


def least_confident(scope: ReportScope) -> str:
    """Show the least confident photos of a single run."""
    (run,) = scope.runs
    table = scope.rows(run).drop_duplicates("image_id").sort_values("confidence", kind="stable").head(MAX_PHOTOS)
    tiles = [tile for row in table.to_dict("records") if (tile := _run_tile(scope, run, row))]
    sure = "The least confident photos" if table["confidence"].notna().any() else "Photos under their masks"
    note = "This report covers one run, so nothing is compared; with --runs A B it compares two or more."
    return report_html.section(sure, note, report_html.tiles(tiles))


def _run_tile(scope: ReportScope, run: Run, row: Mapping[Any, Any]) -> ReportTile | None:
    try:
        mask = shrink_mask(scope.store.mask(run.run, row["image_id"]))
    except StoreError:  # the mask is missing from the store, so leave the photo out
        return None
    shares = {name: float((mask == index).mean()) for index, name in enumerate(run.classes)}
    painted = rendering.colour_mask(png.encode_index_png(mask), PALETTES[0], run.classes)
    sure = [] if pd.isna(row["confidence"]) else [f"confidence {score(float(row['confidence']))}"]
    return image_tile(scope, row, painted, [overlay.alt_text(shares), *sure])


def image_tile(
    scope: ReportScope, row: Mapping[Any, Any], picture: bytes, lines: list[str], title: str = ""
) -> ReportTile:
    """Return a tile with a transparent PNG on top of the photo's thumbnail."""
    try:
        layers = [("image/jpeg", scope.store.thumbnails().read(row["image_id"]))]
    except OSError:
        layers = []
    return ReportTile(
        layers=[*layers, ("image/png", picture)],
        aspect=row["width"] / row["height"],
        alt=f"{row['path']}: {', '.join([title, *lines] if title else lines)}",
        title=title or str(row["path"]),
        lines=[str(row["path"]), *lines] if title else lines,
    )


# --- where it comes from -------------------------------------------------------------------------------------------


def provenance(scope: ReportScope) -> str:
    sets = scope.files["dataset"].astype(str).value_counts()
    facts = [
        ["photos", "; ".join(f"{name}: {photo_count(int(n))}" for name, n in sets.items())],
        ["folders", _label_summary(scope.files)],
        ["filters", scope.filters.encode() or "none"],
        ["intervals", f"percentile bootstrap over photos, {count(RESAMPLES)} resamples, seed 0, the same for all runs"],
        ["program", f"seglib {__version__}"],
    ]
    runs = [_run_facts(run) for run in scope.runs]
    rows = [[name, *(one[name] for one in runs)] for name in runs[0]]
    return report_html.section(
        "Provenance",
        "",
        report_html.table(["", ""], facts, caption="The photos and the figures", wide=True),
        report_html.table(
            ["", *(scope.label(r.run) for r in scope.runs)], rows, caption="Models and settings", wide=True
        ),
    )


def _run_facts(run: Run) -> dict[str, str]:
    devices = sorted({str(one["device"]) for one in run.invocations if one.get("device")})
    return {
        "title": run.display_title,
        "run": run.run,
        "model": run.model if run.weights_sha256 else f"{run.model} (masks that were imported)",
        "weights, SHA-256": run.weights_sha256 or DASH,
        "parameters": count(run.parameters) if run.parameters else DASH,
        "classes": f"{count(len(run.classes))}: {', '.join(run.classes)}",
        "resize": run.resize,
        "precision": run.precision or DASH,
        "device": ", ".join(devices) or DASH,
        "made": f"{run.created[:16].replace('T', ' ')} UTC",
        "libraries": redact_paths(", ".join(f"{name} {version}" for name, version in run.versions.items())) or DASH,
    }


def how_to_read(scope: ReportScope) -> str:
    notes = [
        "Over all pixels: the counts of all photos are added up first, so large masks weigh more. Mean over photos: "
        "each photo's value counts once, and those that define none are left out; n says how many are left.",
        "Intervals are 95 % bootstrap intervals over photos. Undefined values are shown as a dash, never as 0.",
    ]
    if scope.comparison is not None:
        notes.append(
            "Agreement is not accuracy: two models can make the same mistake. Two masks are compared at the "
            "finer of their "
            "grids, the other enlarged by nearest neighbour; classes are matched by name."
        )
    return report_html.section("How to read this report", "", report_html.remarks(notes))
