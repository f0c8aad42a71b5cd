"""`seglib average`: one checkpoint of several legs of a training."""

import argparse
from pathlib import Path
from typing import Any

from seglib.arguments import new_command, positive


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "average",
        "the mean of several checkpoints of one network, weight by weight",
        "python -m seglib average small.safetensors large.safetensors --shares 0.85,0.15 --out pets.safetensors",
        _average,
    )
    command.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="of one network and its classes")
    command.add_argument(
        "--shares", type=numbers, metavar="A,B,...", help="how much each counts (default: all the same)"
    )
    command.add_argument(
        "--net-side",
        type=positive,
        metavar="N",
        help="short side in pixels at which the mean sees every photo (default: that of the first checkpoint)",
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the mean (.safetensors)")


def _average(arguments: argparse.Namespace) -> int:
    from seglib.training.soup import average

    files = arguments.checkpoints
    average(files, arguments.shares or [1.0] * len(files), arguments.out, arguments.net_side)
    print(f"{arguments.out}: mean of {len(files)} checkpoints")
    print(f"  masks: python -m seglib run FOLDER --weights {arguments.out}")
    return 0


def numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with a comma between them, got {text!r}") from None
