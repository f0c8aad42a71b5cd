"""`seglib predict`: run a model on a few images without a store, and write overlays and masks."""

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from seglib.classes import palette
from seglib.cli.common import (
    json_option,
    model_options,
    natural,
    new_command,
    palette_option,
    plain,
    print_json,
    share,
    tell,
)
from seglib.errors import TooManyFailures
from seglib.inference.config import Settings, known_precision
from seglib.masks.overlay import ALPHA
from seglib.models.registry import DEFAULT_MODEL, find


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "predict",
        "draw what a model sees in a few photos: grids, overlays, masks",
        "python -m seglib predict dataset/sample --samples 4 --seed 7 --out pictures",
        _predict,
    )
    command.add_argument("inputs", type=Path, nargs="+", metavar="IMAGE|FOLDER")
    command.add_argument(
        "--samples", type=natural, default=4, metavar="K", help="photos drawn from each folder, 0 for all (default 4)"
    )
    command.add_argument("--seed", type=natural, default=0, metavar="N", help="of the draw (default 0)")
    command.add_argument("--model", metavar="NAME", help=f"default {DEFAULT_MODEL}")
    model_options(command)
    command.add_argument(
        "--alpha", type=share, default=ALPHA, metavar="A", help=f"opacity of the mask, 0..1 (default {ALPHA})"
    )
    palette_option(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    json_option(command)


def _predict(arguments: argparse.Namespace) -> int:
    from seglib.pipeline import predict

    spec = find(arguments.model, arguments.weights, source=arguments.source)
    palette(arguments.palette, spec.classes)  # validate before the work starts
    settings = Settings(
        resize=arguments.resize or spec.resize,
        precision=known_precision(arguments.precision, (), arguments.device),
        device=arguments.device,
    )
    photos = predict.chosen_photos(arguments.inputs, samples=arguments.samples, seed=arguments.seed)
    found = []
    for one in predict.predictions(photos, spec, settings):
        if isinstance(one, predict.Failure):
            tell(f"{one.name} cannot be read ({one.error.reason}): {one.error.detail}")
            continue
        found.append(one)
        if arguments.json:
            print_json(
                {"name": one.name, "width": one.photo.width, "height": one.photo.height}
                | dataclasses.asdict(one.measures)
            )
        else:
            print(f"{plain(one.name)}: {plain(predict.caption(one, spec))} (confidence {one.measures.confidence:.2f})")
    if not found:
        raise TooManyFailures("None of the photos can be read.")
    names = predict.write_pictures(found, spec, arguments.out, alpha=arguments.alpha, colours=arguments.palette)
    if not arguments.json:
        print(f"{len(names)} pictures written to {arguments.out}; start with {predict.GRID_OF_OVERLAYS}")
    return 0
