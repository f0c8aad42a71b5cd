"""Streamlit's options: one table, in force however the server is started."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit import config

from dashboard.server import streamlit_options
from dashboard.settings import ServerSettings

SETTINGS = ServerSettings(store=Path("s"), photo_folders=(), base_path="/photos", local_only=True)


def test_streamlit_knows_every_option():
    assert set(streamlit_options.for_server(SETTINGS, "0.0.0.0", 80)) <= set(config.get_config_options())


def test_the_server_gets_its_address_and_path():
    flags = streamlit_options.to_flags(streamlit_options.for_server(SETTINGS, "0.0.0.0", 8502))
    for flag in ("--server.address=0.0.0.0", "--server.port=8502", "--server.baseUrlPath=photos"):
        assert flag in flags
    assert "--client.showErrorDetails=none" in flags
    assert "--server.enableXsrfProtection=true" in flags


@pytest.mark.parametrize(("local", "megabytes"), [(True, 500), (False, 100)])
def test_others_may_send_smaller_files(local, megabytes):
    options = streamlit_options.for_server(replace(SETTINGS, local_only=local), "127.0.0.1", 80)
    assert options["server.maxUploadSize"] == megabytes


def test_what_the_command_line_sets_stays(monkeypatch):
    given, found = {"server.address": "0.0.0.0", "theme.baseFontSize": None}, {}
    monkeypatch.setattr(config, "is_manually_set", lambda name: given.get(name) is not None)
    monkeypatch.setattr(config, "set_option", found.__setitem__)
    streamlit_options.apply()
    assert "server.address" not in found
    assert found["theme.baseFontSize"] == 15
