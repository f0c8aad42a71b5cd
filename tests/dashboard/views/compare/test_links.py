"""Links to Compare: what an address names, and runs of it that are gone."""

import pytest

from seglib.evaluation import comparison
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.compare.test_compare import answer, plain
from tests.dashboard.views.test_pages import asked, html, opened
from tests.dashboard.views.test_runs import choose

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))


def test_the_address_names_all_that_is_shown_and_a_later_run_changes_nothing(two):
    app = opened("Compare", run=[A], label=["cats", "dogs"])
    linked = {key: asked(app, key) for key in ("run", "against", "runs", "label", "n")}
    assert linked == {"run": [A], "against": [B], "runs": sorted([A, B]), "label": ["cats", "dogs"], "n": ["5"]}
    assert "figures" not in app.query_params
    before = answer(app)
    fill_store(two, code_schema=3, pixels={"cats/a.jpg": {"cat": 1}})
    comparison.update_counts(Store(two), [A, B, C])
    assert answer(opened("Compare", **linked)) == before
    assert "n = 1 of 5 photos" in html(opened("Compare", run=[A], label=["cats", "dogs"]))  # as old links are opened


def test_the_address_of_another_page_does_not_name_what_only_compare_shows(two):
    app = opened("Compare", run=[A])
    app.session_state["_target"] = "Explore"
    app.run()
    assert app.title[0].value == "Explore"
    assert {"runs", "against", "n"} & set(app.query_params) == set()
    app = opened("Compare", run=[A], n=["6"])
    app.session_state["_target"] = "Explore"
    app.run()
    assert "n" not in app.query_params  # Explore counts other photos


def test_another_number_of_photos_than_the_links_is_said_until_the_visitor_goes_on(two):
    app = opened("Compare", run=[A], n=["445"])
    sentence = "This link was made with n = 445; these figures count 6."
    assert sentence in plain(app)
    assert asked(app, "n") == ["445"]  # a reload says it again
    app.button(key="go_on").click().run()
    assert sentence not in plain(app)
    assert asked(app, "n") == ["6"]
    assert "This link was made" not in plain(opened("Compare", run=[A], n=["6"]))


@pytest.mark.parametrize("page", ["Overview", "Explore", "Image", "Compare", "Evaluate"])
def test_a_run_of_a_link_that_is_gone_is_said_and_never_replaced(two, page):
    app = opened(page, run=["gone-224-deadbeef"], against=[A], n=["9"])
    assert not app.exception
    assert "This link speaks of a run that is not in this store: gone-224-deadbeef." in plain(app)
    assert (asked(app, "run"), asked(app, "n")) == (["gone-224-deadbeef"], ["9"])
    assert "<dd" not in html(app)
    assert not app.get("bidi_component")
    if page in ("Compare", "Evaluate"):
        app.pills(key="w:instead").select(B).run()
    else:
        app.selectbox(key="w:instead").set_value(B).run()
    assert not app.exception
    assert "speaks of" not in plain(app)
    assert asked(app, "run") == [B if page != "Compare" else A]


def test_b_of_a_link_that_is_gone_is_said_and_never_replaced(three):
    linked = {"run": [A], "against": ["gone"], "runs": sorted([A, B, "gone", "lost"])}
    app = opened("Compare", **linked)
    assert "This link speaks of runs that are not in this store: gone, lost." in plain(app)
    assert answer(app) == ""
    app.pills(key="w:instead").select(C).run()
    assert not app.exception
    assert (asked(app, "run"), asked(app, "runs")) == ([A], sorted([A, B, C]))
    assert answer(app).startswith("All 3 runs")
    app = opened("Explore", **linked)  # whose figures are about A alone
    assert "There is no run 'gone' in this store to show beside the others" in plain(app)
    assert "<dd" in html(app)


def test_a_run_that_was_deleted_here_is_forgotten(three):
    app = opened("Compare", run=[A], against=[C], runs=[A, B, C])
    app.session_state["_target"] = "Runs"
    app.run()
    choose(app, C, "delete")
    app.button(key="delete").click().run()
    app.session_state["_target"] = "Compare"
    app.run()
    assert not app.exception
    assert "speaks of" not in plain(app)
    assert asked(app, "runs") == sorted([A, B])
