"""Command-line launcher: `python -m dashboard` starts the server, `python -m dashboard report` writes a report.

If the store holds no run, the sample photos are first analysed with each embedded model, into the store of the demo and
in a separate process, so that the server never loads a model. Errors are printed as one sentence; exit codes: 2 for a
usage error, 1 for a failure.
"""

import argparse
import errno
import json
import math
import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from dashboard.offers.models import resolve_model
from dashboard.report import command as report_command
from dashboard.settings import DEFAULT_STORE, LOG_LEVELS, LOOPBACK_NAMES, ROOT, SAMPLE, ServerSettings, default_folder
from dashboard.state.shown_store import has_run
from seglib.data.buckets.address import looks_like_address
from seglib.data.scan import STORE_MARKER, scan
from seglib.errors import DatasetError, SegError, UsageError
from seglib.fileio.console import prepare_console, restart_in_utf8
from seglib.models.registry import DEFAULT_MODEL, MODELS
from seglib.store.layout import refuse_address
from seglib.store.store import Store

SUGGESTED_FOLDER = "test_set"
"""If `--data` has a subfolder of this name, the launcher suggests analysing it once the sample has shown how fast this
machine is.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the launcher and return the exit code; blocks while the server runs."""
    if argv is None:
        restart_in_utf8()
    prepare_console()
    command_line = list(sys.argv[1:] if argv is None else argv)
    if command_line[:1] == [report_command.NAME]:
        return report_command.main(command_line[1:])
    arguments = parser().parse_args(command_line)
    try:
        settings = _settings(arguments)
        _check_address(arguments.host, arguments.port)
        _check_store(settings.store)
        if not has_run(settings.store):
            _make_demo(settings)
    except SegError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("dashboard: Stopped; what was committed is kept, and the same command continues.", file=sys.stderr)
        return 130
    if not settings.folders_named:
        print(f"Photos of yours are looked for in {settings.photo_folders[0]}.", flush=True)
    return _serve(settings, arguments.host, arguments.port)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="seglib dashboard" if Path(sys.argv[0]).stem == "seglib" else "python -m dashboard",
        description="Show in the browser what a segmentation network saw in your photos. "
        "Until there are photos of yours, the pages show a demo on the sample photos. "
        "python -m dashboard report --help tells how to write a report into a file.",
        epilog="example: python -m dashboard ~/photos --store output --port 8502",
    )
    top.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="folder whose photos visitors may have analysed; the first is suggested (default: those in dataset, in "
        "the current folder)",
    )
    top.add_argument(
        "--data",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="the same as FOLDER, repeatable; photos that visitors of Try keep are written below the first folder",
    )
    top.add_argument(
        "--models",
        action="append",
        default=[],
        metavar="FOLDER",
        help="folder whose models visitors may run: checkpoints, Hugging Face and smp folders, .onnx, .xml and .pt2 "
        "files; or one model as run --model takes it, which is the only way to offer own code; repeatable",
    )
    top.add_argument(
        "--store",
        type=Path,
        default=Path(DEFAULT_STORE),
        metavar="S",
        help=f"default {DEFAULT_STORE}, created if needed",
    )
    top.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default 127.0.0.1: this machine only); any other lets everyone who can reach "
        "this machine see the photos and start and delete runs, without a password",
    )
    top.add_argument("--port", type=_port, default=8501, help="default 8501")
    top.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="also answer to this host name, as behind a reverse proxy; repeatable (default: "
        "only the names of this machine itself, and with another --host any name)",
    )
    top.add_argument(
        "--base-path",
        type=_base_path,
        default="",
        metavar="PATH",
        help="path below which a reverse proxy shows the dashboard, such as /photos (default: none)",
    )
    top.add_argument(
        "--log-level",
        choices=LOG_LEVELS,
        default="warning",
        help="what is logged on standard error: faults (error), also refused and unknown addresses (warning, the "
        "default), every request (info), also checks of /_stcore/health (debug)",
    )
    return top


def _base_path(text: str) -> str:
    if text and not re.fullmatch(r"/?[\w-]+(/[\w-]+)*/?", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a path such as /photos, not {text!r}")
    return text and "/" + text.strip("/")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"expected a number from 1 to 65535, not {text!r}")
    return int(text)


def _settings(arguments: argparse.Namespace) -> ServerSettings:
    """Return the settings with all paths resolved."""
    refuse_address(arguments.store)
    named = [*arguments.folders, *arguments.data]
    for folder in named:
        if looks_like_address(str(folder)):
            raise UsageError(
                "Photos on object storage are analysed by `python -m seglib run s3://bucket/prefix`: name its store "
                "here with --store, and their pages show them."
            )
        if not folder.is_dir():
            raise UsageError(f"{str(folder)!r} is not a folder: name one that holds photos.")
    loopback_names = LOOPBACK_NAMES if arguments.host in LOOPBACK_NAMES or arguments.allow_host else ()
    return ServerSettings(
        store=arguments.store.resolve(),
        photo_folders=tuple(dict.fromkeys(folder.resolve() for folder in named or [default_folder()])),
        folders_named=bool(named),
        models=tuple(map(resolve_model, arguments.models)),
        host_names=(*loopback_names, *(name.lower() for name in arguments.allow_host)),
        base_path=arguments.base_path,
        log_level=arguments.log_level,
        picks_file=ServerSettings.read().picks_file,
        local_only=arguments.host in LOOPBACK_NAMES and not (arguments.allow_host or arguments.base_path),
    )


def _check_address(host: str, port: int) -> None:
    """Check that the address is available before any work is done. Raises `UsageError` or `SegError`."""
    try:
        family, kind, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror:
        raise UsageError(f"{host!r} is not an address of this machine: the usual --host is 127.0.0.1.") from None
    except PermissionError:
        raise UsageError(f"Port {port} is reserved by the system: name one above 1023 with --port.") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SegError(
                f"Port {port} of {host} is taken: name another, such as --port {port % 65535 + 1}."
            ) from None
        raise UsageError(f"The server cannot listen on {host} ({error.strerror}): use --host 127.0.0.1.") from None
    if not _is_loopback(str(address[0])):
        print(
            f"Listening on {host}: everyone who can reach this machine on port {port} can look at the photos and "
            "figures of this store, start and delete runs, and keep uploads; there is no password and no encryption."
        )


def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


# --- the first analysis ------------------------------------------------------------------------------------------


def _check_store(path: Path) -> None:
    """Raise `StoreError` for a store of a newer version; Runs reports runs that cannot be read."""
    if (path / STORE_MARKER).exists():
        Store(path)


def _make_demo(settings: ServerSettings) -> None:
    """Analyse the sample photos into the demo's store, unless that is done; the server starts without them too."""
    if has_run(settings.demo.store):
        return
    if not SAMPLE.is_dir():
        print("The sample photos are not here, so there is no demo; add photos of yours on the page Runs.")
        return
    print("There are no photos of yours yet: analysing the sample photos for a demo.", flush=True)
    try:
        reports = run_sample(settings.demo.store)
    except SegError as error:
        print(f"dashboard: {error}", file=sys.stderr, flush=True)
        return
    seconds, names = sum(report["seconds"] for report in reports), " and ".join(report["model"] for report in reports)
    print(f"{reports[-1]['computed']} photos analysed in {seconds:.1f} s with {names}.", flush=True)
    for folder in settings.photo_folders:
        _print_suggestion(folder / SUGGESTED_FOLDER, settings.store, float(reports[-1]["images_per_second"]))


def run_sample(store: Path) -> list[dict[str, Any]]:
    """Run each embedded model on the sample and return the reports of `seglib run`.

    The default model runs last, since the pages open with the latest run. Progress is printed to the terminal.
    """
    embedded = sorted((spec.name for spec in MODELS.values() if spec.source == "embedded"), key=DEFAULT_MODEL.__eq__)
    models = (word for name in embedded for word in ("--model", name))
    command = [sys.executable, "-m", "seglib", "run", str(SAMPLE), "--store", str(store), "--json", *models]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH", ""))))
    done = subprocess.run(  # noqa: S603 - our own program on our own folder
        command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}, check=False
    )
    if done.returncode:
        raise SegError("The sample photos could not be analysed, see above: there is no demo.")
    return [json.loads(line) for line in done.stdout.splitlines()]


def _print_suggestion(folder: Path, store: Path, images_per_second: float) -> None:
    """Print the command and the time to analyse this folder, if it exists."""
    try:
        number = len(scan(folder)) if folder.is_dir() else 0
    except DatasetError:
        return
    if number and images_per_second > 0:
        minutes = math.ceil(number / images_per_second / 60)
        command = shlex.join(["python", "-m", "seglib", "run", str(folder), "--store", str(store)])
        print(f"There are {number:,} photos in {folder.name}; in at most about {minutes} min they are analysed by:")
        print(f"    {command}", flush=True)


# --- the server --------------------------------------------------------------------------------------------------


def _serve(settings: ServerSettings, host: str, port: int) -> int:
    from streamlit.web import cli

    from dashboard.server.streamlit_options import for_server, to_flags

    os.environ.update(settings.to_environment())
    app = Path(__file__).with_name("app.py")
    try:
        cli.main(["run", str(app), *to_flags(for_server(settings, host, port))])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    sys.exit(main())
