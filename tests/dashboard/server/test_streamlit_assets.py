"""Streamlit's own files are answered at once, and just as Streamlit would answer."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from streamlit import file_util
from streamlit.web.server.starlette.starlette_static_routes import create_streamlit_static_handler

from dashboard.server.assets import streamlit_assets
from dashboard.settings import ServerSettings

SCRIPT, STYLE, FONT = (
    next(path for path in sorted(streamlit_assets.ASSET_FOLDER.rglob(wanted)))
    .relative_to(streamlit_assets.ASSET_FOLDER)
    .as_posix()
    for wanted in ("Html.*.js", "index.*.css", "MaterialSymbols*.woff2")
)


@pytest.fixture
def client(monkeypatch, tmp_path):
    def made(base: str = "") -> TestClient:
        for name, value in ServerSettings(store=tmp_path, photo_folders=(), base_path=base).to_environment().items():
            monkeypatch.setenv(name, value)
        routes = [Route("/{rest:path}", lambda _: PlainTextResponse("streamlit"), methods=["GET", "POST"])]
        return TestClient(Starlette(routes=routes, middleware=[Middleware(streamlit_assets.AssetMiddleware)]))

    return made


@pytest.mark.parametrize("name", [SCRIPT, STYLE, FONT])
def test_a_file_comes_as_streamlit_sends_it(client, name):
    ours = client().get(f"/static/{name}")
    theirs = TestClient(create_streamlit_static_handler(file_util.get_static_dir(), "")).get(f"/static/{name}")
    assert ours.content == theirs.content == (streamlit_assets.ASSET_FOLDER / name).read_bytes()
    same = ("content-length", "cache-control")
    assert [ours.headers[header] for header in same] == [theirs.headers[header] for header in same]
    kinds = [answered.headers["content-type"].replace("application/java", "text/java") for answered in (ours, theirs)]
    assert kinds[0].split(";")[0] == kinds[1].split(";")[0]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/js/unknown.AAAAAAAA.js",
        "/static/../index.html",
        "/static/js/../../index.html",
        "/static//js",
        f"/static/{SCRIPT}/",
        f"/photos/static/{SCRIPT}",
        "/static/media/balloon-0.Czj7AKwE.png",
    ],
)
def test_whatever_is_no_such_file_goes_on(client, path):
    assert client().get(path).text == "streamlit"


def test_only_reading_is_answered(client):
    assert client().post(f"/static/{SCRIPT}").text == "streamlit"


def test_below_the_path_of_a_proxy(client):
    assert (
        client("/photos").get(f"/photos/static/{SCRIPT}").content
        == (streamlit_assets.ASSET_FOLDER / SCRIPT).read_bytes()
    )


def test_a_file_that_has_gone_is_left_to_streamlit(client, tmp_path, monkeypatch):
    monkeypatch.setattr(streamlit_assets, "ASSET_FOLDER", tmp_path)
    file = tmp_path / "js" / "a.12345678.js"
    file.parent.mkdir()
    file.write_text("a")
    own = client()
    assert own.get("/static/js/a.12345678.js").text == "a"
    file.unlink()
    assert own.get("/static/js/a.12345678.js").text == "streamlit"
