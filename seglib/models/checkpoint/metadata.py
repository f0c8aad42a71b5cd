"""What a safetensors file of `seglib train` says of itself, all of it as text: architecture, classes, preprocessing."""

import json
import math
from pathlib import Path

from seglib.classes import are_valid_class_names
from seglib.data.resize import check_net_side
from seglib.errors import WeightsError
from seglib.models import weights_file
from seglib.models.checkpoint import contents


def read(weights: Path) -> dict[str, str]:
    """Metadata of a checkpoint; empty if it is a pickle. Raises `WeightsError`."""
    return weights_file.read_metadata(weights) if contents.file_kind(weights) == "safetensors" else {}


def unreadable(weights: Path) -> WeightsError:
    return WeightsError(f"{weights.name} has metadata that cannot be read: was it made by seglib train?")


def read_classes(weights: Path) -> tuple[str, ...]:
    """Class names from a checkpoint's metadata; empty if it has none. Raises `WeightsError`."""
    about = read(weights)
    try:
        return parse_class_names(json.loads(about["classes"])) if "classes" in about else ()
    except (ValueError, RecursionError):
        raise unreadable(weights) from None


def read_options(weights: Path) -> tuple[tuple[str, str], ...]:
    """Architecture options from a checkpoint's metadata, as sorted (name, value) pairs. Raises `WeightsError`."""
    about = read(weights)
    try:
        return parse_options(about)
    except (ValueError, AttributeError, RecursionError):
        raise unreadable(weights) from None


def parse_class_names(value: object) -> tuple[str, ...]:
    """Validate a JSON list of class names. Raises `ValueError`."""
    names = tuple(value) if isinstance(value, list) else ()
    if not are_valid_class_names(names):
        raise ValueError
    return names


def parse_trained_classes(about: dict[str, str]) -> tuple[str, ...] | None:
    """`trained_classes`, those that the training showed; None if the file does not say.

    Raises `ValueError` if they are not names, or not among the file's `classes`.
    """
    if "trained_classes" not in about:
        return None
    trained = parse_class_names(json.loads(about["trained_classes"]))
    if "classes" in about and not set(trained) <= set(parse_class_names(json.loads(about["classes"]))):
        raise ValueError
    return trained


def parse_rgb(value: object, *, positive: bool = False) -> tuple[float, float, float]:
    """Validate a JSON list of three finite numbers. Raises `ValueError`."""
    red, green, blue = map(float, value if isinstance(value, list) else [])
    if not all(math.isfinite(one) and (one > 0 or not positive) for one in (red, green, blue)):
        raise ValueError
    return red, green, blue


def parse_net_side(about: dict[str, str]) -> int:
    """`net_side`, 0 by default. Raises `ValueError` or `UsageError`."""
    side = int(about.get("net_side", 0))
    check_net_side(side)
    return side


def parse_options(about: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Architecture options as sorted (name, value) pairs. Raises `ValueError` or `AttributeError`."""
    return tuple(sorted((str(name), str(value)) for name, value in json.loads(about.get("options", "{}")).items()))
