"""Cards of the Evaluate page: key figures, runs side by side, confusion, calibration, classes, folder labels.

Each takes a `Graded` and draws on the page.
"""

from collections.abc import Mapping

from dashboard.charts import evaluation as evaluation_charts
from dashboard.components import layout
from dashboard.components import matrix as matrix_component
from dashboard.components.matrix import Cell
from dashboard.formatting import NOTHING, count, interval, named, of_a_matrix, percent, photos, ranged, signed, tenths
from dashboard.queries.evaluation_stats import SHOWN, Classes, Confusion
from dashboard.state import session
from dashboard.views.evaluate import counting
from dashboard.views.evaluate.selection import Graded
from dashboard.views.shared import controls, crossfilter_chart
from seglib.metrics.bootstrap import Figure

CONFUSION = "confusion"
MOST_CLASSES = 7
"""Rows and columns of the matrix."""

_NOTABLE = 0.02
"""Share of a row above which an error is tinted."""

MOST_ROWS = 14
"""Maximum number of classes in the table."""

_KEY = ("miou", "miou_truth", "pixel_accuracy", "mdice", "boundary_f", "ece", "image_ece")


def key_figures(shown: Graded) -> None:
    """Show both aggregates of the main run, labelled; the pixel calibration error replaces the image one if known."""
    figures: Mapping[str, Figure] = shown.answer("figures")[shown.main.run]
    names = [name for name in _KEY if _there(figures, name)]
    if "ece" in names:
        names.remove("image_ece")
    layout.figures([(tenths(figures[name].value), _meaning(name, figures[name])) for name in names])


def _there(figures: Mapping[str, Figure], name: str) -> bool:
    return figures[name].value is not None


def _meaning(name: str, figure: Figure) -> str:
    n = f"n = {count(figure.n)}"
    if name == "image_ece":  # computed per photo, so there is no separate mean over photos
        return f"{SHOWN[name]} ({interval(figure.interval)}), {n}"
    mean = f"mean over photos {tenths(figure.mean)} ({interval(figure.mean_interval)}), {n}"
    return f"{SHOWN[name]}, all pixels ({interval(figure.interval)}); {mean}"


def runs(shown: Graded) -> None:
    """Show both aggregates of each run and the differences between runs."""
    figures: dict[str, dict[str, Figure]] = shown.answer("figures")
    names = [name for name in _KEY if any(_there(figures[run.run], name) for run in shown.runs)]
    pixels, means = [], []
    for run in shown.runs:
        own = [figures[run.run][name] for name in names]
        pixels.append([shown.short[run.run], *(ranged(one.value, one.interval) for one in own)])
        means.append([shown.short[run.run], *(ranged(one.mean, one.mean_interval) for one in own)])
    columns = [SHOWN[name] for name in names]
    note = f"n = {photos(shown.photos)}, the same for all; in brackets 95 % intervals"
    with layout.card("Runs side by side", note, stretch=False):
        layout.grid([], ["over all pixels", *columns], pixels)
        layout.grid([], ["mean over photos", *columns], means)
        _gains(shown)


def _gains(shown: Graded) -> None:
    lines = [
        [
            f"{shown.short[gain.b]} minus {shown.short[gain.a]}",
            SHOWN[gain.measure],
            f"{signed(gain.value)} points",
            f"{signed(gain.interval[0])} to {signed(gain.interval[1])}" if gain.interval else NOTHING,
        ]
        for gain in shown.answer("differences")
    ]
    layout.grid([], ["difference, over all pixels", "measure", "percentage points", "95 % interval, paired"], lines)


# --- confusion ---------------------------------------------------------------------------------------------------


def confusion(shown: Graded) -> None:
    """Show the confusion matrix; clicking a cell filters the gallery to its photos, clicking again shows all."""
    found: Confusion = shown.answer("confusion", MOST_CLASSES)
    rows, columns = [str(n) for n in found.pixels.index], [str(n) for n in found.pixels.columns]
    present = shown.selection.view.cell
    with layout.card("What it called what", "% of the row's pixels; truth in rows, prediction in columns"):

        def chosen() -> None:
            if cell := matrix_component.cell_of(CONFUSION, len(rows), len(columns)):
                pair = (rows[cell[0]], columns[cell[1]])
                session.anew(cell=() if pair == session.view().cell else pair)

        pixels = found.pixels.to_numpy().tolist()
        lines = [
            (row, [_cell((row, n), one, int(found.every[row]), present) for n, one in zip(columns, own, strict=True)])
            for row, own in zip(rows, pixels, strict=True)
        ]
        matrix_component.matrix("truth \\ prediction", controls.heads(columns), lines, key=CONFUSION, on_cell=chosen)
        layout.remark(f"{of_a_matrix(found.left_out)} {_pixels(found)}")


def _pixels(found: Confusion) -> str:
    return f"n = {count(int(found.every.sum()))} labelled pixels."


def _cell(pair: tuple[str, str], pixels: int, every: int, present: tuple[str, ...]) -> Cell:
    truth, prediction = pair
    share = pixels / every if every else 0.0
    text = f"{share * 100:.1f}" if share >= 0.0005 or not pixels else "<0.1"
    same = truth == prediction
    what = "is called so" if same else f"is called {prediction}"
    return Cell(
        value=pixels,
        text=text,
        tone="agrees" if same else "differs",
        level=0.0 if same or share < _NOTABLE else share**0.5,
        hint=f"{percent(share)} of {truth} {what}: {count(pixels)} pixels",
        chosen=pair == present if present else None,
    )


# --- calibration -------------------------------------------------------------------------------------------------


def reliability(shown: Graded) -> None:
    unit, curve = shown.answer("reliability")
    figures: Mapping[str, Figure] = shown.answer("figures")[shown.main.run]
    of_pixels = unit == "pixels"
    what = "pixels" if of_pixels else "photos, each by its mean confidence"
    with layout.card(
        "Is it as sure as it is right?", f"confidence against accuracy of {what}; n = {count(int(curve['n'].sum()))}"
    ):
        if not curve["n"].sum():
            layout.remark(
                "The masks of this run came without probabilities, so there is nothing to set against accuracy."
            )
            return
        error = figures["ece" if of_pixels else "image_ece"]
        crossfilter_chart.plot(
            "reliability",
            evaluation_charts.reliability(curve, unit),
            alt=f"Points: accuracy by confidence of {what}. Expected calibration error {tenths(error.value)}.",
        )
        layout.remark(
            f"Expected calibration error {ranged(error.value, error.interval)}: the mean distance from the line, each "
            f"bin by its {'pixels' if of_pixels else 'photos'}."
        )
        if not of_pixels:
            counting.calibration(shown)


# --- classes and labels ------------------------------------------------------------------------------------------


def classes(shown: Graded) -> None:
    found: Classes = shown.answer("classes")
    names = found.names[:MOST_ROWS]
    lines = []
    for name in names:
        iou = found.figures[f"iou:{name}"]
        lines.append(
            [
                name,
                percent(found.truth.get(name, 0.0)),
                ranged(iou.value, iou.interval),
                ranged(iou.mean, iou.mean_interval),
                count(iou.n),
                tenths(found.figures[f"dice:{name}"].value),
                tenths(found.figures[f"boundary_f:{name}"].value),
            ]
        )
    note = "in brackets 95 % intervals; photos: with the class in truth or prediction; Dice and boundary F: all pixels"
    with layout.card("Each class", note):
        head = ["class", "of the truth", "IoU, all pixels", "mean over photos", "photos", "Dice", "boundary F"]
        layout.grid([], head, lines)
        if len(found.names) > len(names):
            layout.remark(f"The {len(names)} largest of {len(found.names)} classes; all are in the tables to download.")


def labels(shown: Graded) -> None:
    lines = [
        [named(label), count(n), tenths(one["pixel_accuracy"].value), ranged(one["miou"].value, one["miou"].interval)]
        for label, n, one in shown.answer("labels")[:MOST_ROWS]
    ]
    with layout.card("Each folder label", f"{shown.labels[shown.main.run]}, over all pixels"):
        layout.grid([], ["folder", "photos", "pixel accuracy", "mIoU"], lines)
