"""Command line of `python -m dashboard report`: write the report of a store to one HTML file.

Prints one line about the file. Counts that the runs still lack are computed first.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dashboard.formatting import byte_size
from dashboard.settings import DEFAULT_STORE
from seglib.errors import SegError, UsageError

if TYPE_CHECKING:
    from seglib.progress import Progress

NAME = "report"


def main(argv: Sequence[str]) -> int:
    """Run the command and return its exit code; `argv` holds the arguments after the command name."""
    arguments = parser().parse_args(argv)
    try:
        _write(arguments)
    except SegError as error:
        print(f"dashboard: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("dashboard: Stopped; what was counted is kept, and the same command continues.", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    parser_ = argparse.ArgumentParser(
        prog=f"python -m dashboard {NAME}",
        description="Write one HTML file with figures, charts and photos of runs. It opens offline, without seglib.",
        epilog="example: python -m dashboard report --out report.html --store output",
    )
    parser_.add_argument("--out", type=Path, required=True, metavar="FILE", help="the HTML file to write")
    parser_.add_argument(
        "--store", type=Path, default=Path(DEFAULT_STORE), metavar="S", help=f"default {DEFAULT_STORE}"
    )
    parser_.add_argument(
        "--runs",
        nargs="+",
        default=[],
        metavar="RUN",
        help=(
            "one run alone, or several to compare (default: the most recently used and those that share photos with it)"
        ),
    )
    parser_.add_argument(
        "--where",
        metavar="EXPR",
        help="only photos for which it holds in the first run: an expression, or the filter part of a page's URL",
    )
    parser_.add_argument("--view", metavar="NAME", help="photos of a saved view, of which --where chooses a part")
    parser_.add_argument(
        "--truth", default="", metavar="NAME", help="name or id of an evaluated truth (default: that of most photos)"
    )
    parser_.add_argument(
        "--by", default="", metavar="FIELD", help="also measure slices of the photos: label, dominant, column.camera"
    )
    return parser_


def _write(arguments: argparse.Namespace) -> None:
    from dashboard import report
    from seglib.evaluation import comparison
    from seglib.query import export
    from seglib.query.expressions.where import choose_filters
    from seglib.store.store import Store

    if arguments.out.is_dir():
        raise UsageError(f"{str(arguments.out)!r} is a folder: name the file to write with --out.")
    store = Store(arguments.store)
    filters, run = choose_filters(store, arguments.where, arguments.view)
    runs = tuple(dict.fromkeys(arguments.runs)) or ((run,) if run else report.default_runs(store))
    if 1 < len(runs) <= report.MAX_RUNS:
        done = comparison.update_counts(store, runs, on_progress=_ProgressLine().show)
        if done.failed:
            print(f"{len(done.failed)} photos are left out: a mask is missing or damaged.", file=sys.stderr)
    body = report.build_report(store, runs, filters, truth_name=arguments.truth, by=arguments.by)
    export.write_file(arguments.out, body)
    print(f"{arguments.out.name}: {byte_size(len(body))}, of {len(runs)} run{'' if len(runs) == 1 else 's'}")


class _ProgressLine:
    """Progress line on a terminal; silent if the output is not a terminal."""

    def __init__(self) -> None:
        self._printed = 0

    def show(self, progress: "Progress") -> None:
        step = max(1, progress.total // 100)
        if sys.stderr.isatty() and (progress.done - self._printed >= step or progress.done == progress.total):
            self._printed = progress.done
            end = "\n" if progress.done == progress.total else ""
            print(f"\rcounting {progress.done} of {progress.total} photos", end=end, file=sys.stderr, flush=True)
