"""What the Evaluate page begins with: the answer in one sentence, and two charts of all runs.

Takes a `EvaluationSelection` and draws on the page.
"""

from collections.abc import Sequence

from dashboard.answers import evaluation as answers
from dashboard.answers.words import compare_speed
from dashboard.charts import runs as run_charts
from dashboard.components import layout
from dashboard.formatting import photo_count
from dashboard.queries import evaluation as evaluation_queries
from dashboard.queries.evaluation_stats import Headline
from dashboard.views.evaluate.selection import EvaluationSelection
from dashboard.views.shared import crossfilter_chart
from seglib.metrics.bootstrap import Estimate

MAX_CLASSES = 7
"""Classes in the chart that the page begins with."""

_UNKNOWN = Estimate(value=None, interval=None, mean=None, mean_interval=None, n=0)


def answer(selection: EvaluationSelection, notes: Sequence[str]) -> None:
    sentence = answers.sentence(_headline(selection).verdict, selection.short_labels, compare_speed(selection.costs))
    layout.answer(sentence, [*notes, answers.describe_method(len(selection.runs))])


def _headline(selection: EvaluationSelection) -> Headline:
    return evaluation_queries.headline(selection.query, MAX_CLASSES)


def scores(selection: EvaluationSelection) -> None:
    """Show mIoU and pixel accuracy of every run."""
    headline, runs = _headline(selection), selection.run_names
    names = [selection.short_labels[run] for run in runs]
    series = {
        "mIoU": [headline.verdict.scores[run] for run in runs],
        "pixel accuracy": [headline.accuracy[run] for run in runs],
    }
    values = [figure.value or 0.0 for figure in series["mIoU"]]
    best = [len(runs) > 1 and value == max(values) for value in values]
    note = f"over all pixels, n = {photo_count(selection.photos)}; lines: 95 % intervals"
    with layout.card("How right each run is" if len(runs) > 1 else "How right it is", note):
        words = "; ".join(f"{title}: {run_charts.describe(names, figures)}" for title, figures in series.items())
        crossfilter_chart.plot("scores", run_charts.interval_dots(names, series, best=best), alt=f"Dots: {words}.")
        if len(runs) > 1:
            layout.remark("Bold: the highest mIoU, whether or not beyond chance.")


def classes(selection: EvaluationSelection) -> None:
    """Show the IoU of the largest classes in every run."""
    found = _headline(selection).classes
    bars = {
        selection.short_labels[run]: [of_runs.get(run, _UNKNOWN) for of_runs in found.values()]
        for run in selection.run_names
    }
    with layout.card(
        "IoU of each class", f"over all pixels, n = {photo_count(selection.photos)}; lines: 95 % intervals"
    ):
        if not found:
            layout.remark("There is nothing to show: no class of the truth can be compared.")
            return
        words = "; ".join(f"{name}: {run_charts.describe(list(found), figures)}" for name, figures in bars.items())
        crossfilter_chart.plot(
            "class_ious",
            run_charts.class_bars(list(found), bars, axis="IoU"),
            alt=f"Bars: IoU of each class. {words}.",
        )
