"""Argument types, options and output helpers shared by several commands.

Messages and the progress bar go to stderr; with `--json`, stdout holds one JSON object per line.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.adapters import lookup
from seglib.annotations.class_names import parse_class_names
from seglib.annotations.options import AUTO, FORMAT_HELP, MASK_FORMATS, MaskOptions
from seglib.classes import PALETTES
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.resize import Resize
from seglib.errors import TooManyFailures, UsageError
from seglib.fileio.text_file import read_text_lines
from seglib.inference.config import DEVICES, PRECISIONS
from seglib.models.registry import HUB_REPOSITORY
from seglib.training.config import TrainConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from seglib.metrics.bootstrap import Estimate
    from seglib.metrics.confusion import JointCounts
    from seglib.models.registry import ModelSpec
    from seglib.store.records import Run


DEFAULT_STORE = "output"

_HARMLESS = "\N{NO-BREAK SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # the last one joins emoji sequences


def option_name(parameter: str) -> str:
    return "--" + parameter.replace("_", "-")


_TRAIN_PARAMETERS = (one.name for one in fields(TrainConfig) if one.name != "architecture")
_MASK_PARAMETERS = (one.name for one in fields(MaskOptions))
_PARAMETERS = (
    *("device", "follow_links", "label_from", "label_map", "model", "name", "photos", "repeats", "source", "store"),
    *("kind", "limit", "on", "part", "precision", "verify", "workers"),
    *("dataset", "dates", "decimal", "encoding", "key", "key_column", "missing", "separator"),
    *("allow_pickle", "channels", "input", "mean", "output", "run_code", "scores", "std", "title", "weights"),
    *_TRAIN_PARAMETERS,
    *_MASK_PARAMETERS,
)
_OPTIONS = {name: option_name(name) for name in _PARAMETERS} | {
    **{"names": "--list", "types": "--type", "columns": "--column"}
}
"""Parameter as named in messages of the library -> option."""


def print_message(sentence: str) -> None:
    """Print a message to stderr, so that stdout holds only the requested output."""
    print(f"seglib: {escape_for_terminal(name_options(sentence))}", file=sys.stderr, flush=True)


def name_options(sentence: str) -> str:
    """Name options in place of the library's parameters: "run again with `verify`" -> "run again with --verify"."""
    return re.sub(r"`(\w+)`", lambda match: _OPTIONS.get(match[1], match[0]), sentence)


def escape_for_terminal(text: str) -> str:
    """Make a string safe for terminals: escape line breaks, control codes and bidirectional overrides."""
    return "".join(
        sign if sign.isprintable() or sign in _HARMLESS else sign.encode("unicode_escape").decode() for sign in text
    )


def describe_run(run: "Run") -> str:
    """The run's name, and its title where it has one of its own."""
    return run.run if run.display_title == run.model else f"{run.run} ({escape_for_terminal(run.display_title)})"


_LISTED_FAILURES = 20


def print_failures(reasons: Iterable[str]) -> None:
    """Print why single files were left out, the first ones in full."""
    listed = list(reasons)
    for sentence in listed[:_LISTED_FAILURES]:
        print_message(sentence)
    if len(listed) > _LISTED_FAILURES:
        print_message(f"{len(listed) - _LISTED_FAILURES:,} more were left out; --json lists all of them.")


def check_failure_rate(failed: int, total: int, allowed: float) -> None:
    """Raise `TooManyFailures` if more masks were left out than --max-failure-rate allows."""
    if failed > total * allowed:
        raise TooManyFailures(
            f"{failed} of {total} masks cannot be used, more than --max-failure-rate {allowed:g} allows."
        )


def read_lines(file: Path | None) -> tuple[str, ...] | None:
    return None if file is None else read_text_lines(file)


def print_json(*objects: object) -> None:
    """Print one line per object, with JSON's own escapes if the console's encoding lacks a character."""
    for record in objects:
        line = json.dumps(record, ensure_ascii=False)
        try:
            line.encode(sys.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            line = json.dumps(record)
        print(line, flush=True)


def format_percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def format_interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"[{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"


def print_figures(figures: "Mapping[str, Estimate]") -> None:
    """Print one line per figure that is defined for at least one image."""
    print(f"  {'':<24}{'all pixels':>12}  {'95 %':<17}{'mean of images':>15}  {'95 %':<17}{'n':>7}")
    for name, figure in figures.items():
        if figure.n:
            print(
                f"  {escape_for_terminal(name):<24}"
                f"{format_percent(figure.value):>12}  {format_interval(figure.interval):<17}"
                f"{format_percent(figure.mean):>15}  {format_interval(figure.mean_interval):<17}{figure.n:>7}"
            )


def matrix_to_json(counts: "JointCounts") -> dict[str, object]:
    """A count matrix as a JSON object: row and column names, and integer pixel counts."""
    return {"rows": counts.classes_a, "columns": counts.classes_b, "pixels": counts.matrix().tolist()}


def frame_to_records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """A DataFrame as JSON objects, one per row, with null for missing values."""
    rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]


def new_command(
    commands: Any, name: str, purpose: str, example: str, function: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=purpose, description=purpose[0].upper() + purpose[1:] + ".", epilog=f"example: {example}"
    )
    command.set_defaults(command=function)
    return command


def add_store_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store",
        type=Path,
        default=Path(DEFAULT_STORE),
        metavar="S",
        help=f"folder of the store (default {DEFAULT_STORE})",
    )


def add_json_option(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON objects, one per line, and nothing else")


def add_mask_options(command: argparse.ArgumentParser) -> None:
    """Add the options of `MaskOptions`, which `parse_mask_options` reads."""
    command.add_argument(
        "--format",
        choices=MASK_FORMATS,
        default=AUTO,
        help="; ".join(f"{name}: {text}" for name, text in FORMAT_HELP.items()) + f" (default {AUTO})",
    )
    command.add_argument(
        "--classes",
        metavar="A,B|FILE",
        help="class names in index order, or a file with one name per line (default: what the masks name, or VOC's 21)",
    )
    command.add_argument(
        "--ignore", type=parse_values, default=(), metavar="N,...", help="values that are void, besides 255"
    )
    command.add_argument(
        "--offset", type=int, default=0, metavar="N", help="index = value - N; 1 for ADE20K, where 0 is unlabelled"
    )
    command.add_argument(
        "--labelmap",
        type=Path,
        metavar="FILE",
        help="CVAT's labelmap.txt, name:red,green,blue:: per line (default: the one beside the masks)",
    )
    command.add_argument(
        "--suffix", metavar="S", help="what the masks' names end in besides, such as _mask (the usual ones are known)"
    )


def parse_mask_options(arguments: argparse.Namespace) -> MaskOptions:
    values = {one.name: getattr(arguments, one.name) for one in fields(MaskOptions)}
    return MaskOptions(**values | {"classes": parse_classes(arguments.classes)})


def parse_classes(text: str | None) -> tuple[str, ...] | None:
    """Class names given as `a,b,c` or as a file; None if none are given. Raises `UsageError`."""
    return None if text is None else parse_class_names(text)


def add_gps_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--gps",
        type=GpsPrecision,
        choices=list(GpsPrecision),
        help="how the positions in the photos' EXIF are kept: exact, rounded to 0.01 degrees, or off "
        "(default: as the last time, at first rounded)",
    )


def add_failure_rate_option(command: argparse.ArgumentParser, what: str) -> None:
    command.add_argument(
        "--max-failure-rate",
        type=parse_share,
        default=1.0,
        metavar="SHARE",
        help=f"exit with 1 if a larger share of the {what} cannot be used, 0..1 (default 1)",
    )


def add_palette_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--palette", default="voc", metavar="P", help=f"{', '.join(PALETTES)} or random:SEED (default voc)"
    )


def add_model_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--resize",
        type=parse_resize,
        metavar="R",
        help="224, 640x480 (width x height), short:520 or native (default: the model's own)",
    )
    command.add_argument(
        "--precision",
        choices=["auto", *PRECISIONS],
        default="auto",
        help=(
            "auto: the precision that this model last ran with in this store, otherwise bf16 where the "
            "hardware supports it natively, otherwise fp32"
        ),
    )
    command.add_argument("--device", choices=DEVICES, default="auto")
    command.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="a checkpoint: .pth, .ckpt, .safetensors, ...; with --model, unless seglib train wrote it",
    )
    command.add_argument(
        "--classes",
        metavar="A,B|FILE",
        help="class names in index order, or a file with one per line, for a model that names none",
    )
    command.add_argument(
        "--mean", type=parse_rgb, metavar="R,G,B", help="mean of the normalisation, for images of range 0..1"
    )
    command.add_argument("--std", type=parse_rgb, metavar="R,G,B", help="standard deviation of the normalisation")
    command.add_argument("--channels", choices=["rgb", "bgr"], help="order of the channels that the model takes")
    command.add_argument("--output", metavar="NAME", help="the output that holds the scores, of a model with several")
    command.add_argument(
        "--scores",
        choices=["logits", "probabilities", "masks"],
        help="what the output is, if it can be read in two ways",
    )
    command.add_argument(
        "--input", choices=["normalised", "uint8"], help="what the model's own code takes (default normalised)"
    )
    command.add_argument(
        "--allow-pickle", action="store_true", help="read weights from pickle files, of a Hugging Face folder"
    )
    command.add_argument("--run-code", action="store_true", help="load a TorchScript file, which runs its own code")
    command.add_argument(
        "--source",
        choices=["torchvision", "hub"],
        default="torchvision",
        help=f"hub: torch.hub downloads and RUNS remote code from {HUB_REPOSITORY}",
    )


def parse_model(arguments: argparse.Namespace, model: str | None) -> "ModelSpec":
    """The model that the options of `add_model_options` and `--model` name."""
    return lookup.find_model(
        model,
        weights=arguments.weights,
        source=arguments.source,
        classes=parse_classes(arguments.classes),
        mean=arguments.mean,
        std=arguments.std,
        channels=arguments.channels,
        output=arguments.output,
        scores=arguments.scores,
        input=arguments.input,
        allow_pickle=arguments.allow_pickle,
        run_code=arguments.run_code,
    )


def parse_rgb(text: str) -> tuple[float, float, float]:
    """Parse three numbers, `0.485,0.456,0.406`."""
    try:
        red, green, blue = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected three numbers with a comma between them, got {text!r}") from None
    return red, green, blue


def parse_resize(text: str) -> Resize:
    try:
        return Resize(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parse_natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, got {text!r}")
    return int(text)


def parse_positive(text: str) -> int:
    if (value := parse_natural(text)) == 0:
        raise argparse.ArgumentTypeError("expected a whole number of at least 1, got 0")
    return value


def parse_values(text: str) -> tuple[int, ...]:
    """Parse values of pixels, `0,7`."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = (-1,)
    if not all(0 <= value <= 0xFFFF for value in values):
        raise argparse.ArgumentTypeError(f"expected values from 0 to 65535 with a comma between them, got {text!r}")
    return values


def parse_share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got {text!r}")
    return value
