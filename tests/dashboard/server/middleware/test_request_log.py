"""The log of requests: one line each, at the right level, without query strings."""

import logging
import re

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from dashboard.server.middleware import host_guard, request_log
from dashboard.settings import LOG_LEVELS, ServerSettings


def answer(request):
    if request.url.path == "/broken":
        raise ValueError("a fault")
    return PlainTextResponse("text")


async def greet(socket):
    await socket.accept()
    await socket.close()


@pytest.fixture
def ask(monkeypatch, tmp_path, capfd):
    """Ask for a path at a level of the log, and return its lines."""

    def asked(level: str, path: str, *, host: str = "localhost") -> list[str]:
        settings = ServerSettings(store=tmp_path, photo_folders=(), log_level=level)
        for name, value in settings.to_environment().items():
            monkeypatch.setenv(name, value)
        middleware = [
            Middleware(request_log.RequestLogMiddleware),
            Middleware(host_guard.HostGuardMiddleware, routes=[]),
        ]
        routes = [
            WebSocketRoute("/socket", greet),
            Route("/other", answer, methods=["PUT"]),
            *(Route(known, answer) for known in ("/a", "/broken", request_log.HEALTH_PATH)),
        ]
        client = TestClient(Starlette(routes=routes, middleware=middleware), raise_server_exceptions=False)
        if path == "/socket":
            try:
                with client.websocket_connect(path, headers={"host": host}):
                    pass
            except WebSocketDisconnect:
                pass
        else:
            client.get(path, headers={"host": host})
        return capfd.readouterr().err.splitlines()

    return asked


LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


@pytest.mark.parametrize(
    ("path", "host", "level", "line"),
    [
        ("/a", "localhost", "INFO", r"testclient GET /a 200 \d+ ms"),
        ("/a?where=secret", "localhost", "INFO", r"testclient GET /a 200 \d+ ms"),
        ("/a%0d%0aforged", "localhost", "WARNING", r"testclient GET /a%0D%0Aforged 404 \d+ ms"),
        ("/_stcore/health", "localhost", "DEBUG", r"testclient GET /_stcore/health 200 \d+ ms"),
        ("/other", "localhost", "WARNING", r"testclient GET /other 405 \d+ ms"),
        ("/a", "evil.example", "WARNING", r"testclient GET /a 403 \d+ ms"),
        ("/socket", "localhost", "INFO", r"testclient WEBSOCKET /socket 101 \d+ ms"),
        ("/socket", "evil.example", "WARNING", r"testclient WEBSOCKET /socket 403 \d+ ms"),
    ],
)
def test_each_request_is_one_line_from_its_level_on(ask, path, host, level, line):
    for least in LOG_LEVELS:
        lines = ask(least, path, host=host)
        if getattr(logging, least.upper()) > getattr(logging, level):
            assert lines == []
        else:
            (only,) = lines
            assert re.fullmatch(LINE + f"{level} {line}", only)


@pytest.mark.parametrize("level", LOG_LEVELS)
def test_a_fault_is_an_error_with_its_traceback(ask, level):
    first, *trace = ask(level, "/broken?a=b")
    assert re.fullmatch(LINE + r"ERROR testclient GET /broken 500 \d+ ms", first)
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[-1] == "ValueError: a fault"
