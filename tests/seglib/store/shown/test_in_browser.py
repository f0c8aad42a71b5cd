"""`Store.show` and `Store.selection`: a real dashboard process, without a browser."""

import socket
import subprocess
import sys
import urllib.request

import pyarrow as pa
import pytest

import seglib
from seglib.errors import SegError, UsageError
from seglib.store.shown import in_browser, server
from seglib.store.store import Store
from tests.conftest import ROOT
from tests.dashboard.conftest import fill_store, id_of


@pytest.fixture
def store(tmp_path):
    fill_store(tmp_path / "store")
    return seglib.open(tmp_path / "store")


@pytest.fixture
def never_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(server.webbrowser, "open", opened.append)
    return opened


@pytest.mark.slow
def test_a_store_is_shown_once_and_ends_with_the_program(store, never_opened, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    shown = store.show()
    try:
        with urllib.request.urlopen(f"{shown.address}/_stcore/health", timeout=10) as answer:
            assert answer.read() == b"ok"
        assert shown.address.startswith("http://127.0.0.1:")
        assert Store(store.path).show() is store.show(shown.port) is shown
        with pytest.raises(UsageError, match=f"shown at {shown.address} already"):
            store.show(shown.port + 1)
        assert shown.address in repr(shown)
        assert f"href='{shown.address}'" in shown._repr_html_()
        assert list(store.selection().columns) == ["dataset", "path", "label", "image_id"]
        assert len(store.selection()) == 0
        assert never_opened == []
        monkeypatch.setenv("DISPLAY", ":0")
        store.show()
        assert never_opened == [shown.address]
    finally:
        shown.stop()
    assert not shown.is_running
    assert "stopped" in repr(shown)
    shown.stop()  # which is no fault


@pytest.mark.slow
def test_a_dashboard_ends_with_the_program_that_started_it(store):
    code = "import seglib, sys; print(seglib.open(sys.argv[1]).show(open_browser=False).address)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(store.path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    port = int(done.stdout.strip().rpartition(":")[2])
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_a_sentence(store):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SegError, match=f"{port}"):
            store.show(port, open_browser=False)


def test_what_is_picked_is_read_back_in_order_with_every_file_of_a_photo(store, tmp_path, monkeypatch):
    class Shown:
        def picked_ids(self):
            return pa.array([id_of("dogs/d.jpg"), id_of("cats/a.jpg"), "0" * 64])

    monkeypatch.setitem(in_browser._started, store.path.resolve(), Shown())
    assert store.selection()[["path", "label"]].to_numpy().tolist() == [["dogs/d.jpg", "dogs"], ["cats/a.jpg", "cats"]]


def test_without_a_dashboard_nothing_can_be_picked(store):
    with pytest.raises(UsageError, match=r"call show\(\), and pick"):
        store.selection()


def test_picks_are_kept_in_a_file_that_is_replaced_whole(tmp_path):
    server.write_picks(tmp_path / "picks.parquet", pa.array(["b", "a"]))
    server.write_picks(tmp_path / "picks.parquet", pa.array([], pa.string()))
    assert [path.name for path in tmp_path.iterdir()] == ["picks.parquet"]


def test_without_the_dashboard_it_says_so(store, monkeypatch):
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(SegError, match="not installed beside seglib"):
        store.show()
