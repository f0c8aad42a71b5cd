"""Connect this process to a Ray cluster, or start one on this machine, and leave it again."""

import contextlib
import importlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from seglib.errors import SegError, UsageError
from seglib.progress import OnNote

LOOPBACK = "127.0.0.1"

_CONNECT_SECONDS = 10
_HEALTH_SECONDS = 30
_WATCH_SECONDS = 5
_MOST_SIGNS = 300
_WITHOUT_CLUSTERS = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # 0: Ray binds and finds the loopback address alone
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # an error line for every pool of actors is wrong (ray-project/ray#53727)
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}


def import_ray() -> Any:
    """The module `ray`. Raises `SegError` if the extra is not installed."""
    try:
        importlib.import_module("ray.data")
    except ImportError:
        raise SegError("`on` ray needs Ray, which is not installed here: pip install '.[ray]'.") from None
    return importlib.import_module("ray")


@contextlib.contextmanager
def connect(address: str | None, on_note: OnNote | None = None) -> Iterator[Any]:
    """Yields the module `ray`, connected to the cluster at `HOST:PORT`.

    Without an address: to the cluster that this process is connected to already, else the one that RAY_ADDRESS or
    `ray start` on this machine names, else a new one that listens on the loopback address only and ends with the block.
    Meanwhile, what anything writes to standard output goes to standard error, since Ray writes its log to both.

    Raises `SegError` if the cluster does not answer, or runs another version of Ray or Python.
    """
    with _set_environment(), _stdout_to_stderr():
        ray = import_ray()
        if ray.is_initialized():
            if address is not None:
                raise UsageError("This process is connected to a Ray cluster already: take `on` ray for that one.")
            yield ray
            return
        found = _find_cluster(address)
        if found is None and on_note is not None:
            on_note("No Ray cluster is running: starting one on this machine, which others cannot reach.")
        try:
            with _keep_signal_handlers(), _silence_stderr():
                _start(ray) if found is None else _join(ray, found)
            with _watch_head(ray.get_runtime_context().gcs_address, on_note):
                yield ray
        finally:
            ray.shutdown()


def _find_cluster(address: str | None) -> str | None:
    """`HOST:PORT` of the cluster to connect to, which answers; None if there is none. Raises `SegError`."""
    from ray._private import services

    try:
        found: str | None = services.canonicalize_bootstrap_address(address)  # type: ignore[arg-type]
    except Exception as error:  # Ray raises several kinds
        raise SegError(f"The address of the Ray cluster cannot be read: {say_shortly(str(error))}") from None
    if found is None:
        return None
    try:
        _check_listens(found)
    except OSError as error:
        if isinstance(error, ConnectionRefusedError) and address is None and not os.environ.get("RAY_ADDRESS"):
            return None  # Ray remembers a cluster of this machine that is gone
        raise SegError(
            f"No Ray cluster answers at {address or found} ({error.strerror or error}): name the address of its head, "
            "with the port of its GCS, usually 6379."
        ) from None
    _check_health(found, address or found)
    return found


def _check_listens(address: str) -> None:
    """Raise `OSError` unless something does."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
        pass


def _check_health(address: str, shown: str) -> None:
    """Raise `SegError` unless it is the head of a cluster with this version of Ray: `ray.init` may end the process."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check"]
    environment = os.environ | {"RAY_ADDRESS": address}
    try:
        asked = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, timeout=_HEALTH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise SegError(
            f"What answers at {shown} is no head of a Ray cluster: name the port of its GCS, usually 6379."
        ) from None
    if asked.returncode:
        raise _describe_refusal(shown, asked.stderr)


def _join(ray: Any, address: str) -> None:
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # a RuntimeError for another version, a ConnectionError, and others
        raise _describe_refusal(address, str(error) or type(error).__name__) from None


def _describe_refusal(address: str, said: str) -> SegError:
    if "AuthenticationError" in said:
        return SegError(
            f"The Ray cluster at {address} asks for a token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH to the cluster's."
        )
    return SegError(f"The Ray cluster at {address} cannot be used: {say_shortly(said)}")


def _start(ray: Any) -> None:
    """Start a cluster of this machine alone. Raises `SegError` if it could be reached by others."""
    from ray._private import ray_constants

    os.environ[_WITHOUT_CLUSTERS] = "0"  # for the processes of Ray
    ray_constants.ENABLE_RAY_CLUSTER = False  # what was read when ray was imported
    ray.init("local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    if {node["NodeManagerAddress"] for node in ray.nodes()} != {LOOPBACK}:
        raise SegError("Ray does not keep to the loopback address of this machine: start a cluster with `ray start`.")


@contextlib.contextmanager
def _watch_head(address: str, on_note: OnNote | None) -> Iterator[None]:
    """Say so if the head of the cluster is gone: a minute later, Ray ends this process without a word."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(_WATCH_SECONDS):
            try:
                _check_listens(address)
            except OSError:
                if on_note is not None and not left.is_set():
                    on_note(
                        f"The head of the Ray cluster at {address} no longer answers. Unless it comes back within a "
                        "minute, this process ends; what was committed is kept, and the same command continues."
                    )
                return

    threading.Thread(target=watch, name="seglib-ray-head", daemon=True).start()
    try:
        yield
    finally:
        left.set()


@contextlib.contextmanager
def _set_environment() -> Iterator[None]:
    """Set what Ray reads from the environment, unless it is set; at the end, remove it and what Ray itself has set."""
    before = dict(os.environ)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_") and name not in before]:
            del os.environ[name]


@contextlib.contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Point file descriptor 1 to standard error: Ray's processes and its C++ code write to it directly."""
    sys.stdout.flush()
    stdout = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(stdout, 1)
        os.close(stdout)


@contextlib.contextmanager
def _silence_stderr() -> Iterator[None]:
    """Ray's C++ code reports there that it reads RAY_BACKEND_LOG_LEVEL; what goes wrong is raised."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextlib.contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def say_shortly(said: str) -> str:
    """What Ray said, as the end of a sentence: the last line of a traceback, or of several lines."""
    lines = [line.strip() for line in said.splitlines() if line.strip()] or ["it does not say why"]
    return lines[-1][:_MOST_SIGNS]
