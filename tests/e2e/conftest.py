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

    def loaded(self) -> str:
        """The files that the server's process has mapped into its memory."""
        return Path(f"/proc/{self._process.pid}/maps").read_text()

    def memory_mb(self) -> float:
        """Resident memory of the server's process."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    def said(self) -> str:
        return self._log.read_text()

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start servers; all are stopped at the end."""
    servers: list[Server] = []

    def started(store: Path, *more: str) -> Server:
        servers.append(Server(store, tmp_path / "server.log", *more))
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


@pytest.fixture
def browser() -> Iterator[object]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        one = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield one
        one.close()
