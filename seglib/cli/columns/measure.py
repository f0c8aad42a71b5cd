"""`seglib columns measure`: measure photos that were computed before their quality and EXIF were read."""

import argparse
import dataclasses
from typing import Any

from seglib.cli.common import (
    add_gps_option,
    add_json_option,
    add_store_option,
    new_command,
    parse_natural,
    print_json,
    print_message,
)
from seglib.progress import ProgressBar


def add_measure(actions: Any) -> None:
    command = new_command(
        actions,
        "measure",
        "read image quality, perceptual hashes and EXIF from photos that have not been measured yet",
        "python -m seglib columns measure --gps off",
        _measure,
    )
    add_store_option(command)
    add_gps_option(command)
    command.add_argument(
        "--workers",
        type=parse_natural,
        metavar="N",
        help="decoding processes (default: one per core, at most 8); 0 decodes in the main process",
    )
    add_json_option(command)


def _measure(arguments: argparse.Namespace) -> int:
    from seglib.maintenance.measure_photos import measure_photos
    from seglib.store.store import Store

    with ProgressBar() as bar:
        report = measure_photos(Store(arguments.store), gps=arguments.gps, workers=arguments.workers, on_progress=bar)
    if arguments.json:
        print_json(dataclasses.asdict(report))
    else:
        print(f"{report.images} photos: {report.measured} measured, {report.known} before, {report.failed} failed")
        if report.coarsened:
            what = "removed" if report.gps == "off" else "rounded"
            print(f"  the positions of {report.coarsened} photos were {what}")
    if report.failed:
        print_message(
            f"{report.failed} photos cannot be read, or have changed since they were computed: "
            "python -m seglib status says more, and a new run brings them up to date."
        )
    return 1 if report.failed and report.failed == report.images else 0
