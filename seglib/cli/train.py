"""`seglib train` and `seglib average`: train a model, and average its checkpoints.

The options of `train` are generated from the fields of `seglib.TrainConfig`.
"""

import argparse
import contextlib
import re
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.cli.common import (
    format_percent,
    name_options,
    new_command,
    option_name,
    parse_classes,
    parse_natural,
    parse_positive,
    parse_resize,
    parse_share,
    parse_values,
    print_failures,
    print_message,
)
from seglib.progress import ProgressBar
from seglib.training.config import TrainConfig

if TYPE_CHECKING:
    from seglib.training.checkpoint import TrainProgress
    from seglib.training.train import TrainPlan


_POSITIONAL = ("architecture", "dataset")


def add(commands: Any) -> None:
    command = new_command(
        commands,
        "train",
        "train a model on photos and masks, for --weights",
        "python -m seglib train fcn_mobilenet_v2 VOC2012 --classes background,cat,dog --out pets.safetensors",
        _train,
    )
    for field in fields(TrainConfig):
        _add_option(command, field)
    command.add_argument(  # the name of --parallel until 0.1
        "--lanes", dest="parallel", type=parse_positive, help=argparse.SUPPRESS
    )


def _add_option(command: argparse.ArgumentParser, field: "Field[Any]") -> None:
    """Add the option of a field of `TrainConfig`."""
    kind = field.metadata["kind"]
    if kind == "flag":
        command.add_argument(option_name(field.name), action="store_true", help=_help_text(field))
        return
    options: dict[str, Any] = {
        "type": _PARSERS[kind],
        "metavar": field.metadata["metavar"],
        "choices": field.metadata["choices"] or None,
        "help": _help_text(field),
    }
    if field.name in _POSITIONAL:
        command.add_argument(field.name, **options)
        return
    if kind == "start":
        options |= {"nargs": "?", "const": True}
    required = field.default is MISSING
    command.add_argument(
        option_name(field.name), required=required, default=None if required else field.default, **options
    )


def _help_text(field: "Field[Any]") -> str:
    """The field's help, with flags for names of fields, and with the default if that is a number or a text."""
    text = name_options(field.metadata["help"])
    if isinstance(field.default, bool) or not isinstance(field.default, str | int | float):
        return text
    return (
        f"{text} (default {field.default:g})"
        if isinstance(field.default, float)
        else f"{text} (default {field.default})"
    )


def _train(arguments: argparse.Namespace) -> int:
    config = make_config(arguments)

    from seglib.training.train import train

    with contextlib.ExitStack() as teacher, _EpochBar(config.epochs) as bar:
        teacher_bar = teacher.enter_context(ProgressBar())

        def start(plan: "TrainPlan") -> None:
            teacher.close()
            _print_plan(plan)

        report = train(config, on_teacher=teacher_bar, on_start=start, on_step=bar.step, on_epoch=bar.epoch)
    if report.kept_epoch is not None:
        miou = format_percent(report.measures["miou"])
        print(f"{report.checkpoint}: mIoU {miou} of validation, epoch {report.kept_epoch}")
    if report.is_paused:
        print(f"paused after {report.epochs} epochs; the same command continues")
    else:
        print(f"  masks: python -m seglib run FOLDER --weights {report.checkpoint}")
    return 0


def make_config(arguments: argparse.Namespace) -> TrainConfig:
    values = {one.name: getattr(arguments, one.name) for one in fields(TrainConfig)}
    return TrainConfig(**values | {"classes": parse_classes(arguments.classes)})


def _print_plan(plan: "TrainPlan") -> None:
    print_message(plan.found)
    print_failures(plan.left_out.values())
    print_message(
        f"{len(plan.training)} photos to train on, {len(plan.validation)} to validate, "
        f"{len(plan.recipe.classes)} classes, on {plan.device} in {plan.recipe.precision}."
    )


class _EpochBar:
    """Prints one line per epoch, and a progress bar per epoch if stderr is a terminal."""

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._bar: Any = None

    def step(self, progress: "TrainProgress", batches: int, loss: float) -> None:
        if self._bar is None:
            from tqdm import tqdm

            title = f"epoch {progress.epoch + 1} of {self._epochs}"
            self._bar = tqdm(
                desc=title, total=batches, initial=progress.step - 1, unit=" batches", disable=None, dynamic_ncols=True
            )
        self._bar.update()
        self._bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if progress.step == batches:
            self.close()

    def epoch(self, row: dict[str, float | None]) -> None:
        print_message(
            f"epoch {row['epoch']} of {self._epochs}: loss {row['loss']:.3f}; validation mIoU "
            f"{format_percent(row['miou'])}, Dice {format_percent(row['mdice'])}, pixel accuracy "
            f"{format_percent(row['pixel_accuracy'])}; {row['photos']} photos in {row['seconds']:.0f} s"
        )

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "_EpochBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def parse_names(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise argparse.ArgumentTypeError(f"expected names with a comma between them, got {text!r}")
    return names


def parse_side_range(text: str) -> tuple[int, int]:
    if (match := re.fullmatch(r"(\d+)-(\d+)", text)) is None:
        raise argparse.ArgumentTypeError(f"expected two sides as 192-320, got {text!r}")
    return int(match[1]), int(match[2])


def parse_number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number from 0 on, got {text!r}")
    return value


_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "path": Path,
    "name or path": str,
    "start": Path,
    "names": parse_names,
    "classes": str,
    "sides": parse_side_range,
    "resize": parse_resize,
    "values": parse_values,
    "integer": int,
    "natural": parse_natural,
    "positive": parse_positive,
    "number": parse_number,
    "share": parse_share,
    "choice": str,
}
"""Parser of each kind of value in the metadata of `TrainConfig`, except `flag`."""


def add_average(commands: Any) -> None:
    command = new_command(
        commands,
        "average",
        "the mean of several checkpoints of one model, weight by weight",
        "python -m seglib average small.safetensors large.safetensors --shares 0.85,0.15 --out pets.safetensors",
        _average,
    )
    command.add_argument("checkpoints", type=Path, nargs="+", metavar="FILE", help="of one model with the same classes")
    command.add_argument(
        "--shares", type=parse_numbers, metavar="A,B,...", help="weight of each checkpoint (default: all the same)"
    )
    command.add_argument(
        "--net-side",
        type=parse_positive,
        metavar="N",
        help="short side in pixels at which the averaged model sees every photo (default: that of the first "
        "checkpoint)",
    )
    command.add_argument("--out", type=Path, required=True, metavar="FILE", help="the mean (.safetensors)")


def _average(arguments: argparse.Namespace) -> int:
    from seglib.training.checkpoint import average_checkpoints

    files = arguments.checkpoints
    average_checkpoints(files, arguments.shares or [1.0] * len(files), arguments.out, arguments.net_side)
    print(f"{arguments.out}: mean of {len(files)} checkpoints")
    print(f"  masks: python -m seglib run FOLDER --weights {arguments.out}")
    return 0


def parse_numbers(text: str) -> list[float]:
    try:
        return [float(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers with a comma between them, got {text!r}") from None
