"""Report sections on slices: the photos cut by a field, each slice measured, for every evaluated run and for one pair.

Takes a `ReportScope` and what it evaluates or compares, and returns sections as HTML.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dashboard.answers import slices as answers
from dashboard.formatting import DASH, MEASURE_NAMES, count, interval, percent_fixed, percent_with_interval, photo_count
from dashboard.report import html as report_html
from dashboard.report.html import TableCell
from dashboard.report.scope import ReportScope
from seglib.evaluation.comparison import Comparison
from seglib.evaluation.evaluation import Evaluation
from seglib.evaluation.slices.figures import (
    COMPARISON_MEASURES,
    EVALUATION_MEASURES,
    SliceFigures,
    SliceTable,
    read_field,
    slice_by,
)

MAX_SLICES = 30


def of_evaluations(scope: ReportScope, evaluations: Sequence[Evaluation], by: str) -> str:
    """Return the slices of each run against the ground truth, by a field of the report's first run."""
    values = read_field(scope.store, scope.runs[0].run, by, evaluations[0].files)
    tables = {scope.label(one.run.run): replace(one, by=values).slices() for one in evaluations}
    return _section(tables, {name: MEASURE_NAMES[name] for name in EVALUATION_MEASURES}, "Worst")


def of_comparison(scope: ReportScope, comparison: Comparison, pair: tuple[str, str], by: str) -> str:
    """Return the slices of the pair whose differences are shown."""
    a, b = pair
    values = read_field(scope.store, scope.runs[0].run, by, comparison.files)
    table = slice_by(values, comparison.measures[pair], COMPARISON_MEASURES)
    title = f"{scope.label(a)} (A) and {scope.label(b)} (B)"
    return _section({title: table}, {name: name.replace("_", " ") for name in COMPARISON_MEASURES}, "Least agreement")


def _section(tables: Mapping[str, SliceTable], measures: Mapping[str, str], worst: str) -> str:
    first = next(iter(tables.values()))
    main, *others = measures.values()
    head = ["slice", "photos", main, f"{main}, mean over photos", *others, "as many random photos"]
    parts = []
    for title, table in tables.items():
        parts += [report_html.subtitle(title), report_html.remarks([answers.sentence(table, main, worst=worst)])]
        if len(table.rows) > 1:
            rows = [_line(table, row) for row in table.rows[:MAX_SLICES]]
            parts.append(report_html.table(head, rows, caption="Over all pixels, 95 % intervals, the lowest first"))
        if (more := len(table.rows) - MAX_SLICES) > 0:
            parts.append(report_html.remarks([f"{count(more)} more slices are not shown."]))
    notes = report_html.remarks([*answers.remarks(first), answers.METHOD])
    title = f"By {answers.field_noun(first.field)}"
    return report_html.section(title, f"n = {photo_count(first.images)}.", *parts, notes)


def _line(table: SliceTable, row: SliceFigures) -> list[TableCell]:
    main, *others = (row.estimates[name] for name in table.measures)
    value = percent_with_interval(main.figure.value, main.figure.interval)
    chance = interval(main.random_range) if main.random_range else DASH
    return [
        answers.slice_name(table.field, row.slice),
        count(row.images),
        report_html.strong(value) if main.differs else value,
        percent_with_interval(main.figure.mean, main.figure.mean_interval),
        *(percent_fixed(one.figure.value) for one in others),
        f"{chance}{' below' if main.is_below else ' above' if main.is_above else ''}",
    ]
