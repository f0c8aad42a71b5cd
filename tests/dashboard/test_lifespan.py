"""The server is ready for its first visitor when it starts to answer."""

import gc
import subprocess
import sys

import pytest

from dashboard import lifespan
from dashboard.queries import photos as photo_queries
from dashboard.queries.source import RunSource, open_store
from dashboard.server import streamlit_options
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.dashboard.conftest import fill_store

START = """
import asyncio, gc, socket, sys
from dashboard import lifespan

async def start():
    assert "dashboard.views.explore" not in sys.modules
    async with lifespan.lifespan(None):
        assert "dashboard.views.explore" in sys.modules
        assert gc.get_freeze_count() > 10_000
        with socket.create_connection(listening.getsockname()):
            assert listening.accept()[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

with socket.create_server(("127.0.0.1", 0)) as listening:
    asyncio.run(start())
"""


@pytest.mark.slow
def test_pages_are_imported_and_answers_leave_at_once():
    subprocess.run([sys.executable, "-c", START], cwd=ROOT, check=True, timeout=120, capture_output=True)
    assert "lifespan=lifespan.lifespan" in (ROOT / "dashboard" / "app.py").read_text()


def test_what_is_there_at_the_start_is_not_collected_again():
    try:
        lifespan.freeze_gc()
        assert not any(one is vars(lifespan) for one in gc.get_objects())
    finally:
        gc.unfreeze()


def test_streamlit_does_not_collect_after_each_click():
    assert streamlit_options.OPTIONS["runner.postScriptGC"] is False


def test_the_newest_run_is_read_before_the_first_visitor_comes(tmp_path, monkeypatch, caplog):
    run = fill_store(tmp_path / "store")
    lifespan.start_reading(tmp_path / "store").join()
    monkeypatch.setattr(Store, "table", lambda *_, **__: pytest.fail("the table was read again"))
    _, version, _ = open_store(tmp_path / "store")
    assert photo_queries.total_images(RunSource(str(tmp_path / "store"), version, run.run)) == 6
    assert "ScriptRunContext" not in caplog.text


@pytest.mark.parametrize("content", [None, "{"])
def test_without_a_readable_store_nothing_is_read(tmp_path, content, caplog):
    if content:
        (tmp_path / "store.json").write_text(content)
    lifespan.start_reading(tmp_path).join()
    assert "ScriptRunContext" not in caplog.text
