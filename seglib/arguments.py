"""What the commands of the command line share: options, and how their texts are read.

In: argparse parsers, texts. Out: options, checked values; a text that makes no sense is argparse's usage error.
Knows nothing of what the commands do.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglib.classes import PALETTES
from seglib.data.resize import Resize
from seglib.errors import UsageError
from seglib.inference.config import DEVICES, PRECISIONS
from seglib.models.registry import HUB_REPOSITORY

DEFAULT_STORE = "output"


def new_command(
    commands: Any, name: str, purpose: str, example: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"example: {example}"
    )
    command.set_defaults(command=function)
    return command


def store_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store",
        type=Path,
        default=Path(DEFAULT_STORE),
        metavar="S",
        help=f"folder of the store (default {DEFAULT_STORE})",
    )


def json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON objects, one per line, and nothing else")


def palette_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--palette", default="voc", metavar="P", help=f"{', '.join(PALETTES)} or random:SEED (default voc)"
    )


def model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resize",
        type=resize,
        metavar="R",
        help="224, 640x480 (width x height), short:520 or native (default: the model's own)",
    )
    command.add_argument(
        "--precision",
        choices=["auto", *PRECISIONS],
        default="auto",
        help="auto: as this model ran last in this store, else bf16 where the hardware has it natively, else fp32",
    )
    command.add_argument("--device", choices=DEVICES, default="auto")
    command.add_argument(
        "--weights", type=Path, metavar="FILE", help=".safetensors, or .pth of a state dict (then with --model)"
    )
    command.add_argument(
        "--source",
        choices=["torchvision", "hub"],
        default="torchvision",
        help=f"hub: torch.hub downloads and RUNS remote code from {HUB_REPOSITORY}",
    )


def resize(text: str) -> Resize:
    try:
        return Resize(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 on, got {text!r}")
    return int(text)


def positive(text: str) -> int:
    if (value := natural(text)) == 0:
        raise argparse.ArgumentTypeError("expected a whole number from 1 on, got 0")
    return value


def share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value
