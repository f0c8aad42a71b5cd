"""Under which names the server answers, to whose pages, and below which path."""

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard.components import plotlyjs
from dashboard.server import media_urls
from dashboard.server.middleware import host_guard
from dashboard.settings import LOOPBACK_NAMES, ServerSettings
from seglib.store.layout import StoreLayout


def answer(request):
    return PlainTextResponse(request.scope["path"])


OWN_ROUTES = [Route(f"{prefix}{{rest:path}}", answer) for prefix in host_guard.OWN_PREFIXES]


async def greet(socket):
    await socket.accept()
    await socket.send_text("hello")


@pytest.fixture
def client(monkeypatch, tmp_path):
    def made(**more) -> TestClient:
        for name, value in ServerSettings(store=tmp_path, photo_folders=(), **more).to_environment().items():
            monkeypatch.setenv(name, value)
        routes = [Route("/{rest:path}", answer, methods=["GET", "PUT"]), WebSocketRoute("/socket", greet)]
        return TestClient(
            Starlette(routes=routes, middleware=[Middleware(host_guard.HostGuardMiddleware, routes=OWN_ROUTES)])
        )

    return made


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8501", "127.0.0.1:8501", "[::1]:8501", "LOCALHOST", "localhost."]
)
def test_a_browser_on_this_machine_is_let_in(client, host):
    assert client().get("/a", headers={"host": host}).text == "/a"


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8501",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "localhost:1.evil.example",
        "",
        "[",
    ],
)
def test_a_name_that_was_made_to_point_here_is_not_answered(client, host):
    refused = client().get("/a", headers={"host": host})
    assert (refused.status_code, refused.text.startswith("This server does not answer")) == (403, True)


def test_other_names_are_allowed_by_name_or_all_together(client):
    assert (
        client(host_names=(*LOOPBACK_NAMES, "photos.example")).get("/a", headers={"host": "photos.example"}).is_success
    )
    assert client(host_names=()).get("/a", headers={"host": "anything.example"}).is_success


@pytest.mark.parametrize(
    ("origin", "names", "let_in"),
    [
        (None, LOOPBACK_NAMES, True),
        ("http://localhost:8501", LOOPBACK_NAMES, True),
        ("http://localhost:3000", LOOPBACK_NAMES, False),  # another program's page
        ("http://127.0.0.1:8501", LOOPBACK_NAMES, False),
        ("https://evil.example", LOOPBACK_NAMES, False),
        ("https://evil.example", (), False),
        ("null", LOOPBACK_NAMES, False),
        ("https://[", LOOPBACK_NAMES, False),
        ("https://photos.example", (*LOOPBACK_NAMES, "photos.example"), True),  # a proxy that changed Host
    ],
)
def test_pages_of_other_sites_neither_connect_nor_write(client, origin, names, let_in):
    own = client(host_names=names)
    headers = {"host": "localhost:8501"} | ({"origin": origin} if origin else {})
    assert own.put("/a", headers=headers).is_success == let_in
    assert own.get("/a", headers=headers).is_success  # what they may read is the browser's to decide
    if let_in:
        with own.websocket_connect("/socket", headers=headers) as socket:
            assert socket.receive_text() == "hello"
    else:
        with pytest.raises(WebSocketDisconnect), own.websocket_connect("/socket", headers=headers):
            pass


def test_our_own_routes_are_found_below_the_path_of_a_proxy(client, monkeypatch):
    own = client(base_path="/photos")
    headers = {"host": "localhost"}
    assert own.get("/media-api/thumb/a.jpg", headers=headers).text == "/media-api/thumb/a.jpg"
    assert own.get("/photos/media-api/thumb/a.jpg", headers=headers).text == "/media-api/thumb/a.jpg"
    assert own.get(f"/photos{plotlyjs.address()}", headers=headers).text == plotlyjs.address()
    assert own.get("/photos/_stcore/health", headers=headers).text == "/photos/_stcore/health"
    assert own.get("/photosmedia-api/x", headers=headers).text == "/photosmedia-api/x"
    assert media_urls.photo_url(StoreLayout("store"), "0" * 32).startswith("/photos/media-api/")


def test_our_own_routes_are_behind_the_host_guard_and_not_behind_streamlits_layers(client):
    refused = client().get("/media-api/thumb/a.jpg", headers={"host": "evil.example"})
    assert refused.status_code == 403
    own = client()
    assert own.get("/media-apis/x", headers={"host": "localhost"}).text == "/media-apis/x"
    assert own.put("/media-api/x", headers={"host": "localhost"}).status_code == 405  # ours, which only read
