"""What the Compare page begins with: the answer in one sentence, and two charts.

Takes a `ComparisonSelection` and draws on the page.
"""

from collections.abc import Sequence

from dashboard.answers import comparison as answers
from dashboard.answers.words import compare_speed
from dashboard.charts import runs as run_charts
from dashboard.components import layout
from dashboard.formatting import photo_count
from dashboard.queries.comparison_stats import SUMMARY_MEASURES
from dashboard.views.compare.selection import ComparisonSelection
from dashboard.views.shared import crossfilter_chart
from seglib.metrics.bootstrap import Estimate

_SUMMARY_NAMES = dict(zip(SUMMARY_MEASURES, ("all pixels", "foreground"), strict=True))


def answer(selection: ComparisonSelection, notes: Sequence[str]) -> None:
    sentence = answers.sentence(selection.headline.agreement, selection.letters, compare_speed(selection.costs))
    layout.answer(sentence, notes)


def agreement(selection: ComparisonSelection) -> None:
    """Show the agreement of every pair of runs; of two runs alone, in all and per class."""
    headline, letters = selection.headline, selection.letters
    if len(selection.runs) == 2:
        names = [_SUMMARY_NAMES.get(name, f"IoU of {name.removeprefix('iou:')}") for name in headline.details]
        figures, title = list(headline.details.values()), "How far A and B agree"
    else:
        pairs = sorted(headline.agreement.pairs.items(), key=lambda pair: -(pair[1].value or 0.0))
        names = [" and ".join(sorted(letters[run] for run in pair)) for pair, _ in pairs]
        figures, title = [figure for _, figure in pairs], "How far each pair agrees"
    note = f"share of the pixels that both call the same, n = {photo_count(selection.photos)}; lines: 95 % intervals"
    with layout.card(title, note):
        crossfilter_chart.plot(
            "agreement",
            run_charts.interval_dots(names, {"agreement": figures}),
            alt=f"Dots: agreement: {run_charts.describe(names, figures)}.",
        )


def areas(selection: ComparisonSelection) -> None:
    """Show how much of all pixels each run gives to the largest classes."""
    shares, labels = selection.headline.areas, selection.short_labels
    with layout.card("Area per class", f"share of all pixels, n = {photo_count(selection.photos)}"):
        if not shares:
            layout.remark("There is nothing to show: no run sees a class other than the background.")
            return
        bars = {
            f"{selection.letters[run]} {labels[run]}": [_without_interval(of_runs[run]) for of_runs in shares.values()]
            for run in selection.run_names
        }
        words = "; ".join(f"{name}: {run_charts.describe(list(shares), figures)}" for name, figures in bars.items())
        crossfilter_chart.plot(
            "class_areas",
            run_charts.class_bars(list(shares), bars, axis="share of all pixels"),
            alt=f"Bars: share of all pixels. {words}.",
        )


def _without_interval(share: float | None) -> Estimate:
    return Estimate(value=share, interval=None, mean=None, mean_interval=None, n=0)
