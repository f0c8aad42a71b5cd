"""Report sections on accuracy against ground truth: figures, classes, confusion, calibration, worst photos.

Takes a `Scope` and a ground truth of its store and returns sections as HTML, or one sentence if nothing is evaluated.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dashboard.formatting import NOTHING, count, photos, ranged, signed, tenths
from dashboard.report import html as report_html
from dashboard.report.html import Cell, Tile
from dashboard.report.runs import MOST_CLASSES, on_photo
from dashboard.report.scope import Scope, small
from seglib.classes import BACKGROUND
from seglib.errors import StoreError
from seglib.evaluation import evaluation
from seglib.evaluation.evaluation import Evaluation
from seglib.masks import difference
from seglib.masks.difference import CATEGORIES
from seglib.metrics.bootstrap import Figure
from seglib.store import ground_truth
from seglib.store.ground_truth import Truth

MOST_WORST = 12
_MOST_MATRICES = 3
_TITLE = "How right are they?"
_SHOWN = {
    "pixel_accuracy": "pixel accuracy",
    "miou": "mIoU",
    "miou_truth": "mIoU of classes in the truth",
    "mdice": "Dice",
    "boundary_f": "boundary F",
    "ece": "calibration error of pixels",
    "image_ece": "calibration error of photos",
}


def sections(scope: Scope, name: str) -> list[str]:
    found = _evaluations(scope, name)
    if not found:
        said = "Nobody evaluated these runs against masks that people drew: seglib evaluate --truth DIR does."
        return [report_html.section(_TITLE, said)]
    figures = {one.run.run: one.figures() for one in found}
    return [
        _overall(scope, found, figures),
        _classes(scope, found, figures),
        _confusion(scope, found),
        _worst(scope, found),
    ]


def _evaluations(scope: Scope, name: str) -> list[Evaluation]:
    """Return the evaluations against the named ground truth, by default the one that covers most of the photos.

    All of them cover the same photos, those evaluated for every run.
    """
    chosen = [ground_truth.find(scope.store, name)] if name else ground_truth.all_truths(scope.store)
    every = [_against(scope, about) for about in chosen]
    return max(every, key=lambda found: len(found[0].files) if found else 0, default=[])


def _against(scope: Scope, about: Truth) -> list[Evaluation]:
    """Return the evaluations against this ground truth, without runs that were not evaluated."""
    known = set(evaluation.evaluated_runs(scope.store, about))
    named = [run.run for run in scope.runs if run.run in known]
    found = evaluation.together([evaluation.evaluation(scope.store, about, run, files=scope.files) for run in named])
    return found if found and len(found[0].files) else []


# --- figures -------------------------------------------------------------------------------------------------------


def _overall(scope: Scope, found: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    about = found[0].truth
    shown = [name for name in _SHOWN if any(figures[one.run.run][name].n for one in found)]
    head = ["run", *(_SHOWN[name] for name in shown)]
    pixels: list[list[Cell]] = []
    means: list[list[Cell]] = []
    for one in found:
        own = [figures[one.run.run][name] for name in shown]
        label = scope.label(one.run.run)
        pixels.append([label, *(ranged(each.value, each.interval) for each in own)])
        means.append([label, *(f"{ranged(each.mean, each.mean_interval)}, n = {count(each.n)}" for each in own)])
    left_out = [scope.label(run.run) for run in scope.runs if run.run not in figures]
    notes = [
        f"Against {about.name} ({about.format}), n = {photos(len(found[0].files))} of {count(len(scope.files))}.",
        *([f"Not evaluated against it: {', '.join(left_out)}."] if left_out else []),
        *dict.fromkeys(note for one in found for note in one.notes),
    ]
    return report_html.section(
        _TITLE,
        "",
        report_html.remarks(notes),
        report_html.table(head, pixels, caption="Over all pixels, with 95 % intervals"),
        report_html.table(head, means, caption="Mean over photos, with 95 % intervals"),
        _gains(scope, found),
    )


def _gains(scope: Scope, found: Sequence[Evaluation]) -> str:
    rows = []
    for gain in evaluation.differences(found):
        ends = f"{signed(gain.interval[0])} to {signed(gain.interval[1])}" if gain.interval else NOTHING
        pair = f"{scope.label(gain.b)} minus {scope.label(gain.a)}"
        rows.append([pair, _SHOWN[gain.measure], signed(gain.value), ends])
    if not rows:
        return ""
    head = ["runs", "measure", "difference, percentage points", "95 % interval, paired over photos"]
    return report_html.table(head, rows, caption="Differences, over all pixels")


def _classes(scope: Scope, found: Sequence[Evaluation], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    asked = {name for one in found for name in one.counts.common}
    names = [name for name in _main_classes(found, 3 * MOST_CLASSES) if name in asked][: 2 * MOST_CLASSES]
    rows: list[list[Cell]] = []
    for name in names:
        cells: list[Cell] = []
        for one in found:
            figure = figures[one.run.run].get(f"iou:{name}")
            if figure is None or figure.value is None:
                cells.append(report_html.bar(None, ""))
            else:
                cells.append(report_html.bar(figure.value, ranged(figure.value, figure.interval)))
        rows.append([name, *cells])
    head = ["class", *(scope.label(one.run.run) for one in found)]
    return report_html.subtitle("IoU of each class") + report_html.table(
        head, rows, caption="Over all pixels, 95 % intervals"
    )


def _main_classes(found: Sequence[Evaluation], most: int) -> list[str]:
    """Return the classes with the most pixels in ground truth or prediction, background first."""
    sizes: dict[str, int] = {}
    for one in found:
        matrix = one.counts.matrix()
        for names, pixels in ((one.counts.classes_a, matrix.sum(1)), (one.counts.classes_b, matrix.sum(0))):
            for name, number in zip(names, pixels.tolist(), strict=True):
                sizes[name] = max(sizes.get(name, 0), int(number))
    largest = sorted((name for name, pixels in sizes.items() if pixels), key=lambda name: -sizes[name])[:most]
    return sorted(largest, key=lambda name: name != BACKGROUND)


def _confusion(scope: Scope, found: Sequence[Evaluation]) -> str:
    parts = [report_html.subtitle("What it called what")]
    for one in found[:_MOST_MATRICES]:
        counts, names = one.counts, _main_classes([one], MOST_CLASSES)
        columns = [name for name in names if name in counts.classes_b]
        every_of = dict(zip(counts.classes_a, counts.matrix().sum(1).tolist(), strict=True))
        rows = []
        for name in (name for name in names if name in counts.classes_a):
            every = every_of[name]
            shares = [int(counts.cell(name, column).sum()) / every if every else 0.0 for column in columns]
            cells = [
                (tenths(share) if every else NOTHING, share, "agrees" if column == name else "differs")
                for column, share in zip(columns, shares, strict=True)
            ]
            rows.append((f"{name} ({count(every)} px)", cells))
        caption = f"{scope.label(one.run.run)}: truth in rows, prediction in columns, % of the row's pixels"
        parts.append(report_html.matrix("truth \\ prediction", columns, rows, caption=caption))
    return "".join(parts) + _reliability(scope, found)


def _reliability(scope: Scope, found: Sequence[Evaluation]) -> str:
    """Plot accuracy per confidence bin: over pixels if their confidence is known, else over photos."""
    unit = "pixels" if all(one.bins[0].sum() for one in found) else "images"
    curves = [one.reliability(unit) for one in found]
    used = [i for i in range(len(curves[0])) if any(curve["n"][i] for curve in curves)]
    if not used:
        return ""
    rows: list[list[Cell]] = []
    for i in used:
        cells: list[Cell] = []
        for curve in curves:
            n = int(curve["n"][i])
            right = float(curve["accuracy"][i])
            told = f"{tenths(right)} of {count(n)}"
            cells.append(
                report_html.bar(right, told, pale=float(curve["confidence"][i])) if n else report_html.bar(None, "")
            )
        rows.append([f"{curves[0]['low'][i]:.2f} to {curves[0]['high'][i]:.2f}", *cells])
    what = "pixels" if unit == "pixels" else "photos, by their mean confidence"
    caption = (
        f"Confidence against accuracy of {what}. Solid: accuracy; pale: mean confidence. Equal ends: well calibrated"
    )
    head = ["confidence", *(scope.label(one.run.run) for one in found)]
    return report_html.subtitle("Is it as sure as it is right?") + report_html.table(head, rows, caption=caption)


# --- photos --------------------------------------------------------------------------------------------------------


def _worst(scope: Scope, found: Sequence[Evaluation]) -> str:
    """Show the worst photos of the last run named."""
    one = found[-1]
    frame = one.images().dropna(subset="miou").drop_duplicates("image_id").head(MOST_WORST)
    shown = [tile for row in frame.to_dict("records") if (tile := _tile(scope, one, row))]
    told = {
        "only A": "only truth",
        "only B": "only prediction",
        "same class": "right",
        "different class": "wrong class",
    }
    told |= {"not comparable": "void, not asked"}
    legend = [
        (told.get(category.label, category.label), category.colour) for category in CATEGORIES if category.opacity
    ]
    note = f"The {photos(len(shown))} with the lowest mIoU of {scope.label(one.run.run)}."
    return report_html.section("The worst photos", note, report_html.legend(legend), report_html.tiles(shown))


def _tile(scope: Scope, one: Evaluation, row: Mapping[Any, Any]) -> Tile | None:
    try:
        right = ground_truth.mask(scope.store, one.truth, row["truth"])
        mask = scope.store.mask(one.run.run, row["image_id"])
    except StoreError:  # the mask is missing from the store, so leave the photo out
        return None
    names = evaluation.truth_names(one.truth, one.run)
    held = ", ".join(dict.fromkeys(names[i] for i in np.unique(right) if i < len(names) and names[i] != BACKGROUND))
    picture = difference.difference_png(small(evaluation.judged(right, mask, one.truth, one.run)))
    title = f"mIoU {tenths(float(row['miou']))}"
    return on_photo(scope, row, picture, [f"truth: {held or 'background'}"], title)
