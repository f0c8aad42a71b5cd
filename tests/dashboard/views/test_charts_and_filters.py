"""When Explore and Overview draw charts, what they leave out, and the numbers at the choices of filters."""

import json
import re

import pytest
from streamlit.testing.v1 import AppTest

from seglib.classes import VOC_CLASSES
from tests.dashboard.conftest import fill_store
from tests.dashboard.views.test_pages import PAGES, asked, component, has_chart, html, opened, said


@pytest.mark.parametrize("page", PAGES)
def test_many_folders_stay_readable(tmp_path, serve, page):
    """Of a hundred folders the largest come first, in a matrix and its classes too, and the rest after a click."""
    paths = {f"label{n:02}/a.jpg": {"dog": n} for n in range(80)}
    paths |= {f"{name}-/{n}.jpg": {name: 9} for k, name in enumerate(VOC_CLASSES[1:]) for n in range(k + 1)}
    fill_store(tmp_path / "store", pixels=paths)
    serve(tmp_path / "store")
    app = opened(page, charts=["classes"])
    assert not app.exception
    matrix = component(app, "corner")
    largest = VOC_CLASSES[:-13:-1]
    assert [row["name"] for row in matrix["rows"]] == [f"{name}-" for name in largest]
    assert matrix["columns"][0] == "dog"  # of most photos, its folder and all that are called label
    assert {*matrix["columns"]} == {*largest, "none"}
    app.toggle(key="folder_against_animal:all").set_value(True).run()
    matrix = component(app, "corner")
    assert (len(matrix["rows"]), len(matrix["columns"])) == (100, 21)
    assert not app.exception


@pytest.mark.parametrize("page", PAGES)
def test_many_folders_in_a_chart_are_cut(tmp_path, serve, page):
    fill_store(tmp_path / "store", pixels={f"label{n:02}/a.jpg": {"dog": n} for n in range(40)})
    serve(tmp_path / "store")
    app = opened(page, charts=["photos"])
    assert not app.exception
    assert "28 folders with fewer photos are not shown" in said(app)


def test_one_measure_of_certainty_is_shown_and_the_others_are_a_click_away(full):
    def drawn(app: AppTest) -> list[str]:
        alts = [json.loads(e.proto.json)["alt"] for e in app.get("bidi_component") if '"figure"' in e.proto.json]
        return [alt.split(" in ")[0] for alt in alts if alt.startswith("Histogram")]

    app = opened("Overview")
    assert drawn(app) == ["Histogram of confidence"]
    app.segmented_control(key="w:certainty").set_value("low_margin").run()
    assert drawn(app) == ["Histogram of undecided pixels"]
    assert drawn(opened("Overview", entropy=["0..0.5"])) == ["Histogram of entropy"]  # what is filtered is seen


def test_the_numbers_of_the_choices_follow_the_other_filters(full):
    def numbers(app: AppTest, key: str) -> list[str]:
        return re.findall(rf"st-key-w-{key} .*?content: ' ([\d,]+)'", html(app))

    assert numbers(opened("Explore"), "label") == ["3", "2", "1"]
    app = opened("Explore", agreement=["agrees"])
    assert numbers(app, "label") == ["2", "1", "0"]
    assert app.pills(key="w:agreement").options == ["agree", "disagree", "nothing seen", "folder names no class"]
    assert numbers(app, "agreement") == ["3", "1", "1", "1"]  # its own does not count


def test_the_first_gallery_comes_before_the_charts(full):
    app = opened("Explore", charts=["classes"])
    assert component(app, "tiles")["tiles"]
    assert not has_chart(app)
    assert "chart-place" in html(app)  # their place is kept
    app.session_state["_can_chart"] = True  # as `session.allow_charts` notes when the pictures are there
    app.run()
    assert has_chart(app)
    assert "chart-place" not in html(app)


def test_who_comes_from_a_page_with_charts_has_them_at_once(full):
    app = opened("Overview")
    assert has_chart(app)
    app.session_state["_target"] = "Explore"
    app.run()
    assert not has_chart(app)
    app.segmented_control(key="w:charts").set_value("classes").run()
    assert has_chart(app)
    assert asked(app, "charts") == ["classes"]


def test_explore_opens_with_photos_alone_and_draws_charts_at_once_when_asked(full):
    app = opened("Explore")
    assert component(app, "tiles")["tiles"]
    assert not has_chart(app)
    assert "chart-place" not in html(app)
    app.segmented_control(key="w:charts").set_value("photos").run()
    assert has_chart(app)
    app.segmented_control(key="w:charts").set_value("none").run()
    assert not has_chart(app)
    assert "charts" not in app.query_params


def test_a_table_lets_no_chart_wait(full):
    assert has_chart(opened("Explore", show=["table"], charts=["classes"]))
