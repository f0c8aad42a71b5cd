"""Entry point of the command line, `python -m seglib COMMAND ...`: a thin layer over the library.

Results go to stdout as text, or with --json as one object per line and nothing else; progress and messages go to
stderr. Exit codes: 0 ok, 1 failed, 2 usage, 130 Ctrl-C, 143 SIGTERM. An error is reported as one sentence. The commands
are in the other modules of this package.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from seglib import __version__
from seglib.cli import dashboard, dataset, evaluate, export, models, predict, run, store, train
from seglib.cli.columns import commands as columns
from seglib.cli.common import print_message
from seglib.cli.mistakes import command as mistakes
from seglib.cli.prepared import command as prepare
from seglib.cli.selection import view
from seglib.cli.similarity import embeddings, similar
from seglib.errors import SegError, Terminated
from seglib.fileio.console import prepare_console, restart_in_utf8


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # Must be set before torch is imported: idle OpenMP threads sleep sooner instead of taking CPU time from decoding
    # and other processes. A single run is as fast as before; two concurrent runs are a sixth faster.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    if argv is None:
        restart_in_utf8()
    prepare_console()
    try:
        return _run(sys.argv[1:] if argv is None else argv)
    except SegError as error:
        print_message(str(error))
        return error.exit_code
    except Terminated:
        return _stopped("Terminated", 143)
    except KeyboardInterrupt:
        return _stopped("Stopped", 130)
    except BrokenPipeError:  # the reader of stdout has closed it, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = Path(error.filename).name if isinstance(error.filename, str) else "The operating system"
        print_message(f"{name}: {error.strerror or error}; what was committed before is kept.")
        return 1


def _run(command_line: Sequence[str]) -> int:
    if list(command_line[:1]) == [dashboard.NAME]:
        return dashboard.start(command_line[1:])
    _stop_on_sigterm()
    arguments = build_parser().parse_args(command_line)
    command: Callable[[argparse.Namespace], int] = arguments.command
    return command(arguments)


def build_parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog=_program_name(),
        description="What did a segmentation network see in a folder of photos?",
        epilog="example: python -m seglib run dataset/sample && python -m seglib export stats --out stats.csv",
    )
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND", title="commands")
    models.add(commands)
    run.add(commands)
    store.add_status(commands)
    store.add_prune(commands)
    store.add_pack(commands)
    store.add_rename(commands)
    dataset.add(commands)
    columns.add(commands)
    export.add(commands)
    store.add_tag(commands)
    similar.add(commands)
    embeddings.add(commands)
    view.add(commands)
    prepare.add(commands)
    predict.add(commands)
    evaluate.add_compare(commands)
    evaluate.add(commands)
    mistakes.add(commands)
    models.add_cost(commands)
    run.add_import_masks(commands)
    train.add(commands)
    train.add_average(commands)
    dashboard.add(commands)
    return top


def _program_name() -> str:
    """What was typed to start this: the installed command, or the module."""
    return "seglib" if Path(sys.argv[0]).stem == "seglib" else "python -m seglib"


def _stop_on_sigterm() -> None:
    def stop(*_: object) -> NoReturn:
        raise Terminated

    try:
        signal.signal(signal.SIGTERM, stop)
    except ValueError:
        return  # not in the main thread, as in tests: leave the signal handlers alone


def _stopped(word: str, code: int) -> int:
    print(f"seglib: {word}. What was computed is kept; the same command continues.", file=sys.stderr)
    return code
