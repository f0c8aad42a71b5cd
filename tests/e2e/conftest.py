"""A real server and a real browser. Skipped, with the reason, where Chromium is missing."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.dashboard.conftest import fill_store

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
START_SECONDS = 120


class Server:
    """`python -m dashboard` on a free port."""

    def __init__(self, store: Path, log: Path, *more: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        command = [sys.executable, "-m", "dashboard", "--store", str(store), "--port", str(self.port), *more]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=log.parent,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5) as answer,
            ):
                if answer.read() == b"ok":
                    return
            time.sleep(0.2)
        self.stop()
        pytest.fail(f"the dashboard did not start:\n{self._log.read_text()}")

    def runs(self) -> bool:
        return self._process.poll() is None

    def loaded(self) -> str:
        """The files that the server's process has mapped into its memory."""
        return Path(f"/proc/{self._process.pid}/maps").read_text()

    def memory_mb(self) -> float:
        """Resident memory of the server's process."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    def read_log(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


@pytest.fixture(scope="package")
def servers() -> Iterator[dict[tuple[Path, tuple[str, ...]], Server]]:
    """The servers that run, by their store and options."""
    running: dict[tuple[Path, tuple[str, ...]], Server] = {}
    yield running
    for server in running.values():
        server.stop()


@pytest.fixture
def start(servers, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server, unless one runs over this store already; those over a store of this test's own end with it."""

    def started(store: Path, *more: str) -> Server:
        server = servers.get((store, more))
        if server is None or not server.runs():
            server = servers[store, more] = Server(store, tmp_path / "server.log", *more)
        return server

    yield started
    for store, more in list(servers):
        if store.is_relative_to(tmp_path):
            servers.pop((store, more)).stop()


@pytest.fixture(scope="package")
def small(tmp_path_factory) -> Path:
    """A store without a net, which no test changes: six photos, one contradiction, one name full of markup."""
    store = tmp_path_factory.mktemp("small") / "small"
    fill_store(store)
    (store.parent / "photos").mkdir()  # else every page says that the folder is gone
    return store


@pytest.fixture(scope="package")
def sampled(tmp_path_factory) -> Path:
    """Where the first server finds no store, and analyses the sample."""
    return tmp_path_factory.mktemp("sampled") / "store"


@pytest.fixture(scope="package")
def chromium() -> Iterator[object]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield one
        one.close()


@pytest.fixture
def browser(chromium) -> Iterator[object]:
    """One Chromium for all; what a test opened is closed with it."""
    yield chromium
    for context in chromium.contexts:
        context.close()
