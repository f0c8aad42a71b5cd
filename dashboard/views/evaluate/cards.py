"""Cards of the Evaluate page: key figures, runs side by side, confusion, calibration, classes.

Each takes a `EvaluationSelection` and draws on the page.
"""

from collections.abc import Mapping

from dashboard.answers import evaluation as answers
from dashboard.charts import evaluation as evaluation_charts
from dashboard.charts import tables
from dashboard.components import layout
from dashboard.components import matrix as matrix_component
from dashboard.components.layout import KeyFigure
from dashboard.components.matrix import MatrixCell
from dashboard.formatting import (
    DASH,
    MEASURE_NAMES,
    count,
    interval,
    matrix_caption,
    percent,
    percent_fixed,
    percent_in_cell,
    percent_with_interval,
    percentage_points,
    photo_count,
)
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.evaluation_stats import Confusion
from dashboard.state import session
from dashboard.views.evaluate import counting
from dashboard.views.evaluate.selection import EvaluationSelection
from dashboard.views.shared import controls, crossfilter_chart, page_header
from seglib.metrics.bootstrap import Estimate, Interval

CONFUSION = "confusion"
MAX_CLASSES = 7
"""Rows and columns of the matrix."""

_MIN_TINTED_SHARE = 0.02
"""Share of a row above which an error is tinted."""

MAX_ROWS = 14
"""Maximum number of classes in the table."""

_KEY_MEASURES = ("miou", "miou_truth", "pixel_accuracy", "mdice", "boundary_f", "ece", "image_ece")


def key_figures(selection: EvaluationSelection) -> None:
    """Show the figures of a single run; the pixel calibration error replaces the image one if known."""
    figures = evaluation_queries.figures(selection.query)[selection.main_run.run]
    names = [name for name in _KEY_MEASURES if _is_defined(figures, name)]
    if "ece" in names:
        names.remove("image_ece")
    layout.key_figures(
        [
            KeyFigure(percent_fixed(figures[name].value), MEASURE_NAMES[name], _meaning(name, figures[name]))
            for name in names
        ]
    )


def _is_defined(figures: Mapping[str, Estimate], name: str) -> bool:
    return figures[name].value is not None


def _meaning(name: str, figure: Estimate) -> str:
    n = f"n = {count(figure.n)}"
    if name == "image_ece":  # computed per photo, so there is no separate mean over photos
        return f"95 %: {interval(figure.interval)}, {n}"
    mean = f"mean over photos {percent_fixed(figure.mean)} ({interval(figure.mean_interval)}), {n}"
    return f"Over all pixels ({interval(figure.interval)}); {mean}"


def runs(selection: EvaluationSelection) -> None:
    """Show both aggregates of each run, the best in bold, and the differences between runs."""
    figures = evaluation_queries.figures(selection.query)
    names = [name for name in _KEY_MEASURES if any(_is_defined(figures[run.run], name) for run in selection.runs)]
    estimates = [[figures[run.run][name] for name in names] for run in selection.runs]
    pixels = [[(one.value, one.interval) for one in row] for row in estimates]
    means = [[(one.mean, one.mean_interval) for one in row] for row in estimates]
    note = f"n = {photo_count(selection.photos)}, the same for all; in brackets 95 % intervals; bold: the best"
    with layout.card("Runs side by side", note, stretch=False):
        for title, rows in (("over all pixels", pixels), ("mean over photos", means)):
            lines = [
                [selection.short_labels[run.run], *(percent_with_interval(*cell) for cell in row)]
                for run, row in zip(selection.runs, rows, strict=True)
            ]
            best = answers.best_cells([[value for value, _ in row] for row in rows], names)
            layout.html_table([], [title, *(MEASURE_NAMES[name] for name in names)], lines, best=best)
        _differences(selection)


def _differences(selection: EvaluationSelection) -> None:
    gains = evaluation_queries.differences(selection.query)
    several = len(selection.runs) > 2
    lines = [
        [
            f"{selection.short_labels[gain.b]} minus {selection.short_labels[gain.a]}",
            MEASURE_NAMES[gain.measure],
            f"{percentage_points(gain.value)} points",
            _ends(gain.interval),
            *([_ends(gain.joint_interval)] if several else []),
        ]
        for gain in gains
    ]
    head = ["difference, over all pixels", "measure", "percentage points", "95 % interval, paired"]
    layout.html_table([], [*head, *(["95 %, all pairs together"] if several else [])], lines)
    layout.remark(answers.describe_method(len(selection.runs)))


def _ends(interval: Interval | None) -> str:
    return DASH if interval is None else " to ".join(percentage_points(end) for end in interval)


# --- confusion ---------------------------------------------------------------------------------------------------


def confusion(selection: EvaluationSelection) -> None:
    """Show the confusion matrix; clicking a cell filters the gallery to its photos, clicking again shows all."""
    matrix = evaluation_queries.confusion(selection.query, selection.main_run.run, MAX_CLASSES)
    rows, columns = [str(n) for n in matrix.pixels.index], [str(n) for n in matrix.pixels.columns]
    present = selection.base.view.cell
    with layout.card("Confusion matrix", "% of the row's pixels; truth in rows, prediction in columns"):

        def apply_cell() -> None:
            if cell := matrix_component.read_cell(CONFUSION, len(rows), len(columns)):
                pair = (rows[cell[0]], columns[cell[1]])
                session.update_from_first_page(cell=() if pair == session.view().cell else pair)

        pixels = matrix.pixels.to_numpy().tolist()
        lines = [
            (
                row,
                [
                    _cell((row, n), number, int(matrix.row_pixels[row]), present)
                    for n, number in zip(columns, row_pixels, strict=True)
                ],
            )
            for row, row_pixels in zip(rows, pixels, strict=True)
        ]
        share = matrix.pixels.div(matrix.row_pixels.loc[matrix.pixels.index], axis=0)
        quantities = {"pixels": matrix.pixels, f"share of the truth's pixels of the class {tables.UNIT}": share}
        matrix_component.matrix(
            "truth \\ prediction",
            controls.column_titles(columns),
            lines,
            key=CONFUSION,
            on_cell=apply_cell,
            table=tables.cells(("truth", "prediction"), quantities),
        )
        layout.remark(f"{matrix_caption(matrix.left_out)} {_pixel_count_text(matrix)}")


def _pixel_count_text(matrix: Confusion) -> str:
    return f"n = {count(matrix.total_pixels)} labelled pixels."


def _cell(pair: tuple[str, str], pixels: int, every: int, active: tuple[str, ...]) -> MatrixCell:
    truth, prediction = pair
    share = pixels / every if every else 0.0
    same = truth == prediction
    verdict = "is called so" if same else f"is called {prediction}"
    return MatrixCell(
        value=pixels,
        text=percent_in_cell(share),
        tone="agrees" if same else "differs",
        level=0.0 if same or share < _MIN_TINTED_SHARE else share**0.5,
        hint=f"{percent(share)} of {truth} {verdict}: {count(pixels)} pixels",
        chosen=pair == active if active else None,
    )


# --- calibration -------------------------------------------------------------------------------------------------


def reliability(selection: EvaluationSelection) -> None:
    unit, curve = evaluation_queries.reliability(selection.query, selection.main_run.run)
    figures = evaluation_queries.figures(selection.query)[selection.main_run.run]
    of_pixels = unit == "pixels"
    units = "pixels" if of_pixels else "photos, each by its mean confidence"
    with layout.card("Calibration", f"confidence against accuracy of {units}; n = {count(int(curve['n'].sum()))}"):
        if not curve["n"].sum():
            layout.remark("This run has no confidence to compare with accuracy: its masks came without probabilities.")
            return
        error = figures["ece" if of_pixels else "image_ece"]
        crossfilter_chart.plot(
            "reliability",
            evaluation_charts.reliability(curve, unit),
            alt=f"Points: accuracy by confidence of {units}. Expected calibration error {percent_fixed(error.value)}.",
        )
        layout.remark(
            f"Expected calibration error {percent_with_interval(error.value, error.interval)}: the mean "
            "distance from the line, each "
            f"bin by its {'pixels' if of_pixels else 'photos'}."
        )
        if not of_pixels:
            counting.calibration_button(selection)


# --- classes ---------------------------------------------------------------------------------------------------------


def classes(selection: EvaluationSelection) -> None:
    figures = evaluation_queries.class_figures(selection.query, selection.main_run.run)
    names = figures.names[:MAX_ROWS]
    lines = []
    for name in names:
        iou = figures.figures[f"iou:{name}"]
        lines.append(
            [
                name if name in figures.predicted else f"{name} · never predicted",
                percent(figures.truth.get(name, 0.0)),
                percent_with_interval(iou.value, iou.interval),
                percent_with_interval(iou.mean, iou.mean_interval),
                count(iou.n),
                percent_fixed(figures.figures[f"dice:{name}"].value),
                percent_fixed(figures.figures[f"boundary_f:{name}"].value),
            ]
        )
    note = "in brackets 95 % intervals; photos: with the class in truth or prediction; Dice and boundary F: all pixels"
    with layout.card("Each class", note):
        head = ["class", "of the truth", "IoU, all pixels", "mean over photos", "photos", "Dice", "boundary F"]
        layout.html_table([], head, lines)
        if len(figures.names) > len(names):
            layout.remark(
                f"The {len(names)} largest of {len(figures.names)} classes; the downloadable tables have all."
            )


def cost(selection: EvaluationSelection) -> None:
    with layout.card("What the runs cost", "whatever the photos selected", stretch=False):
        page_header.cost_table(selection.costs, [selection.labels[run] for run in selection.run_names])
