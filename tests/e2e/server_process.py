"""A server of the dashboard that starts at once: forked from a process that has imported what every server imports.

`python -m dashboard` spends most of its start on these imports (`preloaded`). The other half of its command line, from
the arguments on, is the same.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from functools import lru_cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.e2e.preloaded"])
    return context


def start_server(arguments: Sequence[str], folder: Path, log: Path) -> ForkServerProcess:
    """Start `python -m dashboard` with these arguments in this folder; what it prints is appended to the log."""
    os.environ["PYTHONPATH"] = str(ROOT)  # where the forking process, too, finds what it imports
    process = _context().Process(target=_serve, args=(list(arguments), folder, log, dict(os.environ)))
    process.start()
    return process


def _serve(arguments: list[str], folder: Path, log: Path, environment: dict[str, str]) -> None:
    os.setsid()
    printed = os.open(log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
    os.dup2(printed, 1)
    os.dup2(printed, 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    from dashboard.__main__ import main

    sys.exit(main(arguments))
