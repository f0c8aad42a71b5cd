"""The Runs page, through Streamlit's own test driver: what is there, with or without a store."""

import pytest

from tests.dashboard.conftest import fill, recipe
from tests.dashboard.views.test_pages import asked, html, opened, said


@pytest.mark.parametrize(
    ("state", "sentence"), [("empty", "holds no run yet"), ("missing", "There is no store yet"), ("newer", "layout 99")]
)
def test_without_a_run_the_page_is_there(request, state, sentence):
    request.getfixturevalue(state)
    app = opened("Runs")
    assert not app.exception
    assert app.title[0].value == "Runs"
    assert sentence in said(app)


def test_each_run_is_listed_and_opens_in_explore(full):
    fill(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    app = opened("Runs", label=["dogs"])
    assert recipe(1).run in html(app)
    assert recipe(2).run in html(app)
    assert "<dd>6</dd>" in html(app)
    app.button(key=f"explore:{recipe(1).run}").click().run()
    assert app.title[0].value == "Explore"
    assert asked(app, "run") == [recipe(1).run]
    assert "label" not in app.query_params


def test_the_view_is_still_there_on_the_way_back(full):
    app = opened("Runs", label=["dogs"])
    assert asked(app, "label") == ["dogs"]
