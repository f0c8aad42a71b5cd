"""`seglib export`: write statistics, masks or overlays from a store to files."""

import argparse
from pathlib import Path
from typing import Any

from seglib.cli.common import (
    add_json_option,
    add_palette_option,
    add_store_option,
    new_command,
    note_plus_sign,
    parse_share,
    print_json,
)
from seglib.errors import UsageError
from seglib.masks.overlay import ALPHA

_FORMATS = {"stats": ("csv", "parquet"), "masks": ("png", "zip"), "overlays": ("png", "zip")}


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "export",
        "write statistics, masks or overlays",
        "python -m seglib export stats --where 'label=cats&share.cat=0.1..1' --out cats.csv",
        _export,
    )
    command.add_argument("what", choices=list(_FORMATS))
    add_store_option(command)
    command.add_argument("--run", action="append", metavar="RUN", help="repeatable; default: all runs")
    command.add_argument(
        "--format",
        metavar="F",
        help="; ".join(f"{w}: {' or '.join(f)}" for w, f in _FORMATS.items()) + " (default: the first)",
    )
    command.add_argument(
        "--where",
        default="",
        metavar="EXPR",
        help="the filter part of the dashboard's URL, e.g. 'label=cats&confidence=0.9..'",
    )
    command.add_argument(
        "--dictionary", action="store_true", help="with stats: also write what each column means, to OUT.dictionary.csv"
    )
    command.add_argument(
        "--alpha", type=parse_share, default=ALPHA, metavar="A", help=f"with overlays: opacity 0..1 (default {ALPHA})"
    )
    add_palette_option(command)
    command.add_argument("--out", type=Path, required=True, metavar="PATH", help="file, or for png a folder")
    add_json_option(command)


def _export(arguments: argparse.Namespace) -> int:
    from seglib.query import export
    from seglib.query.filters import Filters
    from seglib.store.store import Store

    kind = arguments.format or _FORMATS[arguments.what][0]
    if kind not in _FORMATS[arguments.what]:
        raise UsageError(f"{arguments.what} leave as {' or '.join(_FORMATS[arguments.what])}, not as {kind!r}.")
    if arguments.dictionary and arguments.what != "stats":
        raise UsageError("--dictionary explains the columns of stats: leave it out here.")
    store, filters = Store(arguments.store), Filters.decode(arguments.where)
    if arguments.what == "stats":
        frame = export.stats_frame(store, arguments.run, filters)
        export.write_file(arguments.out, export.csv_bytes(frame) if kind == "csv" else export.parquet_bytes(frame))
        if arguments.dictionary:
            beside = arguments.out.with_name(arguments.out.stem + ".dictionary.csv")
            export.write_file(beside, export.csv_bytes(export.dictionary_frame(frame)))
        count = len(frame)
    else:
        files = (
            export.mask_files(store, arguments.run, filters)
            if arguments.what == "masks"
            else export.overlay_files(store, arguments.run, filters, alpha=arguments.alpha, colours=arguments.palette)
        )
        count = (export.write_zip if kind == "zip" else export.write_folder)(arguments.out, files)
    note_plus_sign(arguments.where, count)
    if arguments.json:
        print_json({"what": arguments.what, "format": kind, "count": count, "out": str(arguments.out)})
    else:
        print(f"{count} {'rows' if arguments.what == 'stats' else 'pictures'} written to {arguments.out}")
    return 0
