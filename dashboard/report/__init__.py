"""Build a self-contained HTML report of a store: figures, charts, images and their provenance.

`build_report` returns the file's bytes. It reads counts that are already in the store, plus the masks of the few photos
it shows; anything not yet counted is left out, and the report says so. Charts are plain HTML and SVG, because plotly's
script alone is 4.8 MB, needs permission to run and does not print. The report contains no local paths.
"""

from collections.abc import Sequence

from dashboard.report import comparison as comparison_report
from dashboard.report import evaluation as evaluation_report
from dashboard.report import html as report_html
from dashboard.report import runs as runs_report
from dashboard.report import slices as slices_report
from dashboard.report.scope import MAX_RUNS as MAX_RUNS
from dashboard.report.scope import default_runs as default_runs
from dashboard.report.scope import make_scope
from seglib.errors import UsageError
from seglib.query.filters import Filters
from seglib.store.store import Store


def build_report(
    store: Store,
    runs: Sequence[str] = (),
    filters: Filters | None = None,
    *,
    truth_name: str = "",
    pair: tuple[str, str] | None = None,
    by: str = "",
) -> bytes:
    """Build the report of `runs` (default: `default_runs`) over the photos that pass `filters`.

    `truth_name` is the name or id of a ground truth, by default the one that covers most of the photos. `pair` names
    the two runs whose differences are shown, by default the two that agree least. `by` is a field of the first run, by
    which the photos are cut into slices.

    Raises `UsageError` if there is nothing to report, and `UnknownName` if there is no such field.
    """
    scope = make_scope(store, runs or default_runs(store), filters or Filters())
    evaluated = evaluation_report.collect(scope, truth_name)
    compared = scope.comparison
    answers = [evaluation_report.answer(scope, evaluated)] if evaluated else []
    if compared is not None:
        answers.append(comparison_report.answer(scope, compared, pair))
    body = [runs_report.header(scope, answers)]
    evaluation_sections = evaluation_report.sections(scope, evaluated)
    comparison_sections = [] if compared is None else comparison_report.sections(scope, compared, pair)
    if by and not evaluated and compared is None:
        raise UsageError("Slices are measured against a ground truth or between two runs: this report has neither.")
    if by and evaluated:
        evaluation_sections.append(slices_report.of_evaluations(scope, evaluated.evaluations, by))
    if by and compared is not None:
        shown = comparison_report.shown_pair(compared, pair)
        comparison_sections.append(slices_report.of_comparison(scope, compared, shown, by))
    body += [*evaluation_sections, *comparison_sections] if evaluated else [*comparison_sections, *evaluation_sections]
    body += [runs_report.distribution(scope), *([runs_report.least_confident(scope)] if len(scope.runs) == 1 else [])]
    body += [runs_report.provenance(scope), runs_report.how_to_read(scope)]
    return report_html.page(scope.title, body)
