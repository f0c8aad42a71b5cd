"""`seglib prepare`: make the table that pages of a large run are answered from."""

import argparse
import dataclasses
from typing import Any

from seglib.cli.common import add_json_option, add_store_option, new_command, print_json
from seglib.progress import ProgressBar


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "prepare",
        "prepare the table of a run with millions of photos, so that the dashboard need not read it into memory",
        "python -m seglib prepare --run fcn_mobilenet_v2-224-6362fed2",
        _prepare,
    )
    add_store_option(command)
    command.add_argument(
        "--run", action="append", metavar="RUN", help="a run; repeatable (default: the one used most recently)"
    )
    add_json_option(command)


def _prepare(arguments: argparse.Namespace) -> int:
    from seglib.query.prepared.building import prepare
    from seglib.store.store import Store

    store = Store(arguments.store)
    for run in [store.run(name) for name in arguments.run or [None]]:
        with ProgressBar() as bar:
            report = prepare(store, run, bar)
        if arguments.json:
            print_json(dataclasses.asdict(report))
        else:
            parts = f"{report.pieces} parts, {report.reused} of them as before"
            print(f"{report.run}: {report.rows} photos in {parts}, {report.bytes / 1e6:.1f} MB, {report.seconds:.1f} s")
    return 0
