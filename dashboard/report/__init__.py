"""A report that opens without us: one HTML file with figures, charts, pictures and where all of it comes from.

In: a store, runs, filters, a truth. Out: bytes. It reads counts that are in the store, and the masks of the few photos
that it shows; what was not counted is left out, and it says so. Charts are HTML and SVG: plotly's script alone takes
4.8 MB, has to be allowed to run, and does not print. No place on this machine is named. Knows nothing of Streamlit.
"""

from collections.abc import Sequence

from dashboard.report import comparison as comparison_report
from dashboard.report import evaluation as evaluation_report
from dashboard.report import html as report_html
from dashboard.report import runs as runs_report
from dashboard.report.scope import MOST_RUNS as MOST_RUNS
from dashboard.report.scope import scope_of
from dashboard.report.scope import usual_runs as usual_runs
from seglib.query.filters import Filters
from seglib.store.store import Store


def build_report(
    store: Store,
    runs: Sequence[str] = (),
    filters: Filters | None = None,
    *,
    truth_name: str = "",
    pair: tuple[str, str] | None = None,
) -> bytes:
    """Of these runs, by default of `usual_runs`; `truth_name` is a truth's name or id, by default that which most of
    the photos have. `pair`: the two runs whose differences are shown, by default those that agree least.

    Raises `UsageError` if there is nothing to report.
    """
    scope = scope_of(store, runs or usual_runs(store), filters or Filters())
    body = [runs_report.head(scope), runs_report.distribution(scope)]
    body += (
        [runs_report.least_sure(scope)]
        if scope.comparison is None
        else comparison_report.sections(scope, scope.comparison, pair)
    )
    body += [*evaluation_report.sections(scope, truth_name), runs_report.provenance(scope), runs_report.reading(scope)]
    return report_html.page(scope.title, body)
