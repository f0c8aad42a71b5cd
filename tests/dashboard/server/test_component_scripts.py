"""Scripts of components are sent by URL, and only the ones that are registered."""

import gzip

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from dashboard.server.assets import component_scripts, streamlit_assets
from dashboard.settings import ServerSettings

SCRIPT = "export default function () { return 'ü'; }"


@pytest.fixture
def client():
    return TestClient(Starlette(routes=component_scripts.routes))


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(component_scripts, "_scripts", {})
    return component_scripts.register_script("seglib_gallery", SCRIPT)


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_script_is_sent_and_kept_for_ever(client, registered, encoding):
    answer = client.get(registered, headers={"accept-encoding": encoding})
    assert answer.text == SCRIPT  # the client unpacks it
    assert answer.headers.get("content-encoding", "identity") == encoding
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "immutable" in answer.headers["cache-control"]
    assert gzip.decompress(component_scripts._compressed(registered)).decode() == SCRIPT


def test_another_script_has_another_address(registered):
    assert component_scripts.register_script("seglib_gallery", f"{SCRIPT} ") != registered


@pytest.mark.parametrize("name", ["", "seglib_gallery-0123456789abcdef.js", "seglib_gallery"])
def test_nothing_else_is_sent(client, registered, name):
    answer = client.get(f"/component-script/{name}")
    assert answer.status_code == 404
    assert answer.headers["cache-control"] == "no-store"


def test_the_script_of_a_component_is_named_below_the_path_of_a_proxy(registered, monkeypatch):
    settings = ServerSettings(photo_folders=(), base_path="/photos", store=ServerSettings.read().store)
    for name, value in settings.to_environment().items():
        monkeypatch.setenv(name, value)
    assert f'import(location.origin + "/photos{registered}")' in component_scripts.import_statement(registered)


def test_the_page_announces_the_scripts_of_its_first_components(registered):
    component_scripts.register_script("seglib_viewer", SCRIPT)
    streamlit_assets.head_html.cache_clear()
    head = streamlit_assets.head_html().decode()
    streamlit_assets.head_html.cache_clear()
    assert f'<link rel="modulepreload" href="{registered}">' in head
    assert "seglib_viewer" not in head
