"""Report sections on accuracy against ground truth: figures, classes, confusion, calibration, worst photos.

Takes a `ReportScope` and a ground truth of its store and returns sections as HTML, or one sentence if nothing is
evaluated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dashboard.answers import evaluation as answers
from dashboard.answers.captions import describe_error, largest_differences
from dashboard.answers.words import compare_speed
from dashboard.charts.class_choice import background_first, larger_side_pixels, largest_classes
from dashboard.formatting import (
    DASH,
    MEASURE_NAMES,
    count,
    percent_fixed,
    percent_in_cell,
    percent_with_interval,
    percentage_points,
    photo_count,
)
from dashboard.report import html as report_html
from dashboard.report.html import ReportTile, TableCell
from dashboard.report.runs import MAX_CLASSES, image_tile
from dashboard.report.scope import ReportScope, shrink_mask
from seglib.classes import BACKGROUND
from seglib.errors import StoreError
from seglib.evaluation import evaluation
from seglib.evaluation.class_matching import align_class_names
from seglib.evaluation.evaluation import Evaluation
from seglib.masks import difference
from seglib.masks.difference import CATEGORIES
from seglib.metrics.bootstrap import Estimate, Interval
from seglib.store import ground_truth
from seglib.store.ground_truth import GroundTruth

MAX_WORST_PHOTOS = 12
_MAX_MATRICES = 3
_TITLE = "Evaluation against ground truth"


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What the report knows of its runs against a ground truth: at least one run, all over the same photos."""

    evaluations: Sequence[Evaluation]
    figures: Mapping[str, Mapping[str, Estimate]]


def collect(scope: ReportScope, name: str) -> Evaluated | None:
    """Return the evaluations against the named ground truth; None if there is none."""
    evaluations = _evaluations(scope, name)
    if not evaluations:
        return None
    return Evaluated(evaluations=evaluations, figures={one.run.run: one.figures() for one in evaluations})


def answer(scope: ReportScope, evaluated: Evaluated) -> str:
    """Return the sentence with which the report begins, as on the Evaluate page."""
    scores = {run: figures[answers.MEASURE] for run, figures in evaluated.figures.items()}
    costs = scope.costs[scope.costs["run"].isin(list(scores))]
    verdict = answers.judge(evaluated.evaluations, scores)
    return answers.sentence(verdict, scope.short_labels, compare_speed(costs))


def sections(scope: ReportScope, evaluated: Evaluated | None) -> list[str]:
    if evaluated is None:
        text = "These runs have not been evaluated against a ground truth: run python -m seglib evaluate --truth DIR."
        return [report_html.section(_TITLE, text)]
    evaluations, figures = evaluated.evaluations, evaluated.figures
    return [
        _overall(scope, evaluations, figures),
        _classes(scope, evaluations, figures),
        _confusion(scope, evaluations),
        _worst_photos(scope, evaluations),
    ]


def _evaluations(scope: ReportScope, name: str) -> list[Evaluation]:
    """Return the evaluations against the named ground truth, by default the one that covers most of the photos.

    All of them cover the same photos, those evaluated for every run.
    """
    chosen = [ground_truth.find_truth(scope.store, name)] if name else ground_truth.list_truths(scope.store)
    every = [_evaluations_against(scope, truth) for truth in chosen]
    return max(every, key=lambda evaluations: len(evaluations[0].files) if evaluations else 0, default=[])


def _evaluations_against(scope: ReportScope, truth: GroundTruth) -> list[Evaluation]:
    """Return the evaluations against this ground truth, without runs that were not evaluated."""
    evaluated = set(evaluation.evaluated_runs(scope.store, truth))
    named = [run.run for run in scope.runs if run.run in evaluated]
    evaluations = evaluation.restrict_to_common_files(
        [evaluation.load_evaluation(scope.store, truth, run, files=scope.files) for run in named]
    )
    return evaluations if evaluations and len(evaluations[0].files) else []


# --- figures -------------------------------------------------------------------------------------------------------


def _overall(
    scope: ReportScope, evaluations: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Estimate]]
) -> str:
    truth = evaluations[0].truth
    measure_names = [name for name in MEASURE_NAMES if any(figures[result.run.run][name].n for result in evaluations)]
    head = ["run", *(MEASURE_NAMES[name] for name in measure_names)]
    estimates = [[figures[result.run.run][name] for name in measure_names] for result in evaluations]
    pixels = [[(one.value, percent_with_interval(one.value, one.interval)) for one in row] for row in estimates]
    means = [
        [(one.mean, f"{percent_with_interval(one.mean, one.mean_interval)}, n = {count(one.n)}") for one in row]
        for row in estimates
    ]
    left_out = [scope.label(run.run) for run in scope.runs if run.run not in figures]
    notes = [
        (
            f"Against {truth.name} ({truth.format}), n = {photo_count(len(evaluations[0].files))} of "
            f"{count(len(scope.files))}."
        ),
        *([f"Not evaluated against it: {', '.join(left_out)}."] if left_out else []),
        *dict.fromkeys(
            note.replace(result.run.run, scope.label(result.run.run)) for result in evaluations for note in result.notes
        ),
    ]
    return report_html.section(
        _TITLE,
        "",
        report_html.remarks(notes),
        *(
            report_html.table(
                head,
                _best_in_bold([scope.short(one.run.run) for one in evaluations], rows, measure_names),
                caption=f"{how}, with 95 % intervals; the best in bold",
            )
            for how, rows in (("Over all pixels", pixels), ("Mean over photos", means))
        ),
        _differences(scope, evaluations),
    )


def _best_in_bold(
    names: Sequence[str], rows: Sequence[Sequence[tuple[float | None, str]]], measures: Sequence[str]
) -> list[list[TableCell]]:
    best = answers.best_cells([[value for value, _ in row] for row in rows], measures)
    return [
        [name, *(report_html.strong(text) if (i, j) in best else text for j, (_, text) in enumerate(row))]
        for i, (name, row) in enumerate(zip(names, rows, strict=True))
    ]


def _differences(scope: ReportScope, evaluations: Sequence[Evaluation]) -> str:
    rows, several = [], len(evaluations) > 2
    for gain in evaluation.differences(evaluations):
        pair = f"{scope.short(gain.b)} minus {scope.short(gain.a)}"
        ends = [_ends(gain.interval), *([_ends(gain.joint_interval)] if several else [])]
        rows.append([pair, MEASURE_NAMES[gain.measure], percentage_points(gain.value), *ends])
    if not rows:
        return ""
    head = ["runs", "measure", "difference, percentage points", "95 % interval, paired over photos"]
    caption = f"Differences, over all pixels. {answers.describe_method(len(evaluations))}"
    return report_html.table([*head, *(["95 %, all pairs together"] if several else [])], rows, caption=caption)


def _ends(interval: Interval | None) -> str:
    return DASH if interval is None else " to ".join(percentage_points(end) for end in interval)


def _classes(
    scope: ReportScope, evaluations: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Estimate]]
) -> str:
    common = {name for result in evaluations for name in result.counts.common_classes}
    names = [name for name in _main_classes(evaluations, 3 * MAX_CLASSES) if name in common][: 2 * MAX_CLASSES]
    rows: list[list[TableCell]] = []
    for name in names:
        cells: list[TableCell] = []
        for result in evaluations:
            figure = figures[result.run.run].get(f"iou:{name}")
            if figure is None or figure.value is None:
                cells.append(report_html.bar(None, ""))
            else:
                cells.append(report_html.bar(figure.value, percent_with_interval(figure.value, figure.interval)))
        rows.append([name, *cells])
    head = ["class", *(scope.short(result.run.run) for result in evaluations)]
    return report_html.subtitle("IoU of each class") + report_html.table(
        head, rows, caption="Over all pixels, 95 % intervals"
    )


def _main_classes(evaluations: Sequence[Evaluation], limit: int) -> list[str]:
    """Return the classes with the most pixels in ground truth or prediction, background first."""
    return background_first(largest_classes(larger_side_pixels([one.counts for one in evaluations]), limit))


def _confusion(scope: ReportScope, evaluations: Sequence[Evaluation]) -> str:
    parts = [report_html.subtitle("Confusion matrix")]
    for result in evaluations[:_MAX_MATRICES]:
        counts, names = result.counts, _main_classes([result], MAX_CLASSES)
        columns = [name for name in names if name in counts.classes_b]
        every_of = dict(zip(counts.classes_a, counts.matrix().sum(1).tolist(), strict=True))
        rows = []
        for name in (name for name in names if name in counts.classes_a):
            every = every_of[name]
            shares = [int(counts.cell(name, column).sum()) / every if every else 0.0 for column in columns]
            cells = [
                (percent_in_cell(share) if every else DASH, share, "agrees" if column == name else "differs")
                for column, share in zip(columns, shares, strict=True)
            ]
            rows.append((f"{name} ({count(every)} px)", cells))
        caption = f"{scope.label(result.run.run)}: truth in rows, prediction in columns, % of the row's pixels"
        parts.append(report_html.matrix("truth \\ prediction", columns, rows, caption=caption))
    return "".join(parts) + _reliability(scope, evaluations)


def _reliability(scope: ReportScope, evaluations: Sequence[Evaluation]) -> str:
    """Plot accuracy per confidence bin: over pixels if their confidence is known, else over photos."""
    unit = "pixels" if all(one.bins[0].sum() for one in evaluations) else "images"
    curves = [one.reliability(unit) for one in evaluations]
    used = [i for i in range(len(curves[0])) if any(curve["n"][i] for curve in curves)]
    if not used:
        return ""
    rows: list[list[TableCell]] = []
    for i in used:
        cells: list[TableCell] = []
        for curve in curves:
            n = int(curve["n"][i])
            right = float(curve["accuracy"][i])
            text = f"{percent_fixed(right)} of {count(n)}"
            cells.append(
                report_html.bar(right, text, pale=float(curve["confidence"][i])) if n else report_html.bar(None, "")
            )
        rows.append([f"{curves[0]['low'][i]:.2f} to {curves[0]['high'][i]:.2f}", *cells])
    units = "pixels" if unit == "pixels" else "photos, by their mean confidence"
    caption = (
        f"Confidence against accuracy of {units}. Solid: accuracy; pale: mean confidence. Equal ends: well calibrated"
    )
    head = ["confidence", *(scope.short(one.run.run) for one in evaluations)]
    return report_html.subtitle("Calibration") + report_html.table(head, rows, caption=caption)


# --- photos --------------------------------------------------------------------------------------------------------


def _worst_photos(scope: ReportScope, evaluations: Sequence[Evaluation]) -> str:
    """Show the worst photos of the last run named."""
    result = evaluations[-1]
    frame = result.images().dropna(subset="miou").drop_duplicates("image_id").head(MAX_WORST_PHOTOS)
    tiles = [tile for row in frame.to_dict("records") if (tile := _tile(scope, result, row))]
    category_names = {
        "only A": "only truth",
        "only B": "only prediction",
        "same class": "right",
        "different class": "wrong class",
    }
    category_names |= {"not comparable": "void, not asked"}
    legend = [
        (category_names.get(category.label, category.label), category.colour)
        for category in CATEGORIES
        if category.opacity
    ]
    note = f"The {photo_count(len(tiles))} with the lowest mIoU of {scope.label(result.run.run)}."
    return report_html.section("The worst photos", note, report_html.legend(legend), report_html.tiles(tiles))


def _tile(scope: ReportScope, result: Evaluation, row: Mapping[Any, Any]) -> ReportTile | None:
    try:
        right = ground_truth.read_mask(scope.store, result.truth, row["truth"])
        mask = scope.store.mask(result.run.run, row["image_id"])
    except StoreError:  # the mask is missing from the store, so leave the photo out
        return None
    names = align_class_names(result.truth, result.run)
    truth_classes = ", ".join(
        dict.fromkeys(names[i] for i in np.unique(right) if i < len(names) and names[i] != BACKGROUND)
    )
    picture = difference.encode_difference_png(shrink_mask(evaluation.error_map(right, mask, result.truth, result.run)))
    place = np.flatnonzero((result.files["image_id"] == row["image_id"]).to_numpy())[:1]
    (named,) = largest_differences(result.counts.take(place), both_known=False)
    lines = [f"truth: {truth_classes or 'background'}", *(describe_error(*one) for one in named)]
    return image_tile(scope, row, picture, lines, f"mIoU {percent_fixed(float(row['miou']))}")
