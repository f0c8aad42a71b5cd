"""Both pages in five states, through Streamlit's own test driver."""

import json
import re

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from dashboard.formatting import escape_markdown
from dashboard.server import photo_zip
from seglib.pipeline.run import describe_run
from seglib.store import tags
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, id_of, make_run_config

PAGES = ["Overview", "Explore"]


def opened(title: str, **query: list[str]) -> AppTest:
    app = AppTest.from_file(str(ROOT / "dashboard" / "router.py"), default_timeout=30)
    for key, texts in query.items():
        app.query_params[key.replace("__", ".")] = texts
    if title != PAGES[0]:
        app.session_state["_target"] = title  # as `session.open_page` asks for it
    return app.run()


def said(app: AppTest) -> str:
    return " ".join(e.value for kind in (app.error, app.info, app.warning, app.caption, app.markdown) for e in kind)


def component(app: AppTest, key: str) -> dict:
    """The data of one of our own components, by a key in it."""
    every = [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json]
    return next(data for data in every if key in data)


def has_chart(app: AppTest) -> bool:
    return any('"figure"' in e.proto.json for e in app.get("bidi_component"))


def send(app: AppTest, key: str, name: str, value: object) -> AppTest:
    """As the browser does when the component `key` sends this."""
    component_id = next(e.proto.id for e in app.get("bidi_component") if e.proto.id.endswith(f"-{key}"))
    states = app._tree.get_widget_states()
    sent = states.widgets.add()
    sent.id = f"$$STREAMLIT_INTERNAL_KEY_{component_id}__events"
    sent.json_trigger_value = json.dumps([{"event": name, "value": value}])
    return app._run(states)


def asked(app: AppTest, key: str) -> list[str]:
    """The values of a key in the URL."""
    value = app.query_params[key]
    return value if isinstance(value, list) else [value]


def html(app: AppTest) -> str:
    return " ".join(e.proto.body for e in app.get("html"))


def photos_shown(app: AppTest) -> int:
    """The first key figure."""
    return int(re.search(r"<dt>photos</dt><dd[^>]*><b>(\d+)</b>", html(app))[1])


@pytest.mark.parametrize("page", PAGES)
class TestStates:
    def test_full(self, full, page):
        app = opened(page)
        assert not app.exception
        assert not app.error
        assert app.title[0].value == page
        assert photos_shown(app) == 6
        assert "<dt>folder and content agree</dt>" in html(app)
        assert "<b>3</b> of 5" in html(app)

    def test_empty(self, empty, page):
        app = opened(page)
        assert not app.exception
        assert "Nothing has been analysed yet" in said(app)
        app.button(key="add_photos").click().run()
        assert app.title[0].value == "Runs"

    def test_missing(self, missing, page):
        app = opened(page)
        assert not app.exception
        assert "Nothing has been analysed yet" in said(app)
        assert str(missing.parent) not in said(app).replace("\\", "")

    def test_broken(self, broken, page):
        app = opened(page)
        assert not app.exception
        assert "is damaged" in said(app)
        assert "here: Verify on Runs" in said(app).replace("\\", "")
        assert str(broken.parent) not in said(app).replace("\\", "")
        app.button(key="go").click().run()
        assert app.title[0].value == "Runs"

    def test_newer(self, newer, page):
        app = opened(page)
        assert not app.exception
        assert "layout 99" in said(app)

    def test_no_photo_passes(self, full, page):
        app = opened(page, path=["no such name"])
        assert not app.exception
        assert "None of the 6 photos passes all filters" in said(app)

    def test_a_run_without_photos_yet(self, full, page):
        from seglib.store.store import Store

        Store(full).keep_run(describe_run(make_run_config(9), parameters=1, versions={}))
        app = opened(page, run=[make_run_config(9).run_name])
        assert not app.exception
        assert "holds no photos yet" in said(app)


# --- the URL ---


def test_a_link_sets_filters_and_junk_is_dropped_with_a_note(full):
    app = opened("Overview", label=["cats"], share__cat=["0.1..1"], sort=["price"], what=["x"])
    assert "<b>2</b> of 6" in html(app)
    assert photos_shown(app) == 2
    notes = app.warning[0].value.replace("\\", "")
    assert "sort=price was left out" in notes
    assert "what=x was left out" in notes
    assert asked(app, "label") == ["cats"]
    assert asked(app, "share.cat") == ["0.1..1"]
    assert "sort" not in app.query_params
    assert asked(app, "run") == [make_run_config().run_name]


def test_a_widget_changes_the_selection_and_the_url(full):
    app = opened("Explore")
    app.pills(key="w:label").select("cats").run()
    assert photos_shown(app) == 3
    assert asked(app, "label") == ["cats"]
    app.slider(key="w:confidence").set_range(0.6, 1.0).run()
    assert photos_shown(app) == 2
    assert asked(app, "confidence") == ["0.6..1"]


def test_a_chip_takes_its_filter_away_and_clear_all_the_rest(full):
    app = opened("Explore", label=["cats"], animal=["dog"], path=["b"])
    assert photos_shown(app) == 1
    app.button(key="chip:label").click().run()
    assert "label" not in app.query_params
    assert asked(app, "animal") == ["dog"]
    app.button(key="clear").click().run()
    assert photos_shown(app) == 6
    assert app.pills(key="w:label").value == []
    assert app.text_input(key="w:path").value == ""


def test_a_new_url_in_an_open_session_wins(full):
    app = opened("Explore", label=["cats"])
    app.query_params["label"] = ["dogs"]
    app.run()
    assert app.pills(key="w:label").value == ["dogs"]
    assert photos_shown(app) == 2


def test_runs_can_be_switched_and_the_newest_is_first(full):
    fill_store(full, pixels={"cats/a.jpg": {"dog": 10}}, code_schema=2)
    app = opened("Overview")
    assert app.selectbox(key="w:run").value == make_run_config(2).run_name
    app.selectbox(key="w:run").set_value(make_run_config(1).run_name).run()
    assert asked(app, "run") == [make_run_config(1).run_name]


def test_photos_are_filtered_by_tag(full):
    assert "w:tag" not in [widget.key for widget in opened("Explore").pills]  # nothing to choose from yet
    tags.tag(Store(full), [id_of("cats/a.jpg"), id_of(NASTY)], "<b>keep</b> :cat:")
    app = opened("Explore")
    app.pills(key="w:tag").select("<b>keep</b> :cat:").run()
    assert photos_shown(app) == 2
    assert asked(app, "tag") == ["<b>keep</b> :cat:"]
    assert app.button(key="chip:tag").label == f"Tag\\: {escape_markdown('<b>keep</b> :cat:')} :material/close:"


# --- one click away ---


def test_the_contradictions_are_one_click_away(full):
    app = opened("Overview")
    app.button(key="contradictions").click().run()
    assert app.title[0].value == "Explore"
    assert asked(app, "agreement") == ["contradicts"]
    (tile,) = component(app, "tiles")["tiles"]
    assert tile["name"] == "cats/b.jpg"
    assert tile["warning"] == "folder cats, model dog"


def test_a_cell_shows_its_photos(full):
    app = opened("Overview")
    matrix = component(app, "corner")
    assert [row["name"] for row in matrix["rows"]] == ["cats", "dogs", "others"]
    assert [[cell["value"] for cell in row["cells"]] for row in matrix["rows"]] == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert [cell["tone"] for cell in matrix["rows"][0]["cells"]] == ["agrees", "contradicts", ""]


# --- what a tile says ---


def test_tiles_say_what_was_found(full):
    app = opened("Explore", label=["cats"])
    first, second, third = component(app, "tiles")["tiles"]
    assert (first["name"], first["found"], first["share"].replace("\xa0", " ")) == ("cats/a.jpg", "cat", "50 %")
    assert first["aside"] == "conf 0.90"
    assert first["aspect"] == pytest.approx(40 / 30)
    assert first["photo"].startswith("/media-api/thumb/")
    assert first["mask"].startswith(f"/media-api/overlay/{make_run_config().run_name}/")
    assert first["warning"] == ""
    assert second["warning"] == "folder cats, model dog"
    assert [name for name, _, _ in third["bar"]] == ["cat", "person"]
    assert third["alt"].replace("\xa0", " ") == "cats/c.jpg: cat 20 %, person 10 %"


def test_a_photo_with_nothing_found_says_so(full):
    app = opened("Explore", path=["dogs/e"])
    (tile,) = component(app, "tiles")["tiles"]
    assert (tile["found"], tile["share"], tile["bar"]) == ("background only", "", [])


def test_names_are_text_everywhere(full):
    app = opened("Explore", path=[NASTY])
    assert not app.exception
    (tile,) = component(app, "tiles")["tiles"]
    assert tile["name"] == NASTY
    assert "<img" not in html(app)
    chips = [button.label for button in app.button if button.key.startswith("chip:")]
    assert chips == [f"Path contains\\: {escape_markdown(NASTY)} :material/close:"]


def test_the_overlays_look_is_in_the_url(full):
    app = opened("Explore", overlay=["off"], opacity=["20"], size=["250"], palette=["voc"])
    gallery = component(app, "tiles")
    assert gallery["look"] == {"overlay": False, "opacity": 20, "size": 250}
    assert "palette=voc" in gallery["tiles"][0]["mask"]
    assert ["cat", "#400000"] in gallery["legend"]


def test_pages_of_the_gallery(tmp_path, serve):
    fill_store(tmp_path / "store", pixels={f"cats/{n:03}.jpg": {"cat": n % 100} for n in range(100)})
    serve(tmp_path / "store")
    app = opened("Explore", page=["3"])
    assert [tile["name"] for tile in component(app, "tiles")["tiles"]] == [f"cats/{n:03}.jpg" for n in range(96, 100)]
    beyond = opened("Explore", page=["900"])
    assert len(component(beyond, "tiles")["tiles"]) == 4
    app.pagination(key="w:page").set_value(2).run()
    assert asked(app, "page") == ["2"]
    assert len(component(app, "tiles")["tiles"]) == 48


def test_exports_are_offered_and_named_after_what_is_chosen(full, monkeypatch):
    offered = {}
    monkeypatch.setattr(st, "download_button", lambda title, *, file_name, **_: offered.update({title: file_name}))
    app = opened("Explore", agreement=["contradicts"])
    assert offered == {
        "List (CSV)": "photos-disagree.csv",
        "Everything (CSV)": "photos-disagree-everything.csv",
        "Everything (Parquet)": "photos-disagree-everything.parquet",
    }
    assert "full path" not in said(app)  # other machines may reach this server
    run = make_run_config().run_name
    where = "agreement%3Dcontradicts"
    assert f"/media-api/photos.zip?run={run}&amp;where={where}&amp;name=photos-disagree" in html(app)
    monkeypatch.setenv("SEGLIB_DASHBOARD_LOCAL", "1")
    app = opened("Explore")
    assert "full path" in said(app)
    assert "6 files, 1 kB" in said(app).replace("\\", "")
    monkeypatch.setattr(photo_zip, "MAX_PHOTOS", 5)
    app = opened("Explore")
    assert "photos.zip" not in html(app)
    assert "at most 5 photos" in said(app)


def test_unreadable_files_are_listed(full):
    app = opened("Overview")
    assert app.dataframe[0].value["path"].tolist() == ["cats/bad.jpg"]


def test_sorted_by_the_share_of_a_class(full):
    app = opened("Explore", **{"class": ["person"]}, sort=["-share"])
    names = [tile["name"] for tile in component(app, "tiles")["tiles"]]
    assert names[:2] == [NASTY, "cats/c.jpg"]
    assert len(names) == len(PIXELS)


@pytest.mark.parametrize("page", PAGES)
def test_a_run_of_another_models_masks_without_probabilities(tmp_path, serve, page):
    """Own classes, neither cat nor dog, no confidence: every part of the page says what it can."""
    pixels = {"Abyssinian_1.jpg": {"pet": 30}, "pug_1.jpg": {"pet": 0}}
    fill_store(tmp_path / "store", pixels=pixels, classes=("background", "pet"), measured=False)
    serve(tmp_path / "store")
    app = opened(page, charts=["classes"])
    assert not app.exception
    assert "<dt>foreground</dt>" in html(app)
    assert "<dt>confidence</dt>" not in html(app)  # a figure without a value is left out
    assert "agree</dt>" not in html(app)
    assert "No folder here is named after a class that this run's model knows" in said(app).replace("\\", "")
    app = opened(page, present=["cat"])
    assert "present=cat was left out" in said(app).replace("\\", "")


def test_two_data_sets_are_told_apart(tmp_path, serve):
    fill_store(tmp_path / "store")
    fill_store(tmp_path / "store", folder="more", pixels={"cats/a.jpg": {"cat": 50}})
    serve(tmp_path / "store")
    app = opened("Explore", path=["cats/a"])
    assert [tile["name"] for tile in component(app, "tiles")["tiles"]] == ["more: cats/a.jpg", "photos: cats/a.jpg"]
    app.pills(key="w:dataset").select("more").run()
    assert len(component(app, "tiles")["tiles"]) == 1


def test_missing_pictures_are_said_and_not_asked_for(full):
    from seglib.store.store import Store
    from tests.dashboard.conftest import id_of

    Store(full).mask_path(make_run_config().run_name, id_of("cats/a.jpg")).unlink()
    Store(full).thumbnail_path(id_of("cats/a.jpg")).unlink()
    (tile,) = component(opened("Explore", path=["cats/a"]), "tiles")["tiles"]
    assert (tile["photo"], tile["mask"]) == (None, None)


def test_no_page_holds_an_absolute_path(full):
    for title in PAGES:
        app = opened(title)
        everything = (
            html(app)
            + said(app)
            + json.dumps([json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json])
        )
        assert str(full.parent) not in everything


def test_a_file_that_changed_since_its_scan_is_noted(full):
    photo = full.parent / "photos" / "cats" / "a.jpg"
    photo.parent.mkdir(parents=True)
    photo.write_bytes(b"another picture")
    notes = {tile["name"]: tile["note"] for tile in component(opened("Explore"), "tiles")["tiles"]}
    assert notes.pop("cats/a.jpg") == "changed since its scan"
    assert set(notes.values()) == {""}
