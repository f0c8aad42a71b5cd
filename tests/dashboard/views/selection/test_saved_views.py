"""The menu of saved views: what is saved, opened, renamed, deleted and restored, and what it says of what is gone."""

from urllib.parse import parse_qsl

import numpy as np
import pytest

from seglib.maintenance import prune
from seglib.store.embeddings import brought
from seglib.store.saved_views.saved_view import SavedView, list_views, save_view
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.test_pages import asked, opened, photos_shown, said

KEY = "views"


def menu(title: str = "Explore", **query: list[str]):
    app = opened(title, **query)
    app.session_state[KEY] = True  # as a click on the button does
    return app.run()


def button(app, label: str):
    return next(one for one in app.button if one.label == label)


def save(app, name: str, about: str = ""):
    app.text_input(key="views:name").set_value(name)
    app.text_input(key="views:about").set_value(about)
    return button(app, "Save").click().run()


@pytest.fixture
def store(full) -> Store:
    return Store(full)


def test_what_similar_looks_for_is_saved(store):
    vectors = np.eye(3, 2) + 1
    brought.add_set(store, "clip", store.table()["image_id"].unique()[:3].tolist(), vectors, "x.npz")
    app = save(menu("Similar", find=["outliers"], label=["cats"]), "odd cats")
    assert not app.exception
    (view,) = list_views(store)
    assert (view.page, parse_qsl(view.query)[:1]) == ("Similar", [("label", "cats")])
    assert ("find", "outliers") in parse_qsl(view.query)


def test_what_a_page_shows_is_saved_and_opened_again(store):
    query = {"label": ["cats"], "where": ["share.cat > 1%"], "sort": ["-confidence"], "page": ["1"], "n": ["7"]}
    app = save(menu(**query, charts=["classes"]), " my  cats", "for me")
    assert not app.exception
    assert "Saved “my cats”" in said(app)
    (view,) = list_views(store)
    assert (view.name, view.description, view.page) == ("my cats", "for me", "Explore")
    saved = dict(parse_qsl(view.query))
    assert saved == {
        "label": "cats",
        "where": "share.cat > 1%",
        "sort": "-confidence",
        "charts": "classes",
        "run": store.runs()[0].run,
    }
    app = menu("Overview")
    assert photos_shown(app) == 6
    app = button(app, "my cats").click().run()
    assert not app.exception
    assert app.title[0].value == "Explore"
    assert photos_shown(app) == 2
    assert asked(app, "sort") == ["-confidence"]


def test_a_name_that_is_taken_is_replaced_only_knowingly(store):
    save_view(store, SavedView(name="cats", page="Explore", query="label=dogs"))
    app = save(menu(label=["cats"]), "Cats")
    assert "already" in said(app)
    assert [view.query for view in list_views(store)] == ["label=dogs"]
    app = button(app, "Replace it").click().run()
    assert not app.exception
    (view,) = list_views(store)
    assert (view.name, dict(parse_qsl(view.query))["label"]) == ("Cats", "cats")
    assert "already" not in said(app)


def test_a_name_that_is_none_is_refused_in_a_sentence(store):
    app = save(menu(), "  ")
    assert "1 to 60 characters" in said(app)
    assert list_views(store) == []


def test_renaming_and_deleting_with_undo(store):
    save_view(store, SavedView(name="cats", page="Explore", query="label=cats"))
    save_view(store, SavedView(name="dogs", page="Explore", query="label=dogs"))
    app = button(menu(), "Rename").click().run()
    assert app.text_input(key="views:new_name").value == "cats"
    app.text_input(key="views:new_name").set_value("Dogs")
    app = app.button(key="views:do").click().run()
    assert "already" in said(app)
    app.text_input(key="views:new_name").set_value("tigers")
    app = app.button(key="views:do").click().run()
    assert not app.exception
    assert [view.name for view in list_views(store)] == ["dogs", "tigers"]
    app = button(app, "Delete").click().run()
    assert [view.name for view in list_views(store)] == ["tigers"]
    app = app.button(key="views:undo").click().run()
    assert [view.name for view in list_views(store)] == ["dogs", "tigers"]
    assert not app.exception


def test_a_view_whose_run_class_or_column_is_gone_says_so(store, tmp_path):
    gone = store.runs()[0].run
    save_view(store, SavedView(name="run", page="Explore", query=f"label=cats&run={gone}"))
    save_view(store, SavedView(name="class", page="Explore", query="share.zebra=0.1..1&class=zebra"))
    save_view(store, SavedView(name="column", page="Explore", query="where=camera+%3D+Canon"))
    fill_store(store.path, code_schema=2)
    assert make_run_config(2).classes
    prune.remove_run(store, gone)
    app = menu()
    assert "its run is no longer in this store" in said(app)
    assert "There is no" not in said(app)
    assert "not in this store" in said(button(app, "run").click().run())
    app = button(menu(), "class").click().run()
    assert "knows no class 'zebra'" in said(app).replace("\\", "")
    app = button(menu(), "column").click().run()
    assert "there is no field of this name" in said(app)
    assert not app.exception


def test_a_name_is_text_never_markup(store):
    save_view(
        store,
        SavedView(name="<b>**x** :cat: [l](http://x)", description="<img src=x>", page="Nowhere", query="run=&a="),
    )
    app = menu()
    assert not app.exception
    assert "\\*\\*x" in next(one.label for one in app.button if "x" in one.label and "cat" in one.label)
