"""The Image page: photos are selected, stepped through and tagged."""

import pandas as pd
from streamlit.testing.v1 import AppTest

from dashboard.state import session
from dashboard.state.picked_photos import Picks
from dashboard.state.view import View
from seglib.store import tags
from seglib.store.store import Store
from tests.dashboard.conftest import NASTY, PIXELS, id_of, make_run_config
from tests.dashboard.views.image.test_image import place, shown
from tests.dashboard.views.test_pages import opened, said

PATHS = sorted(PIXELS)
RUN, OTHER = make_run_config().run_name, make_run_config(2).run_name
LOOK = {"overlay": True, "opacity": 55, "outline": False, "uncertainty": False, "names": False, "hidden": []}
LOOK["difference"] = ""


def with_picks(app: AppTest, *paths: str) -> AppTest:
    app.session_state["_picks"] = Picks().union(pd.Series([id_of(path) for path in paths], dtype="str"))
    return app.run()


def tags_of(app: AppTest) -> list[str]:
    return [button.key.removeprefix("untag:") for button in app.button if button.key.startswith("untag:")]


def test_the_photo_is_tagged_here_and_it_can_be_undone(full):
    tags.tag(Store(full), [id_of("cats/b.jpg")], "odd")
    app = opened("Image", image=[id_of("cats/b.jpg")])
    assert tags_of(app) == ["odd"]
    box = app.selectbox(key="w:new_tag")
    assert (box.label, box.options) == ("Tag this photo", ["odd"])
    box.options.append("keep")  # typed, which the test driver cannot do
    box.set_value("keep").run()
    assert tags_of(app) == ["keep", "odd"]
    assert [*tags.tags_by_image(Store(full)).index] == [id_of("cats/b.jpg")]
    app.selectbox(key="w:new_tag").set_value("odd").run()
    assert "The photo already has this tag" in said(app)
    app.button(key="untag:odd").click().run()
    assert tags_of(app) == ["keep"]
    app.button(key="undo").click().run()
    assert tags_of(app) == ["keep", "odd"]
    assert not app.exception


def test_a_photo_is_selected_here_and_the_selected_ones_can_be_stepped_through(full):
    app = opened("Image", image=[id_of("cats/a.jpg")])
    assert not app.checkbox(key="w:picked").value
    assert not [group for group in app.get("button_group") if group.key == "w:steps"]
    app.checkbox(key="w:picked").check().run()
    with_picks(app, "cats/a.jpg", "cats/c.jpg", "dogs/e.jpg")
    assert app.checkbox(key="w:picked").value
    assert app.segmented_control(key="w:steps").options == ["Step through all 6", "Selected 3"]
    assert place(app) == (0, 6)
    app.segmented_control(key="w:steps").set_value(True).run()
    assert not app.exception
    assert [one["name"] for one in shown(app)["pictures"]] == ["cats/a.jpg", "cats/c.jpg", "dogs/e.jpg"]
    assert shown(app)["place"]["page_key"] == ""  # the gallery's page has nothing to do with it
    app.checkbox(key="w:picked").uncheck().run()
    assert place(app) == (0, 3)  # it stays until the visitor goes on
    assert app.segmented_control(key="w:steps").options == ["Step through all 6", "Selected 2"]
    app.segmented_control(key="w:steps").set_value(False).run()
    assert place(app) == (0, 6)


def test_selected_photos_outside_the_filters_come_last(full):
    app = opened("Image", image=[id_of("dogs/e.jpg")], label=["dogs"])
    with_picks(app, "cats/b.jpg", "dogs/e.jpg", NASTY)
    app.segmented_control(key="w:steps").set_value(True).run()
    assert [one["name"] for one in shown(app)["pictures"]] == ["dogs/e.jpg", "cats/b.jpg", NASTY]


def test_opening_a_selected_photo_steps_through_the_selected_ones(monkeypatch):
    picks = Picks().union(pd.Series([id_of("cats/a.jpg")], dtype="str"))
    state = {"_view": View(), "_picks": picks}
    monkeypatch.setattr("dashboard.state.session.st.session_state", state)
    for path, picked in (("cats/a.jpg", True), ("dogs/d.jpg", False)):
        session.open_photo(id_of(path), origin="compare")
        assert session.steps_picks() == picked
        assert (state["_target"], state["_view"].image, state["_view"].origin) == ("Image", id_of(path), "compare")
