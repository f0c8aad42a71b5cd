"""Report sections that compare runs: pairs, flips, cost against agreement, and the photos that disagree most.

Takes a `ReportScope` with a `Comparison` and returns sections as HTML. None of these figures is an accuracy.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.answers import comparison as answers
from dashboard.answers.captions import describe_difference, largest_differences
from dashboard.answers.words import compare_speed
from dashboard.charts.class_choice import background_first, largest_classes, total_pixels
from dashboard.formatting import (
    DASH,
    byte_size,
    count,
    parameter_count,
    percent_fixed,
    percent_in_cell,
    percent_with_interval,
    percentage_points,
    photo_count,
)
from dashboard.report import html as report_html
from dashboard.report.html import ReportTile, TableCell
from dashboard.report.runs import MAX_CLASSES, MAX_PHOTOS, image_tile
from dashboard.report.scope import ReportScope, shrink_mask
from seglib.errors import StoreError
from seglib.evaluation.comparison import Comparison
from seglib.masks import difference
from seglib.masks.difference import CATEGORIES
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.confusion import JointCounts


def sections(scope: ReportScope, comparison: Comparison, pair: tuple[str, str] | None) -> list[str]:
    """Return the comparison's sections.

    `pair` names the two runs whose differences are shown, in either order; None picks the two that agree least.
    """
    a, b = shown_pair(comparison, pair)
    return [
        _pairs(scope, comparison),
        _pair(scope, comparison, a, b),
        _cost(scope, comparison),
        _disagreeing_photos(scope, comparison, a, b),
    ]


def answer(scope: ReportScope, comparison: Comparison, pair: tuple[str, str] | None) -> str:
    """Return the sentence with which the report begins, as on the Compare page."""
    figures = bootstrap.estimate({key: measures["pixel_agreement"] for key, measures in comparison.measures.items()})
    found = answers.judge(comparison, *shown_pair(comparison, pair), figures, comparison.consensus_figure())
    return answers.sentence(found, scope.short_labels, compare_speed(scope.costs))


def shown_pair(comparison: Comparison, pair: tuple[str, str] | None) -> tuple[str, str]:
    """Return the pair (A, B) whose differences are shown, as the comparison has it."""
    a, b = pair or _least_agreeing_pair(comparison)
    return (a, b) if (a, b) in comparison.counts else (b, a)


def _least_agreeing_pair(comparison: Comparison) -> tuple[str, str]:
    def agreement(pair: tuple[str, str]) -> float:
        value = comparison.measures[pair]["pixel_agreement"].overall()
        return 2.0 if value is None else value

    return min(comparison.counts, key=agreement)


# --- pairs ---------------------------------------------------------------------------------------------------------


def _pairs(scope: ReportScope, comparison: Comparison) -> str:
    measure_names = ("pixel_agreement", "foreground_agreement")
    flat = {(pair, name): measures[name] for pair, measures in comparison.measures.items() for name in measure_names}
    figures = bootstrap.estimate(flat)
    head = [
        "A and B",
        *(f"{n.replace('_', ' ')}, {how}" for n in measure_names for how in ("all pixels", "mean of photos")),
    ]
    rows: list[list[TableCell]] = [
        [
            f"{scope.short(a)} and {scope.short(b)}",
            *(cell for name in measure_names for cell in _figure_cells(figures[(a, b), name])),
        ]
        for a, b in comparison.counts
    ]
    parts = [report_html.table(head, rows, caption="Every pair, with 95 % intervals")]
    if len(scope.runs) > 2:
        parts.append(_pairwise(scope, comparison))
    note = f"n = {photo_count(len(comparison.files))}. Agreement, not accuracy."
    return report_html.section("Do they see the same?", note, *parts)


def _figure_cells(figure: Estimate) -> list[TableCell]:
    """Return the figure over all pixels, and as the mean over photos with its n."""
    mean = f"{percent_with_interval(figure.mean, figure.mean_interval)}, n = {count(figure.n)}"
    return [percent_with_interval(figure.value, figure.interval), mean]


def _pairwise(scope: ReportScope, comparison: Comparison) -> str:
    frame = comparison.matrix("pixel_agreement")
    numbers = frame.to_numpy(np.float64)
    low = float(np.nanmin(numbers)) if not np.isnan(numbers).all() else 1.0
    names = [str(run) for run in frame.index]
    rows = [
        (
            f"{place} {scope.short(name)}",
            [
                (DASH, 0.0, "")
                if np.isnan(value)
                else (percent_fixed(value), (value - low) / max(1e-9, 1 - low), "agrees")
                for value in line
            ],
        )
        for place, (name, line) in enumerate(zip(names, numbers.tolist(), strict=True), 1)
    ]
    columns = [str(place) for place in range(1, len(names) + 1)]
    return report_html.matrix(
        "", columns, rows, caption="Pixel agreement of every run with every other, over all pixels"
    )


def _pair(scope: ReportScope, comparison: Comparison, a: str, b: str) -> str:
    title = f"{scope.label(a)} (A) and {scope.label(b)} (B)"
    note = "" if len(scope.runs) == 2 else "The pair whose differences are shown; all pairs are listed above."
    return report_html.section(title, note, _classes(comparison, a, b), _flips(comparison, a, b))


def _main_classes(counts: JointCounts) -> list[str]:
    """Return the common classes with the most pixels in A or B, background first."""
    return background_first(largest_classes(total_pixels(counts), MAX_CLASSES))


def _classes(comparison: Comparison, a: str, b: str) -> str:
    counts, measures = comparison.counts[a, b], comparison.measures[a, b]
    names = [name for name in _main_classes(counts) if name in counts.common_classes]
    figures = bootstrap.estimate({f"{k}:{n}": measures[f"{k}:{n}"] for k in ("iou", "area_difference") for n in names})
    rows: list[list[TableCell]] = []
    for name in names:
        iou, area = figures[f"iou:{name}"], figures[f"area_difference:{name}"]
        ends = (
            f" [{percentage_points(area.interval[0])} to {percentage_points(area.interval[1])}]"
            if area.interval
            else ""
        )
        rows.append(
            [
                name,
                report_html.bar(iou.value, percent_with_interval(iou.value, iou.interval)),
                f"{percent_with_interval(iou.mean, iou.mean_interval)}, n = {count(iou.n)}",
                f"{percentage_points(area.value)}{ends}",
            ]
        )
    head = ["class", "IoU(A, B), all pixels", "IoU(A, B), mean of photos", "area of B minus A, percentage points"]
    return report_html.table(head, rows, caption="Per class, those with most pixels")


def _flips(comparison: Comparison, a: str, b: str) -> str:
    """Show the classes that both runs know, the only ones that are compared."""
    counts = comparison.counts[a, b]
    names = [name for name in _main_classes(counts) if name in counts.common_classes]
    common = list(counts.common_classes)
    matrix = counts.matrix()[
        np.ix_(*([side.index(n) for n in common] for side in (counts.classes_a, counts.classes_b)))
    ]
    pixels = {(x, y): int(matrix[i, j]) for i, x in enumerate(common) for j, y in enumerate(common)}
    of_row = {x: max(sum(pixels[x, y] for y in common), 1) for x in common}
    largest = max((pixels[x, y] for x in names for y in names if x != y), default=0) or 1

    def cell(row: str, column: str) -> tuple[str, float, str]:
        number = pixels[row, column]
        share = number / of_row[row]
        if row == column:
            return percent_in_cell(share), share, "agrees"
        return percent_in_cell(share), (number / largest) ** 0.5, "differs"

    rows = [(name, [cell(name, column) for column in names]) for name in names]
    every = count(sum(pixels.values()))
    caption = f"Where they disagree: % of A's pixels of each class; A in rows, B in columns; {every} pixels"
    return report_html.matrix("A \\ B", names, rows, caption=caption)


# --- cost ----------------------------------------------------------------------------------------------------------


def _cost(scope: ReportScope, comparison: Comparison) -> str:
    """Compare the cost of each run with its agreement with the others."""
    costs = scope.costs
    frame = comparison.matrix("pixel_agreement")
    agreed = {str(run): float(np.nanmean(line)) for run, line in frame.iterrows() if not line.isna().all()}
    column, note = _time_column(costs)
    slowest = float(costs[column].astype("float64").max())
    rows: list[list[TableCell]] = []
    dots = []
    for row in costs.to_dict("records"):
        name, time = str(row["run"]), row[column]
        is_timed = time is not None and not pd.isna(time)
        rows.append(
            [
                scope.short(name),
                report_html.bar(float(time) / slowest if is_timed else None, _milliseconds(time, column)),
                parameter_count(row["parameters"]),
                DASH if pd.isna(row["gflops"]) else f"{row['gflops']:,.2f}",
                DASH if pd.isna(row["checkpoint_bytes"]) else byte_size(float(row["checkpoint_bytes"])),
                str(row["device"] or DASH),
                percent_fixed(agreed.get(name)),
            ]
        )
        if is_timed and name in agreed:
            text = f"{_milliseconds(time, column)} per photo, {percent_fixed(agreed[name])} agreement"
            dots.append((scope.short(name), float(time), agreed[name], text))
    head = ["run", "time per photo", "parameters", "GFLOPs per photo", "checkpoint", "device", "agreement with others"]
    chart = [report_html.scatter(dots, "ms per photo", "agreement with others")] if len(dots) > 1 else []
    note += (
        " Agreement: pixel agreement over all pixels, mean over the other runs; a run that agrees with all others is "
        "not necessarily right."
    )
    return report_html.section(
        "Cost against agreement", note, *chart, report_html.table(head, rows, caption="What each run costs")
    )


def _time_column(costs: pd.DataFrame) -> tuple[str, str]:
    """Return the column of times that can be compared, and what they are: measured alone if all are, on one device."""
    if costs["latency_alone"].eq(True).all() and costs["latency_device"].nunique() == 1:
        return "latency_ms", "Time of one photo at a time, measured alone on the machine: the median."
    return "ms_per_image", "Time from decoding to the last committed part, as measured when the run was made."


def _milliseconds(time: float | None, column: str) -> str:
    if time is None or pd.isna(time):
        return DASH
    return f"{time:,.1f} ms" if column == "latency_ms" else f"{time:,.0f} ms"


# --- photos --------------------------------------------------------------------------------------------------------


def _disagreeing_photos(scope: ReportScope, comparison: Comparison, a: str, b: str) -> str:
    agreement = comparison.measures[a, b]["pixel_agreement"].per_image()
    order = np.argsort(agreement, kind="stable")  # NaN is sorted last
    order = order[~np.isnan(agreement[order])]
    fresh = ~comparison.files["image_id"].iloc[order].duplicated().to_numpy()
    tiles = [
        tile for index in order[fresh][:MAX_PHOTOS] if (tile := _tile(scope, comparison, (a, b), agreement, index))
    ]
    names = {"A": scope.short(a), "B": scope.short(b)}
    legend = [
        (
            f"only {names[category.label[-1]]}" if category.label in ("only A", "only B") else category.label,
            category.colour,
        )
        for category in CATEGORIES
        if category.opacity
    ]
    note = f"The {photo_count(len(tiles))} with the least pixel agreement of A {names['A']} and B {names['B']}."
    return report_html.section(
        "The most disagreeing photos", note, report_html.legend(legend), report_html.tiles(tiles)
    )


def _tile(
    scope: ReportScope, comparison: Comparison, pair: tuple[str, str], agreement: NDArray[np.float64], index: int
) -> ReportTile | None:
    row: Mapping[Any, Any] = comparison.files.iloc[index].to_dict()
    counts = comparison.counts[pair]
    try:
        one, other = (scope.store.mask(run, row["image_id"]) for run in pair)
    except StoreError:  # the mask is missing from the store, so leave the photo out
        return None
    map_ = difference.difference_map(one, other, counts.classes_a, counts.classes_b)
    picture = difference.encode_difference_png(shrink_mask(map_))
    (named,) = largest_differences(counts.take(np.array([index])), both_known=True)
    lines = [describe_difference(*one) for one in named]
    return image_tile(scope, row, picture, lines, f"{percent_fixed(float(agreement[index]))} agreement")
