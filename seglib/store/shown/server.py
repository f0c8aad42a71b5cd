"""Start a dashboard as a process of its own, on this machine only, and stop it with this program (`Dashboard`)."""

import atexit
import contextlib
import http.client
import importlib.util
import os
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from seglib.errors import SegError
from seglib.fileio.atomic import replacing

PICKS_VARIABLE = "SEGLIB_DASHBOARD_PICKS"
"""The environment variable that names the file where a dashboard keeps the ids of picked photos: Parquet, one column
`image_id`, in the order in which they were picked.
"""

START_SECONDS = 600.0
"""How long a start may take: on a store without a run, the sample photos are analysed first."""

_HOST = "127.0.0.1"


class Dashboard:
    """A dashboard that this program has started. It listens on this machine only, and ends with this program.

    Attributes:
        address: What to open in a browser.
        port: The port of that address.
    """

    def __init__(self, store: Path, port: int | None) -> None:
        found = importlib.util.find_spec("dashboard")
        if found is None or found.origin is None:
            raise SegError("The dashboard is not installed beside seglib: install the whole project.")
        root = str(Path(found.origin).parents[1])  # in a checkout, the process finds it nowhere else
        self._folder = tempfile.TemporaryDirectory(prefix="seglib-dashboard-", ignore_cleanup_errors=True)
        self._picks, self._log = (Path(self._folder.name) / name for name in ("picks.parquet", "log.txt"))
        self.port = port or _free_port()
        self.address = f"http://{_HOST}:{self.port}"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "dashboard", "--store", str(store), "--port", str(self.port)],
                env={
                    **os.environ,
                    "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
                    PICKS_VARIABLE: str(self._picks),
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        atexit.register(self.stop)

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> None:
        """Wait until the dashboard answers. Raises `SegError` with its last line if it ends instead."""
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if not self.is_running:
                lines = self._log.read_text("utf-8", "replace").strip().splitlines()
                raise SegError(lines[-1].removeprefix("dashboard: ") if lines else "The dashboard has ended at once.")
            if time.monotonic() > deadline:
                self.stop()
                raise SegError(f"The dashboard has not started within {START_SECONDS:.0f} seconds.")
            time.sleep(0.1)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection(_HOST, self.port, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/_stcore/health")
            return connection.getresponse().status == 200
        return False

    def picked_ids(self) -> pa.Array:
        """The ids of the photos that were picked last, on any page of this dashboard; string (N,)."""
        if not self._picks.exists():
            return pa.array([], pa.string())
        return pq.read_table(self._picks)["image_id"].combine_chunks()

    def stop(self) -> None:
        """End the dashboard; does nothing if it has ended already."""
        atexit.unregister(self.stop)
        if self.is_running:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __repr__(self) -> str:
        return f"{self.address} ({'running' if self.is_running else 'stopped'})"

    def _repr_html_(self) -> str:
        return f"<a href='{self.address}' target='_blank' rel='noopener'>{self.address}</a>"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        number: int = probe.getsockname()[1]
        return number


def open_in_browser(address: str) -> None:
    """Open a window of the default browser, if this machine has a display; a browser in the terminal is left closed."""
    has_display = sys.platform in ("win32", "darwin") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    if has_display:
        webbrowser.open(address)


def write_picks(file: Path, image_ids: pa.Array) -> None:
    """What `Dashboard.picked_ids` reads; called by the dashboard."""
    with replacing(file) as temporary:
        pq.write_table(pa.table({"image_id": image_ids}), temporary)
