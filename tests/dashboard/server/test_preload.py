"""The page says which scripts it will need, of those that are there, and where the server is."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from dashboard.server.assets import component_scripts, streamlit_assets
from dashboard.settings import ServerSettings

SCRIPTS = {
    "Html.1.js": 'import{a}from"./react.2.js";import"./purify.3.js";import("./PlotlyChart.9.js")',
    "purify.3.js": "export*from'./deep.4.js'",
    "deep.4.js": 'import {b} from "./Html.1.js";import "./gone.6.js"',
    "react.2.js": "",
    "PlotlyChart.9.js": "",
    "Unused.5.js": "",
}


@pytest.fixture(autouse=True)
def _no_components(monkeypatch):
    monkeypatch.setattr(component_scripts, "_scripts", {})


@pytest.fixture
def static(tmp_path, monkeypatch):
    folder = tmp_path / "static" / "js"
    folder.mkdir(parents=True)
    for name, text in SCRIPTS.items():
        (folder / name).write_text(text)
    (tmp_path / "index.html").write_text('<link rel="modulepreload" href="./static/js/react.2.js">')
    monkeypatch.setattr(streamlit_assets, "_STATIC", tmp_path)
    streamlit_assets.head_html.cache_clear()
    yield tmp_path
    streamlit_assets.head_html.cache_clear()


def test_what_a_script_imports_is_needed_too_but_not_what_it_may_load_later(static):
    assert streamlit_assets.find_scripts(static) == ["Html.1.js", "purify.3.js", "deep.4.js"]


def test_nothing_is_announced_where_streamlit_looks_different(tmp_path):
    assert streamlit_assets.find_scripts(tmp_path) == []


def page(_):
    return HTMLResponse("<html><head><title>a</title></head><body>ü</body></html>", headers={"etag": "x"})


@pytest.fixture
def client():
    async def streamed(_):
        parts = iter([b"<head>", b"</he", b"ad>b"])

        async def body():
            for part in parts:
                yield part

        return StreamingResponse(body(), media_type="text/html")

    routes = [
        Route("/", page, methods=["GET", "POST"]),
        Route("/text", lambda _: PlainTextResponse("</head>")),
        Route("/gone", lambda _: HTMLResponse("</head>", 404)),
        Route("/streamed", streamed),
    ]
    return TestClient(
        Starlette(
            routes=routes,
            middleware=[Middleware(streamlit_assets.PreloadMiddleware), Middleware(GZipMiddleware, minimum_size=1)],
        )
    )


HTML = {"accept": "text/html,*/*;q=0.8"}


def test_a_page_says_where_the_server_is_before_its_scripts(static, client):
    answered = client.get("/", headers=HTML | {"if-none-match": "x", "range": "bytes=0-3"})
    head, _, rest = answered.text.partition("</head>")
    assert rest == "<body>ü</body></html>"
    assert int(answered.headers["content-length"]) == len(answered.content)
    assert "etag" not in answered.headers  # of the file, which is not what came
    start, links = head.removeprefix("<html><head><title>a</title><script>window.__streamlit = ").split("</script>")
    assert start.startswith('{BACKEND_BASE_URL: location.origin + "/", HOST_CONFIG: {"allowedOrigins": ["http')
    assert links == "".join(
        f'<link rel="modulepreload" href="/static/js/{name}">' for name in ("Html.1.js", "purify.3.js", "deep.4.js")
    )


def test_a_page_that_comes_in_pieces_is_one(static, client):
    answered = client.get("/streamed", headers=HTML)
    assert answered.text.endswith("</head>b")
    assert "deep.4.js" in answered.text


def test_whatever_is_no_page_stays_as_it_is(static, client):
    assert client.get("/text", headers=HTML).text == client.get("/gone", headers=HTML).text == "</head>"
    assert "modulepreload" not in client.get("/").text  # a program that asks for anything
    assert "modulepreload" not in client.post("/", headers=HTML).text


def test_the_path_of_a_proxy_is_part_of_where_things_are(static, client, monkeypatch, tmp_path):
    for name, value in ServerSettings(store=tmp_path, photo_folders=(), base_path="/photos").to_environment().items():
        monkeypatch.setenv(name, value)
    text = client.get("/", headers=HTML).text
    assert 'location.origin + "/photos/"' in text
    assert 'href="/photos/static/js/Html.1.js"' in text


def test_no_script_is_announced_that_is_not_there(static, client):
    (static / "index.html").unlink()
    text = client.get("/", headers=HTML).text
    assert "BACKEND_BASE_URL" in text
    assert "modulepreload" not in text


def test_every_part_is_a_script_of_this_streamlit():
    found = streamlit_assets.find_scripts(streamlit_assets._STATIC)
    for part in streamlit_assets.PRELOADED_WIDGETS:
        assert any(name.startswith(f"{part}.") for name in found), part
    assert not any(name.startswith("PlotlyChart.") for name in found)  # the whole of plotly.js, which no page needs
    assert len(streamlit_assets.head_html()) < 8000
