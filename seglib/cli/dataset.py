"""`seglib dataset`: list the datasets of a store, say where one has moved, and forget one."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.cli.common import add_json_option, add_store_option, escape_for_terminal, new_command, print_json


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "dataset",
        "list the datasets of a store, say where one has moved, or forget one",
        "python -m seglib dataset move /photos /archive/photos",
        _list,
    )
    actions = command.add_subparsers(required=True, metavar="ACTION", title="actions", help="what to do")
    listing = new_command(actions, "list", "list folders and their files", "python -m seglib dataset list", _list)
    moving = new_command(
        actions,
        "move",
        "say in which folder the photos of a dataset are now; nothing is computed again",
        "python -m seglib dataset move /photos /archive/photos",
        _move,
    )
    moving.add_argument(
        "old",
        metavar="OLD",
        help="the folder in which they were, or the dataset's name or id; a folder stands for all datasets below it",
    )
    moving.add_argument("new", type=Path, metavar="NEW", help="the folder in which they are now")
    forgetting = new_command(
        actions,
        "forget",
        "remove a dataset from the store; its photos are not touched",
        "python -m seglib dataset forget test_set",
        _forget,
    )
    forgetting.add_argument("name", metavar="NAME", help="the dataset's name, id or folder")
    for action in (listing, moving, forgetting):
        add_store_option(action)
        add_json_option(action)


def _list(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import datasets
    from seglib.store.store import Store

    entries = datasets.list_datasets(Store(arguments.store))
    if arguments.json:
        print_json(*map(dataclasses.asdict, entries))
        return 0
    for entry in entries:
        state = "" if entry.available else ", which is gone"
        shared = f", {entry.shared} photos also in another dataset" if entry.shared else ""
        name, root = escape_for_terminal(entry.dataset), escape_for_terminal(entry.root)
        print(f"{name} ({entry.id}): {entry.files} files{shared} in {root}{state}")
    return 0


def _move(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import datasets
    from seglib.store.store import Store

    reports = datasets.move_datasets(Store(arguments.store), arguments.old, arguments.new)
    if arguments.json:
        print_json(*map(dataclasses.asdict, reports))
        return 0
    for report in reports:
        name, root = escape_for_terminal(report.dataset), escape_for_terminal(report.root)
        print(f"{name}: {report.found} of {report.files} files are in {root}, which is its folder now")
        if report.merged is not None:
            print(f"  the dataset {escape_for_terminal(report.merged)}, which had this folder, is now a part of it")
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    from seglib.maintenance import datasets
    from seglib.store.store import Store

    report = datasets.forget_dataset(Store(arguments.store), arguments.name)
    if arguments.json:
        print_json(dataclasses.asdict(report))
        return 0
    print(f"{escape_for_terminal(report.dataset)}: {report.files} files have left the table; no photo was touched")
    if report.images:
        command = f"python -m seglib prune --store {arguments.store}"
        photos = "1 photo is" if report.images == 1 else f"{report.images} photos are"
        print(f"  {photos} in no other dataset: {command} removes the results")
    return 0
