"""A link is never answered with something else than it names."""

import pytest

from dashboard.state import pages
from dashboard.state.links import describe_changed_n, describe_missing, fit_to_runs, missing_runs
from dashboard.state.view import View

THERE = ["old", "new"]


@pytest.mark.parametrize(
    ("view", "page", "gone"),
    [
        (View(), pages.OVERVIEW, []),
        (View(run="old"), pages.COMPARE, []),
        (View(run="gone"), pages.OVERVIEW, ["gone"]),
        (View(run="old", runs=("lost", "new"), against="gone"), pages.EXPLORE, []),
        (View(run="old", runs=("lost", "new"), against="gone"), pages.IMAGE, []),
        (View(run="old", runs=("lost", "new"), against="gone"), pages.EVALUATE, ["lost"]),
        (View(run="old", runs=("lost", "new"), against="gone"), pages.COMPARE, ["lost", "gone"]),
        (View(run="gone", runs=("gone", "new"), against="gone"), pages.COMPARE, ["gone"]),
    ],
)
def test_a_page_misses_the_runs_that_its_figures_are_about(view, page, gone):
    assert missing_runs(view, page, THERE) == gone


def test_the_newest_run_is_shown_if_the_link_names_none():
    assert fit_to_runs(View(), THERE) == (View(run="new"), [])
    assert fit_to_runs(View(run="old"), THERE) == (View(run="old"), [])


def test_runs_beside_the_others_are_dropped_with_a_sentence_and_not_replaced():
    view, notes = fit_to_runs(View(run="old", against="gone", runs=("lost", "new")), THERE)
    assert (view.against, view.runs) == ("", ("new",))
    assert notes == [f"There is no run {name!r} in this store to show beside the others." for name in ("lost", "gone")]
    view, _ = fit_to_runs(View(run="old", runs=("lost",)), THERE)
    assert view.runs == ("old",)  # none would mean all
    view, _ = fit_to_runs(View(run="old", against="gone", difference="overlay", origin="compare"), THERE)
    assert (view.difference, view.origin) == ("", "")  # not the difference to another run


def test_sentences():
    assert describe_missing("run", ["a"]) == "This link speaks of a run that is not in this store: a."
    assert describe_missing("run", ["a", "b"]) == "This link speaks of runs that are not in this store: a, b."
    assert describe_changed_n(445, 30) == "This link was made with n = 445; these figures count 30."
    assert describe_changed_n(1445, 1445) == describe_changed_n(0, 30) == ""
