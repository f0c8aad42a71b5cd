"""Starts and stops the servers that the dashboard's benchmarks visit; measures nothing by itself."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@contextlib.contextmanager
def folder_for_stores(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        yield keep
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


class Server:
    """A process that answers at `url`."""

    def __init__(self, command: list[str], port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=5):
                return
            time.sleep(0.1)
        raise RuntimeError(f"no answer from {command}")

    def memory_mb(self, what: str = "VmRSS", program: str = "") -> float:
        """Resident memory of the server, or of its child that runs a program; `VmHWM` is the most it ever had."""
        pid = self._find_child(program) if program else self._process.pid
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))

    def _find_child(self, program: str) -> int:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                if parent == str(self._process.pid) and program in (process / "cmdline").read_text():
                    return int(process.name)
        raise RuntimeError(f"the server has started no {program}")

    def stop(self) -> None:
        os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(20)


@contextlib.contextmanager
def run_server(command: Callable[[int], list[str]]) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Server(command(port), port)
    try:
        yield server
    finally:
        server.stop()


def dashboard_command(store: Path) -> Callable[[int], list[str]]:
    return lambda port: [sys.executable, "-m", "dashboard", "--store", str(store), "--port", str(port)]
