"""Overview, Explore and Image show of a prepared table what they show of one in memory; the other pages say that they
do not open.
"""

import json

import pytest
import streamlit as st

from dashboard.queries import photos as photo_queries
from dashboard.queries.prepared import tables
from dashboard.views.shared import page_header
from dashboard.workers.jobs import Jobs
from dashboard.workers.requests import PrepareRequest
from seglib.query.prepared.building import prepare
from seglib.store import schemas, tags
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, fill_store, id_of
from tests.dashboard.views.test_pages import html, opened, photos_shown, said

pytest.importorskip("duckdb", reason="the extra `large` is not installed")


@pytest.fixture(autouse=True)
def _fresh_caches():
    st.cache_data.clear()
    st.cache_resource.clear()
    tables.count_images.cache_clear()


@pytest.fixture
def large(full, monkeypatch):
    """A store with tags whose run counts as large."""
    store = Store(full)
    tags.tag(store, [id_of("cats/a.jpg"), id_of("dogs/d.jpg")], "good")
    monkeypatch.setenv("SEGLIB_LARGE_RUN", "1")
    return store


def shown(app) -> dict[str, object]:
    """All that a page shows, without the state of its widgets."""
    components = [e.proto.json for e in app.get("bidi_component") if "copy" not in e.proto.id]
    return {
        "html": html(app),
        "said": said(app),
        "components": [json.loads(one) for one in components if one],
        "frames": [frame.value.to_dict() for frame in app.dataframe],
        "options": [(box.label, box.options) for box in (*app.multiselect, *app.selectbox)],
    }


VIEWS = [
    ("Overview", {}),
    ("Overview", {"label": ["cats"], "share__cat": ["0.05..1"]}),
    ("Overview", {"tag": ["good"]}),
    ("Explore", {"sort": ["-share"], "class": ["cat"]}),
    ("Explore", {"charts": ["classes"], "where": ["share.cat > 1% or label = dogs"]}),
    ("Explore", {"charts": ["certainty"], "show": ["table"], "sort": ["confidence"]}),
    ("Explore", {"charts": ["photos"], "label": ["nothing"]}),
    ("Explore", {"charts": ["own"], "x": ["confidence"], "chart-colour": ["label"]}),
    ("Image", {}),
    ("Image", {"image": [id_of("dogs/d.jpg")], "label": ["cats"]}),
]


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_a_page_shows_the_same(large, monkeypatch, page, query):
    monkeypatch.setattr(page_header, "export_menu", lambda *_: None)
    monkeypatch.delenv("SEGLIB_LARGE_RUN")
    expected = opened(page, **query)
    monkeypatch.setenv("SEGLIB_LARGE_RUN", "1")
    prepare(large, large.run())
    _no_frames(monkeypatch)
    found = opened(page, **query)
    assert not found.exception
    assert not found.error
    assert shown(found) == shown(expected)


def _no_frames(monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("the whole table was read into memory")

    monkeypatch.setattr(Store, "table", refuse)


@pytest.mark.parametrize("page", ["Compare", "Evaluate"])
def test_other_pages_say_that_they_do_not_open(large, monkeypatch, page):
    fill_store(large.path, code_schema=2)
    for run in large.runs():
        prepare(large, run)
    _no_frames(monkeypatch)
    app = opened(page)
    assert not app.exception
    assert "a run is shown by Overview, Explore and Image, not by this page" in said(app).replace("\\", "")


def test_the_first_visit_prepares_the_table(large, monkeypatch):
    monkeypatch.setattr(Jobs, "start", lambda self, request: started.append(request))
    started: list[PrepareRequest] = []
    app = opened("Overview")
    assert not app.exception
    assert [request.run for request in started] == [large.run().run]


def test_an_earlier_table_is_shown_with_its_time(large, monkeypatch):
    prepare(large, large.run())
    fill_store(large.path, pixels={"cats/new.jpg": {"cat": 10}})
    started: list[PrepareRequest] = []
    monkeypatch.setattr(Jobs, "start", lambda self, request: started.append(request))
    app = opened("Overview")
    assert photos_shown(app) == len(PIXELS)
    assert "As of" in said(app)
    assert started
    prepare(large, large.run())
    app = opened("Overview")
    assert photos_shown(app) == len(PIXELS) + 1
    assert "As of" not in said(app)


def test_without_the_extra_a_sentence_names_it(large, monkeypatch):
    monkeypatch.setattr(tables, "find_spec", lambda _: None)
    assert "[large]" in said(opened("Overview")).replace("\\", "")


def test_a_small_run_needs_no_prepared_table(full, monkeypatch):
    monkeypatch.setattr(tables, "open_table", None)
    assert not opened("Overview").exception
    assert not Store(full).table_folder(Store(full).run().run).exists()


def test_the_ids_are_read_before_the_first_visitor_comes(large):
    prepare(large, large.run())
    photo_queries.read_newest_run(large.path)
    before, (image_id,) = schemas._read_prefixes.cache_info().misses, [id_of("cats/a.jpg")]
    assert list(large.locate_images([image_id])["path"]) == ["cats/a.jpg"]
    assert len(large.confidence_stats(large.run(), [image_id])) == 1
    assert schemas._read_prefixes.cache_info().misses == before
