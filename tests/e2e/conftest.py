"""A real server and a real browser. Skipped, with the reason, where Chromium is missing."""

import contextlib
import os
import random
import signal
import socket
import time
import urllib.request
from collections.abc import Callable, Container, Iterator
from pathlib import Path

import pytest

from tests.dashboard.conftest import fill_store
from tests.e2e import pages, server_process

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]
UNOPTIMISED = "--js-flags=--no-opt,--no-maglev"
"""Most pages do not live long enough for optimised code to pay."""

START_SECONDS = 120


class Server:
    """A dashboard on a free port, by default forked at once (`server_process`)."""

    def __init__(self, store: Path, log: Path, *more: str, port: int = 0) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        arguments = ["--store", str(store), "--port", str(self.port), *more]
        self._process = server_process.start_server(arguments, log.parent, log)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.runs():
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5) as answer,
            ):
                if answer.read() == b"ok":
                    return
            time.sleep(0.05)
        self.stop()
        pytest.fail(f"the dashboard did not start:\n{self._log.read_text()}")

    def runs(self) -> bool:
        return self._process.is_alive()

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
        for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, None)):
            if self.runs():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, number)
                self._process.join(seconds)


def free_port() -> int:
    """One that the system gives to no connection, so that it stays free while its server is stopped."""
    while True:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Servers:
    """The servers of a worker. They share a few ports: at an address where Streamlit ran before, the browser has its
    scripts already, and compiled.
    """

    def __init__(self, ports: int) -> None:
        self._at: dict[int, tuple[Path, tuple[str, ...], Server] | None] = dict.fromkeys(
            free_port() for _ in range(ports)
        )
        """By port, the one used last at the end."""

    def find(self, store: Path, more: tuple[str, ...]) -> Server | None:
        """The server over this store with these options, if it runs."""
        for port, known in self._at.items():
            if known and known[:2] == (store, more) and known[2].runs():
                self._at[port] = self._at.pop(port)
                return known[2]
        return None

    def start(self, store: Path, log: Path, more: tuple[str, ...], in_use: Container[Server]) -> Server:
        """Start one at the port that was not used for the longest time; its server, if not in use, is stopped."""
        port = next((port for port, known in self._at.items() if not known or known[2] not in in_use), 0) or free_port()
        if known := self._at.pop(port, None):
            known[2].stop()
        server = Server(store, log, *more, port=port)
        self._at[port] = store, more, server
        return server

    def stop(self, below: Path) -> None:
        """Stop those over stores below this folder."""
        for port, known in self._at.items():
            if known and known[0].is_relative_to(below):
                known[2].stop()
                self._at[port] = None


@pytest.fixture(scope="package")
def servers() -> Iterator[Servers]:
    some = Servers(ports=2)
    yield some
    some.stop(Path("/"))


@pytest.fixture
def start(servers: Servers, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Start a server, unless one runs over this store already; those over a store of this test's own end with it."""
    used: list[Server] = []

    def started(store: Path, *more: str) -> Server:
        living = [server for server in used if server.runs()]
        server = servers.find(store, more) or servers.start(store, tmp_path / "server.log", more, living)
        used.append(server)
        return server

    yield started
    servers.stop(tmp_path)


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
        one = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, UNOPTIMISED])
        one.new_context(reduced_motion="reduce")
        yield one
        one.close()


@pytest.fixture
def browser(chromium) -> Iterator[object]:
    """One Chromium for all. What a test opened is closed with it, but for some pages that the next test gets: see
    `pages`.
    """
    yield chromium
    shared, *others = chromium.contexts
    for context in others:
        context.close()
    pages.keep_some(shared)
