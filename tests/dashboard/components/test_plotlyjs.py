"""The script of the charts: the makers' own file, at an address that changes with it."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.components import plotlyjs
from tests.conftest import ROOT


@pytest.fixture
def client():
    return TestClient(Starlette(routes=plotlyjs.routes))


def test_it_is_served_as_it_is_and_for_ever(client):
    for encoding in ("gzip", "identity"):
        answer = client.get(plotlyjs.address(), headers={"accept-encoding": encoding})
        assert answer.content == plotlyjs.FILE.read_bytes()  # the client unpacks it
        assert answer.headers["content-type"].startswith("text/javascript")
        assert "immutable" in answer.headers["cache-control"]
        assert answer.headers.get("content-encoding", "identity") == encoding


def test_it_is_packed_once(client):
    assert plotlyjs._compressed() is plotlyjs._compressed()
    assert gzip.decompress(plotlyjs._compressed()) == plotlyjs.FILE.read_bytes()
    assert len(plotlyjs._compressed()) < 450_000


@pytest.mark.parametrize("name", ["0123456789abcdef.js", "", "../plotlyjs/LICENSE.txt", "plotly-basic.min.js"])
def test_nothing_else_is_there(client, name):
    assert client.get(f"/chart-script/{name}").status_code == 404


def test_it_names_its_makers_and_licence():
    head = plotlyjs.FILE.read_text("utf-8")[:300]
    assert "plotly.js (basic - minified) v4.1.1" in head
    assert "MIT" in head
    assert "plotly" in (ROOT / "dashboard" / "components" / "plotlyjs" / "LICENSE.txt").read_text("utf-8").lower()
