"""Cards of the Compare page: flips between classes, class shares, areas, cost, and all pairs of runs.

Each takes a `ComparisonSelection` and draws on the page. A click may change what the gallery below shows.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from dashboard.charts import comparison as comparison_charts
from dashboard.charts import tables, theme
from dashboard.components import layout
from dashboard.components import matrix as matrix_component
from dashboard.components.base import as_image_id
from dashboard.components.layout import KeyFigure
from dashboard.components.matrix import MatrixCell
from dashboard.formatting import (
    DASH,
    count,
    interval,
    matrix_caption,
    percent,
    percent_fixed,
    percent_in_cell,
    percentage_points,
    photo_count,
)
from dashboard.queries import comparison as comparison_queries
from dashboard.queries.comparison_stats import (
    MAX_AREA_CLASSES,
    MAX_IOU_CLASSES,
    Flips,
    costliest,
    rows_in_squares,
)
from dashboard.state import session
from dashboard.views.compare import gallery
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.shared import controls, crossfilter_chart, page_header
from seglib.metrics.bootstrap import Estimate

MAX_CLASSES = MAX_AREA_CLASSES - 1
"""Rows and columns of a matrix, or bars of a chart; excludes background."""

_COSTS = {
    "gflops": "GFLOPs per photo",
    "latency_ms": "ms per photo, measured alone",
    "ms_per_image": "ms per photo in the run",
}
"""Columns of `evaluation.cost` usable as the x axis; the first one in which the runs differ is used."""

FLIPS, SHARES, PAIRS = "flips", "pair_shares", "pairwise"


def key_figures(selection: ComparisonSelection) -> None:
    figures, names = selection.pair.figures, selection.main_classes(2)
    titles = {"pixel_agreement": "pixel agreement", "foreground_agreement": "foreground agreement"}
    titles |= {f"iou:{name}": f"IoU of {name}" for name in names}
    shown = [
        KeyFigure(percent_fixed(figures[key].value), title, _detail(figures[key])) for key, title in titles.items()
    ]
    layout.key_figures([*shown, _time_ratio(selection)])


def _detail(figure: Estimate) -> str:
    """Return both aggregates of a figure with their intervals."""
    mean = f"mean over photos {percent_fixed(figure.mean)} ({interval(figure.mean_interval)})"
    return f"Over all pixels ({interval(figure.interval)}); {mean}, n = {count(figure.n)}"


def _time_ratio(selection: ComparisonSelection) -> KeyFigure:
    costs = selection.costs.set_index("run").loc[[selection.a, selection.b]]
    comparable = costs["latency_alone"].eq(True).all() and costs["latency_device"].nunique() == 1
    column, how = ("latency_ms", "measured alone") if comparable else ("ms_per_image", "of the whole run")
    a, b = costs[column].astype("float64").tolist()
    if not (a > 0 and b > 0):
        return KeyFigure(DASH, "time of B", "Time of B per photo against A: not known")
    return KeyFigure(f"{b / a:.1f}x", "time of B", f"Time of B per photo against A, {how}: {a:,.0f} → {b:,.0f} ms")


def flips(selection: ComparisonSelection) -> None:
    """Show the matrix of flips; clicking a cell filters the gallery to its photos, clicking again shows all."""
    result = comparison_queries.flips(selection.query, selection.a, selection.b, MAX_CLASSES)
    rows, columns = list(result.pixels.index), list(result.pixels.columns)
    present = selection.base.view.flip
    with layout.card("Where they disagree", "% of A's pixels of each class; A in rows, B in columns"):

        def apply_cell() -> None:
            if cell := matrix_component.read_cell(FLIPS, len(rows), len(columns)):
                flip = (str(rows[cell[0]]), str(columns[cell[1]]))
                if flip == session.view().flip:
                    session.update_from_first_page(**gallery.WITHOUT_FLIP)
                else:
                    session.update_from_first_page(flip=flip, measure="flip")

        largest = max((n for a, b, n in _cells(result.pixels) if a != b), default=0)
        lines = [
            (
                a,
                [
                    _flip_cell((a, b), int(result.pixels.loc[a, b]), result, largest=largest, active=present)
                    for b in columns
                ],
            )
            for a in rows
        ]
        shares = {
            "pixels": result.pixels,
            f"share of all pixels {tables.UNIT}": result.pixels / max(result.total_pixels, 1),
            f"share of A's class {tables.UNIT}": result.pixels.div(result.row_pixels.clip(lower=1), axis=0),
        }
        table = tables.cells(("class in A", "class in B"), shares)
        matrix_component.matrix(
            "A \\ B", controls.column_titles(columns), lines, key=FLIPS, on_cell=apply_cell, table=table
        )
        layout.remark(matrix_caption(result.left_out))


def _cells(pixels: pd.DataFrame) -> list[tuple[str, str, int]]:
    return [(str(a), str(b), int(pixels.loc[a, b])) for a in pixels.index for b in pixels.columns]


def _flip_cell(
    flip: tuple[str, str], pixels: int, flips: Flips, *, largest: int, active: tuple[str, ...]
) -> MatrixCell:
    a, b = flip
    of_row = pixels / max(int(flips.row_pixels[a]), 1)
    same = a == b
    meaning = f"both say {a}" if same else f"A says {a}, B says {b}"
    return MatrixCell(
        value=pixels,
        text=percent_in_cell(of_row),
        tone="agrees" if same else "differs",
        level=0.0 if same or not largest else (pixels / largest) ** 0.5,
        hint=f"{percent(pixels / max(flips.total_pixels, 1))} of all pixels, {percent(of_row)} of A's {a}: {meaning}",
        chosen=flip == active if active else None,
    )


def shares(selection: ComparisonSelection) -> None:
    """Plot a class's share in both runs; clicking a point opens its photo, a box selection filters the gallery."""
    name = selection.focus
    if not name:
        with layout.card("Share of a class, A against B"):
            layout.remark("There is nothing to show: neither run sees a class other than the background.")
        return
    frame = comparison_queries.shares(selection.query, selection.a, selection.b, name)
    single = "x" in frame
    n = len(frame) if single else int(frame["count"].sum())
    hint = "one point per photo, a click opens it" if single else "photos in squares; drag a box to select them"
    with layout.card(f"Share of {name}, A against B", f"n = {count(n)}; {hint}"):
        colour = theme.class_colour(name, *(run.classes for run in selection.runs))
        crossfilter_chart.plot(
            SHARES,
            comparison_charts.shares(frame, name, colour),
            alt=f"{'Points' if single else 'Squares'}: {photo_count(n)} by the share of {name} in A and in B.",
            on_marks=partial(_open_marked_image, selection) if single else partial(_pick_squares, selection, name),
            boxes=not single,
        )
        left_out = selection.photos - n
        if left_out:
            layout.remark(f"{photo_count(left_out)} without {name} in both are left out.")


def _open_marked_image(selection: ComparisonSelection, marks: Sequence[object]) -> None:
    if marks and (image_id := as_image_id(marks[0])):
        open_image(selection, image_id)


def open_image(selection: ComparisonSelection, image_id: str) -> None:
    """Callback: open the photo in the viewer with the difference between A and B on."""
    session.open_photo(image_id, **gallery.viewer_state(selection))


def _pick_squares(selection: ComparisonSelection, name: str, marks: Sequence[object]) -> None:
    squares = {int(text) for text in marks if isinstance(text, str) and text.isdecimal()}
    rows = rows_in_squares(selection.comparison, selection.a, selection.b, name, squares)
    session.set_picks(session.picks().union(selection.comparison.files["image_id"].iloc[rows]))


def areas(selection: ComparisonSelection) -> None:
    names = selection.main_classes(MAX_CLASSES)
    figures = {name: selection.pair.figures[f"area_difference:{name}"] for name in names}
    with layout.card("Area difference per class", f"B minus A, over all pixels, n = {photo_count(selection.photos)}"):
        if not names:
            layout.remark("There is nothing to show: neither run sees a class other than the background.")
            return
        words = ", ".join(f"{name} {percentage_points(figure.value)}" for name, figure in figures.items())
        crossfilter_chart.plot(
            "area_differences",
            comparison_charts.area_differences(figures),
            alt=f"Bars: area of B minus area of A in percentage points: {words}.",
        )
        layout.remark("Blue: A sees more of it; orange: B does. Lines: 95 % intervals.")


def classes(selection: ComparisonSelection) -> None:
    figures, table = selection.pair.figures, selection.pair.classes
    names = [str(name) for name in table.index][:MAX_IOU_CLASSES]
    head = ["class", "share in A", "share in B", "IoU, all pixels", "95 %", "IoU, mean over photos", "95 %", "photos"]
    with layout.card("Per class", "IoU of A and B: pixels where both see it / where at least one does"):
        layout.html_table([], head, [_class_line(name, table.loc[name], figures[f"iou:{name}"]) for name in names])
        if len(table) > len(names):
            layout.remark(f"The {len(names)} largest of {len(table)} classes; the downloadable tables have all.")


def _class_line(name: str, row: Any, iou: Estimate) -> list[str]:
    return [
        name,
        percent(float(row["share_a"])),
        percent(float(row["share_b"])),
        percent_fixed(iou.value),
        interval(iou.interval),
        percent_fixed(iou.mean),
        interval(iou.mean_interval),
        count(iou.n),
    ]


# --- cost --------------------------------------------------------------------------------------------------------


def cost(selection: ComparisonSelection) -> None:
    """Show what each run costs, and plot cost against mIoU or agreement on these photos."""
    order = selection.run_names
    table = selection.costs.set_index("run").loc[order].reset_index()
    labels = [f"{selection.letters[run]} {selection.labels[run]}" for run in order]
    with layout.card("What does the extra cost buy?", f"on these {photo_count(selection.photos)}"):
        page_header.cost_table(table, labels)
        _cost_benefit(selection, table)


def _cost_benefit(selection: ComparisonSelection, costs: pd.DataFrame) -> None:
    column = next((name for name in _COSTS if costliest(costs, name)), None)
    if column is None:
        layout.remark("These runs cost the same, or their cost is not known: there is nothing to set against it.")
        return
    costs = costs.sort_values(column, kind="stable")
    names = [selection.short_labels[run] for run in costs["run"]]
    scores = comparison_queries.truth_scores(selection.query)
    if scores is not None:
        figures = [scores.miou[run] for run in costs["run"]]
        merit = "mIoU"
        text = f"mIoU against {scores.truth}, over all pixels of {photo_count(scores.photos)}"
    else:
        reference = str(costliest(costs, column))
        others = comparison_queries.agreement_with(selection.query, reference)
        itself = Estimate(value=1.0, interval=None, mean=1.0, mean_interval=None, n=selection.photos)
        figures = [others.get(run, itself) for run in costs["run"]]
        merit = "pixel agreement"
        label = selection.labels[reference]
        text = f"Agreement, over all pixels, with the costliest run, {label} (hollow); no truth is known"
    words = ", ".join(f"{name} {percent_fixed(one.value)}" for name, one in zip(names, figures, strict=True))
    crossfilter_chart.plot(
        "worth",
        comparison_charts.cost_benefit(
            costs[column].astype("float64").tolist(), names, figures, cost=_COSTS[column], merit=merit
        ),
        alt=f"Points: {_COSTS[column]} against {merit}: {words}.",
    )
    layout.remark(f"{text}. Lines: 95 % intervals over photos.")


# --- all runs ----------------------------------------------------------------------------------------------------


def pairwise(selection: ComparisonSelection) -> None:
    """Show every run against every other; clicking a cell makes its row A and its column B."""
    frame, consensus = comparison_queries.pairwise_matrix(selection.query)
    order = selection.run_names
    frame = frame.loc[order, order]
    present = (selection.a, selection.b)
    values = frame.to_numpy()
    defined = values[~np.isnan(values)]
    lowest, highest = (defined.min(), defined.max()) if len(defined) else (0.0, 1.0)
    levels = (highest - values) / max(highest - lowest, 1e-9)
    lines = []
    for index, a in enumerate(order):
        cells = [
            _pair_cell(f"{selection.labels[a]} and {selection.labels[b]}", value, level, chosen=(a, b) == present)
            for b, value, level in zip(order, values[index], levels[index], strict=True)
        ]
        lines.append((f"{selection.letters[a]} {selection.short_labels[a]}", cells))
    with layout.card("Every pair of runs", f"pixel agreement, % of all pixels, n = {photo_count(selection.photos)}"):

        def apply_cell() -> None:
            cell = matrix_component.read_cell(PAIRS, len(order), len(order))
            if cell and cell[0] != cell[1]:
                runs = session.view().runs or tuple(sorted(order))
                session.update_from_first_page(
                    run=order[cell[0]], against=order[cell[1]], runs=runs, **gallery.WITHOUT_FLIP
                )

        columns = [selection.letters[run] for run in order]
        named = frame.rename(index=selection.labels, columns=selection.labels)
        table = tables.cells(("A", "B"), {f"pixel agreement {tables.UNIT}": named})
        matrix_component.matrix("A \\ B", columns, lines, key=PAIRS, on_cell=apply_cell, table=table)
        layout.remark(
            f"All {len(order)} runs agree on {percent_fixed(consensus.value)} of the pixels "
            f"({interval(consensus.interval)}), "
            f"as a mean over photos on {percent_fixed(consensus.mean)} ({interval(consensus.mean_interval)}). "
            "A click on a cell compares its two runs."
        )


def _pair_cell(runs: str, value: float, level: float, *, chosen: bool) -> MatrixCell:
    if np.isnan(value):
        return MatrixCell(value=0, text=DASH)
    return MatrixCell(
        value=max(1, round(value * 1000)),
        text=f"{value * 100:.1f}",
        tone="differs",
        level=level,
        hint=f"{percent_fixed(value)} of the pixels alike: {runs}",
        chosen=chosen or None,
    )
