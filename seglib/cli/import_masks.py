"""`seglib import-masks`: somebody else's masks become a run."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.arguments import json_option, new_command, store_option
from seglib.cli.output import ProgressBar, print_json, tell
from seglib.errors import TooManyFailures, UsageError


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "import-masks",
        "make a run of somebody else's index masks",
        "python -m seglib import-masks masks --classes classes.txt --name my_unet",
        _import,
    )
    command.add_argument("folder", type=Path, metavar="DIR", help="PNG masks of class indices, called as their photos")
    command.add_argument(
        "--classes", type=Path, required=True, metavar="FILE", help="the classes' names in index order, one a line"
    )
    command.add_argument("--name", required=True, metavar="X", help="what to call the model that made them")
    command.add_argument("--dataset", metavar="NAME", help="the photos' data set, if the store holds several")
    store_option(command)
    json_option(command)


def _import(arguments: argparse.Namespace) -> int:
    from seglib.imported import import_masks
    from seglib.masks.annotations import class_names
    from seglib.store.store import Store

    if not arguments.folder.is_dir():
        raise UsageError(f"{str(arguments.folder)!r} is not a folder: name the folder that holds the masks.")
    classes = class_names(arguments.classes)
    with ProgressBar() as bar:
        report = import_masks(
            Store(arguments.store),
            arguments.folder,
            classes,
            arguments.name,
            dataset=arguments.dataset,
            on_progress=bar.show,
        )
    for sentence in list(report.failed.values())[:20]:
        tell(sentence)
    if arguments.json:
        print_json(dataclasses.asdict(report) | {"failed": len(report.failed)})
    else:
        print(f"{report.run}\n  {report.computed} masks taken in, {report.reused} known, {len(report.failed)} failed")
        if report.unmatched:
            print(f"  {report.unmatched} photos have no mask there")
    if report.failed and not report.computed + report.reused:
        raise TooManyFailures("None of the masks can be used.")
    return 0
