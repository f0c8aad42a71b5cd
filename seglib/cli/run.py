"""`seglib run`: models over a folder of photos."""

import argparse
from pathlib import Path
from typing import Any

from seglib.arguments import json_option, model_options, natural, new_command, positive, share, store_option
from seglib.cli.output import ProgressBar, lines, print_json, tell
from seglib.errors import TooManyFailures, UsageError
from seglib.models.registry import DEFAULT_MODEL, find


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "run",
        "run a model over a folder of photos and keep what it saw",
        "python -m seglib run dataset/sample --model fcn_mobilenet_v2 --resize 224",
        _run,
    )
    command.add_argument("dataset", type=Path, metavar="DATASET", help="folder with photos, flat or nested")
    command.add_argument(
        "--model", action="append", metavar="NAME", help=f"may be given several times; default {DEFAULT_MODEL}"
    )
    store_option(command)
    model_options(command)
    command.add_argument(
        "--batch-size",
        type=positive,
        metavar="N",
        help="photos per forward pass, of which several run at once (default 4, on a GPU 16)",
    )
    command.add_argument(
        "--workers",
        type=natural,
        metavar="N",
        help="decoding processes; 0 decodes in this one (default: a core each, at most 8)",
    )
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N photos by path")
    command.add_argument(
        "--list", type=Path, metavar="FILE", help="only the photos that FILE names, one relative path or stem a line"
    )
    command.add_argument("--name", metavar="TITLE", help="what to call the data set (default: the folder's name)")
    command.add_argument("--follow-links", action="store_true", help="follow symbolic links that leave the folder")
    command.add_argument(
        "--max-failure-rate",
        type=share,
        default=1.0,
        metavar="SHARE",
        help="exit with 1 if a larger share of the photos cannot be read, 0..1 (default 1)",
    )
    command.add_argument(
        "--verify", action="store_true", help="read every file again and check every mask, whatever size and time say"
    )
    json_option(command)


def _run(arguments: argparse.Namespace) -> int:
    from seglib import pipeline
    from seglib.store.store import Store

    models = arguments.model or ([None] if arguments.weights else [DEFAULT_MODEL])
    if arguments.weights and len(models) > 1:
        raise UsageError("One --weights file fits one model: name a single --model with it.")
    specs = [find(name, arguments.weights, source=arguments.source) for name in dict.fromkeys(models)]
    options = pipeline.Options(
        device=arguments.device,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        limit=arguments.limit,
        names=lines(arguments.list),
        title=arguments.name,
        follow_links=arguments.follow_links,
        verify=arguments.verify,
    )
    if not arguments.dataset.is_dir():
        raise UsageError(f"{str(arguments.dataset)!r} is not a folder: name the folder that holds the photos.")
    store = Store.create(arguments.store)
    for spec in specs:
        with ProgressBar() as bar:
            report = pipeline.run(
                arguments.dataset,
                store,
                spec,
                resize=arguments.resize,
                precision=arguments.precision,
                options=options,
                on_progress=bar.show,
                on_note=tell,
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
