"""`seglib export`: write statistics, lists, masks, overlays or annotations for other tools from a store to files."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    add_json_option,
    add_palette_option,
    add_store_option,
    name_options,
    new_command,
    parse_share,
    print_json,
    print_message,
)
from seglib.cli.selection.where import add_where_options, explain_nothing_found, read_selection
from seglib.errors import UsageError
from seglib.masks.overlay import ALPHA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seglib.query.annotation_export.annotation_set import AnnotationSet
    from seglib.query.export import Content
    from seglib.query.filters import Filters
    from seglib.store.store import Store

_FORMATS = {
    "stats": ("csv", "parquet"),
    "list": ("csv",),
    "masks": ("png", "zip"),
    "overlays": ("png", "zip"),
    "coco": ("json", "zip"),
    "yolo": ("txt", "zip"),
    "cvat": ("png", "zip"),
}


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "export",
        "write statistics, lists of photos, masks, overlays, or annotations for other tools",
        "python -m seglib export stats --where 'label = cats and share.cat > 10%' --out cats.csv",
        _export,
    )
    command.add_argument(
        "what",
        choices=list(_FORMATS),
        help="list: where each photo of a run is, what was seen in it, and whether its folder says the same; coco, "
        "yolo and cvat (Segmentation mask 1.1) leave at the photos' sizes",
    )
    add_store_option(command)
    command.add_argument("--run", action="append", metavar="RUN", help="repeatable; default: all runs")
    command.add_argument(
        "--format",
        metavar="F",
        help="; ".join(f"{w}: {' or '.join(f)}" for w, f in _FORMATS.items()) + " (default: the first)",
    )
    add_where_options(command, "only photos for which it holds")
    command.add_argument(
        "--dictionary", action="store_true", help="with stats: also write what each column means, to OUT.dictionary.csv"
    )
    command.add_argument(
        "--size",
        choices=["grid", "photo"],
        default="grid",
        help="with masks: the model's grid, or the photo's size by nearest neighbour (default grid)",
    )
    command.add_argument(
        "--flat", action="store_true", help="with masks of one run: all in one folder, x.png for the photo x.jpg"
    )
    command.add_argument(
        "--polygons", action="store_true", help="with coco: polygons instead of RLE, for tools that read no RLE"
    )
    command.add_argument(
        "--alpha", type=parse_share, default=ALPHA, metavar="A", help=f"with overlays: opacity 0..1 (default {ALPHA})"
    )
    add_palette_option(command)
    command.add_argument(
        "--out", type=Path, required=True, metavar="PATH", help="file, or for png and txt a folder; for json either"
    )
    add_json_option(command)


def _export(arguments: argparse.Namespace) -> int:
    from seglib.query import export
    from seglib.store.store import Store

    kind = arguments.format or _FORMATS[arguments.what][0]
    if kind not in _FORMATS[arguments.what]:
        raise UsageError(f"{arguments.what} leave as {' or '.join(_FORMATS[arguments.what])}, not as {kind!r}.")
    for option, what in (("dictionary", "stats"), ("flat", "masks"), ("polygons", "coco")):
        if getattr(arguments, option) and arguments.what != what:
            raise UsageError(f"--{option} is for {what}: leave it out here.")
    if arguments.size != "grid" and arguments.what != "masks":
        raise UsageError("--size is for masks: leave it out here.")
    store = Store(arguments.store)
    filters, arguments.run = read_selection(arguments, store)
    if arguments.what == "stats":
        count = _write_stats(arguments, kind, store, filters)
    elif arguments.what == "list":
        count = _write_list(arguments, store, filters)
    elif arguments.what in ("masks", "overlays"):
        files = (
            export.mask_files(store, arguments.run, filters, photo_size=arguments.size == "photo", flat=arguments.flat)
            if arguments.what == "masks"
            else export.overlay_files(store, arguments.run, filters, alpha=arguments.alpha, colours=arguments.palette)
        )
        count = _write_files(arguments.out, kind, files)
    else:
        count = _write_annotations(arguments, kind, store, filters)
    if not count:
        explain_nothing_found(filters, arguments.where, store, arguments.run)
    if arguments.json:
        print_json({"what": arguments.what, "format": kind, "count": count, "out": str(arguments.out)})
    else:
        unit = {"stats": "rows", "list": "photos", "masks": "pictures", "overlays": "pictures"}.get(
            arguments.what, "photos"
        )
        print(f"{count} {unit} written to {arguments.out}")
    return 0


def _write_stats(arguments: argparse.Namespace, kind: str, store: "Store", filters: "Filters") -> int:
    """Write the table and return its number of rows."""
    from seglib.query import export
    from seglib.query.repeats import describe_repeats, first_datasets

    frame = export.stats_frame(store, arguments.run, filters)
    export.write_file(arguments.out, export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame))
    if arguments.dictionary:
        beside = arguments.out.with_name(arguments.out.stem + ".dictionary.csv")
        export.write_file(beside, export.csv_bytes(export.dictionary_frame(frame)))
    _note_damaged_measures(store)
    for note in describe_repeats(frame, first_datasets(frame), "each has a row for each of them"):
        print_message(note)
    return len(frame)


def _write_list(arguments: argparse.Namespace, store: "Store", filters: "Filters") -> int:
    """Write the list and return its number of rows."""
    from seglib.query import export

    runs = arguments.run or [run.run for run in store.runs()]
    if len(runs) != 1:
        raise UsageError(f"A list is about one run, and there are {len(runs)}: name one with --run.")
    frame = export.list_frame(store, runs[0], filters)
    _note_damaged_measures(store)
    export.write_file(arguments.out, export.list_bytes(frame))
    return len(frame)


def _note_damaged_measures(store: "Store") -> None:
    from seglib.store.photo_measures import rows as photo_measures

    for why in photo_measures.find_damaged(store).values():
        print_message(f"The measures of the photos are left out: {why}")


def _write_annotations(arguments: argparse.Namespace, kind: str, store: "Store", filters: "Filters") -> int:
    """Write the annotations of each run and dataset and return the number of annotated photos."""
    from seglib.query import export
    from seglib.query.annotation_export import coco, cvat, yolo
    from seglib.query.annotation_export.annotation_set import annotation_sets

    sets = annotation_sets(store, arguments.run, filters)
    if kind == "json" and arguments.out.suffix.lower() == ".json":
        if len(sets) > 1:
            raise UsageError(
                f"One JSON file holds one run and one dataset, and {len(sets)} are chosen: name one with --run and "
                "--where, or a folder with --out."
            )
        export.write_file(arguments.out, coco.encode_coco(sets[0], polygons=arguments.polygons))
    else:
        files = {
            "coco": lambda: coco.coco_files(sets, polygons=arguments.polygons),
            "yolo": lambda: yolo.yolo_files(sets),
            "cvat": lambda: cvat.cvat_files(sets),
        }[arguments.what]()
        _write_files(arguments.out, kind, files)
    if arguments.what in ("coco", "yolo"):
        _note_void(sets)
    return sum(len(one.photos) for one in sets)


def _write_files(out: Path, kind: str, files: "Iterator[tuple[str, Content]]") -> int:
    from seglib.query import export

    if kind == "zip":
        return export.write_zip(out, files)
    return export.write_folder(out, files, on_note=lambda note: print_message(name_options(note)))


def _note_void(sets: "Sequence[AnnotationSet]") -> None:
    """Say what becomes of void pixels, for which these formats have no word."""
    for one in sets:
        if (share := one.void_share) > 0:
            amount = f"{share:.1%}".replace("%", " %") if share >= 0.0005 else "Less than 0.1 %"
            print_message(
                f"{amount} of the pixels of {one.run} belong to no class (void): they are not annotated, so other "
                "tools take them for background."
            )
