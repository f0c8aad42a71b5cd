"""The page announces the scripts that it will need, and only those that are there."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard import preload

SCRIPTS = {
    "Html.1.js": 'import{a}from"./react.2.js";import"./purify.3.js";import("./PlotlyChart.9.js")',
    "purify.3.js": "export*from'./deep.4.js'",
    "deep.4.js": 'import {b} from "./Html.1.js";import "./gone.6.js"',
    "react.2.js": "",
    "PlotlyChart.9.js": "",
    "Unused.5.js": "",
}


@pytest.fixture
def static(tmp_path, monkeypatch):
    folder = tmp_path / "static" / "js"
    folder.mkdir(parents=True)
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    (tmp_path / "index.html").write_text('<link rel="modulepreload" href="./static/js/react.2.js">')
    monkeypatch.setattr(preload, "_STATIC", tmp_path)
    preload.header.cache_clear()
    yield tmp_path
    preload.header.cache_clear()


def test_what_a_script_imports_is_needed_too_but_not_what_it_may_load_later(static):
    assert preload.scripts(static) == ["Html.1.js", "purify.3.js", "deep.4.js"]


def test_nothing_is_announced_where_streamlit_looks_different(tmp_path):
    assert preload.scripts(tmp_path) == []


def test_only_pages_announce(static):
    routes = [Route("/", lambda _: HTMLResponse("<p>")), Route("/text", lambda _: PlainTextResponse("<p>"))]
    client = TestClient(Starlette(routes=routes, middleware=[Middleware(preload.Preload)]))
    links = client.get("/").headers["link"].split(", ")
    assert links[0] == "</static/js/Html.1.js>; rel=modulepreload; fetchpriority=low"
    assert len(links) == 3
    assert "link" not in client.get("/text").headers


def test_no_header_says_nothing(static):
    (static / "index.html").unlink()
    client = TestClient(
        Starlette(routes=[Route("/", lambda _: HTMLResponse("<p>"))], middleware=[Middleware(preload.Preload)])
    )
    assert "link" not in client.get("/").headers


def test_every_part_is_a_script_of_this_streamlit():
    found = preload.scripts(preload._STATIC)
    for part in preload.PARTS:
        assert any(name.startswith(f"{part}.") for name in found), part
    assert not any(name.startswith("PlotlyChart.") for name in found)  # the whole of plotly.js, which no page needs
    assert len(preload.header()) < 8000
