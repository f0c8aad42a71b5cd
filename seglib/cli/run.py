"""`seglib run` and `seglib import-masks`: add a run to a store or update it."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.cli.common import (
    ProgressBar,
    add_json_option,
    add_model_options,
    add_store_option,
    new_command,
    parse_natural,
    parse_positive,
    parse_share,
    print_json,
    print_message,
    read_lines,
)
from seglib.errors import TooManyFailures, UsageError
from seglib.models.registry import DEFAULT_MODEL, find_model_spec


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "run",
        "run a model on a folder of photos and store its masks and statistics",
        "python -m seglib run dataset/sample --model fcn_mobilenet_v2 --resize 224",
        _run,
    )
    command.add_argument("dataset", type=Path, metavar="DATASET", help="folder of photos, including its subfolders")
    command.add_argument("--model", action="append", metavar="NAME", help=f"repeatable; default: {DEFAULT_MODEL}")
    add_store_option(command)
    add_model_options(command)
    command.add_argument(
        "--batch-size",
        type=parse_positive,
        metavar="N",
        help="photos per forward pass (default 4, on a GPU 16); several passes run in parallel",
    )
    command.add_argument(
        "--workers",
        type=parse_natural,
        metavar="N",
        help="decoding processes (default: one per core, at most 8); 0 decodes in the main process",
    )
    command.add_argument("--limit", type=parse_positive, metavar="N", help="only the first N photos by path")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem per line"
    )
    command.add_argument("--name", metavar="TITLE", help="name of the dataset (default: the folder's name)")
    command.add_argument(
        "--label-from",
        choices=["folder", "name"],
        help="label photos by their folder, or by what the file's name begins with, as cat.0.jpg; changes no mask "
        "(default: as before, at first by folder)",
    )
    command.add_argument("--follow-links", action="store_true", help="follow symbolic links that leave the folder")
    command.add_argument(
        "--max-failure-rate",
        type=parse_share,
        default=1.0,
        metavar="SHARE",
        help="exit with 1 if a larger share of the photos cannot be read, 0..1 (default 1)",
    )
    command.add_argument(
        "--verify",
        action="store_true",
        help="read every file again and check every mask, even if size and time are unchanged",
    )
    add_json_option(command)


def _run(arguments: argparse.Namespace) -> int:
    from seglib.pipeline import run, session
    from seglib.store.store import Store

    models = arguments.model or ([None] if arguments.weights else [DEFAULT_MODEL])
    if arguments.weights and len(models) > 1:
        raise UsageError("One --weights file fits one model: name a single --model with it.")
    specs = [find_model_spec(name, arguments.weights, source=arguments.source) for name in dict.fromkeys(models)]
    options = session.RunOptions(
        device=arguments.device,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        limit=arguments.limit,
        names=read_lines(arguments.list),
        title=arguments.name,
        follow_links=arguments.follow_links,
        verify=arguments.verify,
        label_from=arguments.label_from,
    )
    if not arguments.dataset.is_dir():
        raise UsageError(f"{str(arguments.dataset)!r} is not a folder: name the folder that holds the photos.")
    store = Store.create(arguments.store)
    for spec in specs:
        with ProgressBar() as bar:
            report = run.run(
                arguments.dataset,
                store,
                spec,
                resize=arguments.resize,
                precision=arguments.precision,
                options=options,
                on_progress=bar.show,
                on_note=print_message,
            )
        if arguments.json:
            fields = (
                "run",
                "model",
                "images",
                "computed",
                "reused",
                "failed",
                "seconds",
                "images_per_second",
                "device",
                "precision",
                "vanished",
            )
            print_json({name: getattr(report, name) for name in fields})
        else:
            _print_report(report, arguments.store)
        if report.failed > report.images * arguments.max_failure_rate or report.failed == report.images:
            raise TooManyFailures(
                f"{report.failed} of {report.images} photos cannot be read, more than --max-failure-rate "
                f"{arguments.max_failure_rate:g} allows: python -m seglib status lists them."
            )
    return 0


def _print_report(report: Any, store: Path) -> None:
    print(f"{report.run}")
    print(f"  {report.images} photos: {report.computed} computed, {report.reused} reused, {report.failed} failed")
    if report.vanished:
        print(f"  {report.vanished} files of the last scan are gone")
    if report.computed:
        where = f"on {report.device}, {report.precision}"
        print(f"  {report.seconds:.1f} s, {report.images_per_second:.1f} photos/s {where}")
    if report.failed:
        print(f"  why they failed: python -m seglib status --store {store}")
    print(f"  table: python -m seglib export stats --store {store} --out stats.csv")


def add_import_masks(commands: Any) -> None:
    command = new_command(
        commands,
        "import-masks",
        "import the index masks of another program as a run",
        "python -m seglib import-masks masks --classes classes.txt --name my_unet",
        _import,
    )
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of PNG masks of class indices, named like their photos"
    )
    command.add_argument(
        "--classes", type=Path, required=True, metavar="FILE", help="class names in index order, one per line"
    )
    command.add_argument("--name", required=True, metavar="X", help="name of the model that made them")
    command.add_argument("--dataset", metavar="NAME", help="dataset of the photos, if the store holds several")
    add_store_option(command)
    add_json_option(command)


def _import(arguments: argparse.Namespace) -> int:
    from seglib.masks.annotations import read_class_names
    from seglib.pipeline.import_masks import import_masks
    from seglib.store.store import Store

    if not arguments.folder.is_dir():
        raise UsageError(f"{str(arguments.folder)!r} is not a folder: name the folder that holds the masks.")
    classes = read_class_names(arguments.classes)
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
        print_message(sentence)
    if arguments.json:
        print_json(dataclasses.asdict(report) | {"failed": len(report.failed)})
    else:
        print(
            f"{report.run}\n  {report.computed} masks imported, {report.reused} already there, "
            f"{len(report.failed)} failed"
        )
        if report.unmatched:
            print(f"  {report.unmatched} photos have no mask there")
    if report.failed and not report.computed + report.reused:
        raise TooManyFailures("None of the masks can be used.")
    return 0
