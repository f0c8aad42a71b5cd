"""`seglib run` and `seglib import-masks`: add a run to a store or update it."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.adapters import lookup
from seglib.annotations.class_names import read_label_map
from seglib.cli.common import (
    add_failure_rate_option,
    add_gps_option,
    add_json_option,
    add_mask_options,
    add_model_options,
    add_store_option,
    check_failure_rate,
    name_options,
    new_command,
    parse_mask_options,
    parse_model,
    parse_natural,
    parse_positive,
    parse_share,
    print_failures,
    print_json,
    print_message,
    read_lines,
)
from seglib.data.photo_root import is_gone, parse_root
from seglib.data.scan import Part
from seglib.errors import TooManyFailures, UsageError
from seglib.models.registry import DEFAULT_MODEL
from seglib.progress import ProgressBar


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "run",
        "run a model on a folder of photos and store its masks and statistics",
        "python -m seglib run dataset/sample --model fcn_mobilenet_v2 --resize 224",
        _run,
    )
    command.add_argument(
        "dataset", metavar="DATASET", help="folder of photos, including its subfolders, or s3://BUCKET/PREFIX (gs, az)"
    )
    command.add_argument(
        "--model",
        action="append",
        metavar="MODEL",
        help=f"{lookup.FORMS.replace('`weights`', '--weights')}; repeatable (default {DEFAULT_MODEL})",
    )
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
    command.add_argument(
        "--part",
        type=Part.parse,
        metavar="I/N",
        help="only the I-th of N parts of the photos, divided by their paths: other processes, on this machine or on "
        "others that share the disk, compute the other parts into the same store, at the same time or later",
    )
    command.add_argument(
        "--on",
        metavar="ray[://HOST:PORT]",
        help="compute on a Ray cluster: the one that runs on this machine, else one that is started here for the run; "
        "or the one whose head is at HOST:PORT, and this machine one of its nodes (docs/scale.md)",
    )
    command.add_argument("--title", metavar="TITLE", help="what the run is called on pages (default: the model's name)")
    command.add_argument("--name", metavar="TITLE", help="name of the dataset (default: the folder's name)")
    command.add_argument(
        "--label-from",
        choices=["folder", "name"],
        help="label photos by their folder, or by what the file's name begins with, as cat.0.jpg; changes no mask "
        "(default: as before, at first by folder)",
    )
    command.add_argument(
        "--label-map",
        type=Path,
        metavar="FILE",
        help="which class each label names: lines label = class, or CSV; kept in the store, changes no mask "
        "(default: as before, at first the class that is called like the label)",
    )
    add_gps_option(command)
    command.add_argument("--follow-links", action="store_true", help="follow symbolic links that leave the folder")
    command.add_argument(
        "--listing",
        type=Path,
        metavar="FILE",
        help="Parquet inventory of the bucket (key, size, etag), in place of asking for its keys",
    )
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
        help="read every file again and check every mask, even if size and time are unchanged; adds missing embeddings",
    )
    command.add_argument(
        "--no-embeddings",
        action="store_true",
        help="keep no embeddings, by which similar photos are found; built-in models make them in passing",
    )
    add_json_option(command)


def _run(arguments: argparse.Namespace) -> int:
    from seglib.pipeline import run, session
    from seglib.store.store import Store

    models = arguments.model or ([None] if arguments.weights else [DEFAULT_MODEL])
    if arguments.weights and len(models) > 1:
        raise UsageError("One --weights file fits one model: name a single --model with it.")
    specs = [parse_model(arguments, name) for name in dict.fromkeys(models)]
    if arguments.title and len(specs) > 1:
        raise UsageError("One --title names one run: name a single --model with it.")
    options = session.RunOptions(
        device=arguments.device,
        batch_size=arguments.batch_size,
        workers=arguments.workers,
        limit=arguments.limit,
        names=read_lines(arguments.list),
        part=arguments.part,
        on=arguments.on,
        title=arguments.name,
        follow_links=arguments.follow_links,
        listing=arguments.listing,
        verify=arguments.verify,
        embeddings=not arguments.no_embeddings,
        label_from=arguments.label_from,
        gps=arguments.gps,
        label_map=None if arguments.label_map is None else read_label_map(arguments.label_map),
    )
    root = parse_root(arguments.dataset)
    if is_gone(root):
        raise UsageError(f"{arguments.dataset!r} is not a folder: name the folder that holds the photos.")
    store = Store.create(arguments.store)
    for spec in specs:
        with ProgressBar() as bar:
            report = run.run(
                arguments.dataset,
                store,
                spec,
                resize=arguments.resize,
                precision=arguments.precision,
                title=arguments.title,
                options=options,
                on_progress=bar,
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
            print_json(
                {name: getattr(report, name) for name in fields} | {"left_out": dataclasses.asdict(report.left_out)}
            )
        else:
            _print_report(report, arguments.store)
        if report.failed > report.images * arguments.max_failure_rate or report.failed == report.images > 0:
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
    for sentence in report.left_out.describe():
        print(f"  {name_options(sentence)}")
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
        "import the masks of another program, or of people, as a run",
        "python -m seglib import-masks masks --classes classes.txt --name my_unet",
        _import,
    )
    command.add_argument(
        "masks",
        type=Path,
        metavar="DIR|FILE",
        help="folder of masks named like their photos (PNG, TIFF, GIF, BMP; YOLO's .txt), or a COCO .json",
    )
    add_mask_options(command)
    command.add_argument("--name", required=True, metavar="X", help="name of the model that made them")
    command.add_argument("--dataset", metavar="NAME", help="dataset of the photos, if the store holds several")
    command.add_argument(
        "--photos",
        type=Path,
        metavar="DIR",
        help="folder of the photos, to scan into the store first",
    )
    command.add_argument(
        "--confidence",
        type=Path,
        metavar="DIR",
        help="folder of grey images, 8 or 16 bits, named and sized like the masks: each pixel's confidence",
    )
    add_gps_option(command)
    add_failure_rate_option(command, "masks")
    add_store_option(command)
    add_json_option(command)


def _import(arguments: argparse.Namespace) -> int:
    from seglib.annotations.reader import open_masks
    from seglib.pipeline.import_masks import import_masks
    from seglib.store.store import Store

    masks = open_masks(arguments.masks, parse_mask_options(arguments))
    with ProgressBar() as photo_bar, ProgressBar("masks") as bar:
        store = Store.create(arguments.store) if arguments.photos else Store(arguments.store)
        report = import_masks(
            store,
            masks,
            arguments.name,
            dataset=arguments.dataset,
            photos=arguments.photos,
            confidence=arguments.confidence,
            gps=arguments.gps,
            on_photo=photo_bar,
            on_progress=bar,
            on_note=print_message,
        )
    for note in report.notes:
        print_message(note)
    print_failures(report.failed.values())
    if arguments.json:
        print_json(dataclasses.asdict(report) | {"failed": len(report.failed), "failures": report.failed})
    else:
        print(
            f"{report.run}\n  {report.computed} masks imported, {report.reused} already there, "
            f"{len(report.failed)} failed"
        )
        if report.unmatched:
            print(f"  {report.unmatched:,} photos have no mask there")
        if report.without_photo:
            print(f"  {len(report.without_photo):,} masks fit no photo, e.g. {report.without_photo[0]!r}")
    check_failure_rate(len(report.failed), report.images, arguments.max_failure_rate)
    return 0
