"""`seglib predict`: run a model on a few images without a store, and write overlays and masks."""

import argparse
from pathlib import Path
from typing import Any

from seglib.classes import palette
from seglib.cli.common import (
    add_json_option,
    add_model_options,
    add_palette_option,
    escape_for_terminal,
    new_command,
    parse_model,
    parse_natural,
    parse_share,
    print_json,
    print_message,
)
from seglib.errors import TooManyFailures
from seglib.masks.overlay import ALPHA
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.models.registry import DEFAULT_MODEL


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
        "--samples",
        type=parse_natural,
        default=4,
        metavar="K",
        help="photos drawn from each folder, 0 for all (default 4)",
    )
    command.add_argument(
        "--seed", type=parse_natural, default=0, metavar="N", help="random seed of the draw (default 0)"
    )
    command.add_argument("--model", metavar="MODEL", help=f"as for `seglib run` (default {DEFAULT_MODEL})")
    add_model_options(command)
    command.add_argument(
        "--alpha", type=parse_share, default=ALPHA, metavar="A", help=f"opacity of the mask, 0..1 (default {ALPHA})"
    )
    add_palette_option(command)
    command.add_argument("--out", type=Path, required=True, metavar="DIR")
    add_json_option(command)


def _predict(arguments: argparse.Namespace) -> int:
    from seglib.pipeline import predict

    spec = parse_model(arguments, arguments.model)
    palette(arguments.palette, spec.classes)  # validate before the work starts
    predictions = []
    for prediction in predict.predict(
        arguments.inputs,
        spec,
        resize=arguments.resize,
        precision=arguments.precision,
        device=arguments.device,
        samples=arguments.samples,
        seed=arguments.seed,
        on_failure=lambda failure: print_message(failure.sentence),
    ):
        predictions.append(prediction)
        if arguments.json:
            print_json(
                {"name": prediction.name, "width": prediction.image.width, "height": prediction.image.height}
                | {name: getattr(prediction.measures, name, None) for name in CONFIDENCE_COLUMNS}
            )
        else:
            print(
                f"{escape_for_terminal(prediction.name)}: {escape_for_terminal(predict.caption(prediction))}"
                + (f" (confidence {prediction.measures.confidence:.2f})" if prediction.measures else "")
            )
    if not predictions:
        raise TooManyFailures("None of the photos can be read.")
    names = predict.write_outputs(predictions, arguments.out, alpha=arguments.alpha, colours=arguments.palette)
    if not arguments.json:
        print(f"{len(names)} pictures written to {arguments.out}; start with {predict.GRID_OF_OVERLAYS}")
    return 0
