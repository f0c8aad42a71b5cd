"""Image processors of transformers: their settings as rules of seglib, checked against what they really do.

The decoding processes resize by `ProcessorSettings.resize`, with Pillow, as the processors' own Pillow variant does;
`ModelSpec.mean` and `std` hold rescaling and normalisation in one. A centre crop is left out: it would cut off the
edges of every photo, whose pixels must all get a class.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from seglib.adapters.hugging_face.resizing import ProcessorResize
from seglib.data.resize import MAX_SIDE, MIN_SIDE, RESAMPLING, Resize, resize_image
from seglib.errors import UsageError, WeightsError

Rgb = tuple[float, float, float]

_LOOKED_UP = ("class_info_file", "repo_path", "metadata")
"""Settings of OneFormer's that name a file of class names on the network; only its training needs them."""

_PROBES_WH = ((200, 150), (150, 200), (64, 64))
"""Sizes of the images on which the reading of an image processor is compared with the processor itself."""

_MAX_LEVELS = 2.5  # of 255, by which torchvision's resizing may differ from Pillow's


@dataclass(frozen=True, kw_only=True)
class ProcessorSettings:
    resize: Resize
    """From an image to the model's input."""
    grid: Resize
    """Of the mask, by default: the input's shorter side, in the image's own aspect ratio."""
    mean: Rgb
    std: Rgb
    """Of images of range 0..1, with the rescaling: (x * rescale_factor - image_mean) / image_std."""
    channels: str = "rgb"
    pad_wh: tuple[int, int] | None = None
    """Inputs are padded at the right and bottom to this size."""
    pad_value: float | None = None
    """Of the padding, after normalisation; None: black, normalised."""
    patch: int = 0
    """Inputs are cut into overlapping squares of this side along their longer side; 0: they are not."""
    crops: bool = False
    """It would cut out the centre, which is left out."""


def build_processor(settings: dict[str, Any], model_type: str) -> Any:
    """The image processor of transformers in its Pillow variant, or another if it has none. Raises `WeightsError`."""
    from transformers.image_processing_utils import BaseImageProcessor
    from transformers.models.auto.image_processing_auto import (
        IMAGE_PROCESSOR_MAPPING_NAMES,
        get_image_processor_class_from_name,
    )

    name = settings.get("image_processor_type") or settings.get("feature_extractor_type")
    if name is None:
        name = IMAGE_PROCESSOR_MAPPING_NAMES.get(model_type, {}).get("torchvision")
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9]+", name):
        raise WeightsError(f"The image processor {name!r} is not known: expected one of transformers.")
    name = name.replace("FeatureExtractor", "ImageProcessor").removesuffix("Fast").removesuffix("Pil")
    for variant in (f"{name}Pil", name):
        found: Any = get_image_processor_class_from_name(variant)
        known = isinstance(found, type) and issubclass(found, BaseImageProcessor)
        if known and not hasattr(found, "is_dummy"):
            values = {key: value for key, value in settings.items() if key not in _LOOKED_UP}
            try:
                return found.from_dict(values)
            except Exception as error:  # each processor checks its values in its own way
                raise WeightsError(f"The settings of {name} cannot be read ({error}).") from None
    raise WeightsError(f"The image processor {name!r} is not known to the installed transformers: upgrade it.")


def read_settings(processor: Any) -> ProcessorSettings:
    """Raises `WeightsError` for settings that are not known here."""
    sides = _sides(processor)
    resize = _resize_rule(processor, sides)
    mean, std = _normalisation(processor)
    patch, pad_wh, pad_value = 0, None, None
    if getattr(processor, "do_split_image", False):
        patch = sides["shortest_edge"]
    elif hasattr(processor, "do_split_image") and processor.do_pad:
        pad_wh = (sides.get("longest_edge") or sides["shortest_edge"], sides["shortest_edge"])
    elif (pad_size := getattr(processor, "pad_size", None)) and (processor.do_pad or _is_mask_former(processor)):
        pad_wh, pad_value = (pad_size["width"], pad_size["height"]), 0.0
    return ProcessorSettings(
        resize=resize,
        grid=_grid_rule(processor, sides),
        mean=mean,
        std=std,
        channels="bgr" if getattr(processor, "do_flip_channel_order", False) else "rgb",
        pad_wh=pad_wh,
        pad_value=pad_value,
        patch=patch,
        crops=bool(getattr(processor, "do_center_crop", False)),
    )


def _is_mask_former(processor: Any) -> bool:
    return type(processor).__name__.startswith(("MaskFormer", "Mask2Former"))


def _sides(processor: Any) -> dict[str, int]:
    """The sides that `size` names."""
    size = getattr(processor, "size", None)
    sides = {name: value for name, value in dict(size or {}).items() if value is not None}
    if not all(isinstance(value, int) and 0 < value <= MAX_SIDE for value in sides.values()):
        raise WeightsError(f"The image processor resizes to {sides}: expected sides of 1 to {MAX_SIDE} pixels.")
    return sides


def _resize_rule(processor: Any, sides: dict[str, int]) -> Resize:
    if not processor.do_resize:
        return Resize("native")
    resample = _resample(processor)
    if getattr(processor, "keep_aspect_ratio", False) and {"height", "width"} <= sides.keys():
        return _aspect_rule("scale", sides["height"], sides["width"], processor.ensure_multiple_of, resample)
    multiple = int(processor.size_divisor or 1) if _is_mask_former(processor) else 1
    if "shortest_edge" in sides:
        return _aspect_rule("edges", sides["shortest_edge"], sides.get("longest_edge", 0), multiple, resample)
    if {"max_height", "max_width"} <= sides.keys():
        return _aspect_rule("box", sides["max_height"], sides["max_width"], multiple, resample)
    if not {"height", "width"} <= sides.keys():
        raise WeightsError(f"The image processor resizes to {sides}: expected height and width, or the shortest edge.")
    step = int(getattr(processor, "ensure_multiple_of", None) or 1)
    width, height = (
        max(1, round(math.ceil(sides[name] / multiple) * multiple / step)) * step for name in ("width", "height")
    )
    return Resize(f"{width}x{height}", resample=resample)


def _aspect_rule(fit: Any, height: int, width: int, multiple: int, resample: str) -> ProcessorResize:
    text = f"short:{min(height, width or height)}"
    return ProcessorResize(text, fit=fit, height=height, width=width, multiple=multiple, resample=resample)


def _resample(processor: Any) -> str:
    """The filter's name in `RESAMPLING`; bilinear if none is set, as in transformers."""
    value = getattr(processor, "resample", None)
    names = {int(filter_): name for name, filter_ in RESAMPLING.items()}
    if value is None:
        return "bilinear"
    if not isinstance(value, int) or int(value) not in names:
        raise WeightsError(
            f"The image processor resizes by the filter {value!r}: expected one of {', '.join(RESAMPLING)}."
        )
    return names[int(value)]


def _grid_rule(processor: Any, sides: dict[str, int]) -> Resize:
    if not processor.do_resize:
        return Resize("native")
    shorter = min(value for name, value in sides.items() if name != "longest_edge" or len(sides) == 1)
    return Resize(f"short:{max(MIN_SIDE, shorter)}")


def _normalisation(processor: Any) -> tuple[Rgb, Rgb]:
    """Mean and std for images of range 0..1, including the rescaling."""
    scale = 255 * float(processor.rescale_factor if processor.do_rescale else 1)
    if not processor.do_normalize:
        mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    else:
        mean, std = _as_rgb(processor.image_mean, "image_mean"), _as_rgb(processor.image_std, "image_std")
    if not math.isfinite(scale) or scale <= 0 or min(std) <= 0:
        raise WeightsError("The image processor divides by a standard deviation or a factor that is not above 0.")
    (r, g, b), (x, y, z) = ([value / scale for value in values] for values in (mean, std))
    return (r, g, b), (x, y, z)


def _as_rgb(values: Any, name: str) -> Rgb:
    numbers = values if isinstance(values, Sequence) else [values] * 3
    try:
        red, green, blue = map(float, numbers)
    except (TypeError, ValueError):
        raise WeightsError(f"The image processor's {name} is {values!r}: expected three numbers.") from None
    if not all(map(math.isfinite, (red, green, blue))):
        raise WeightsError(f"The image processor's {name} is {values!r}: expected finite numbers.")
    return red, green, blue


def check_settings(processor: Any, settings: ProcessorSettings, name: str) -> None:
    """Compare what the settings say with what the processor does to images of noise. Raises `WeightsError`.

    A processor that treats images in a way that `read_settings` does not know is found here, before any mask is made.
    """
    from seglib.adapters.hugging_face.forward import prepare_inputs

    crop = {"do_center_crop": False} if settings.crops else {}
    tolerance = _MAX_LEVELS / 255 / min(settings.std)
    for width, height in _PROBES_WH:
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        image = Image.fromarray(noise)
        expected = processor(image, return_tensors="pt", **crop)["pixel_values"].float()
        found = prepare_inputs(resize_image(image, settings.resize), settings)
        if found.shape != expected.shape:
            raise _unknown(name, f"its size is {tuple(expected.shape)} there, and {tuple(found.shape)} here")
        if (difference := float((found - expected).abs().max())) > tolerance:
            raise _unknown(name, f"values differ by {difference:.3g}")


def _unknown(name: str, reason: str) -> UsageError:
    return UsageError(
        f"The image processor of {name} prepares a photo in a way that is not known here ({reason}): "
        "run it in transformers, and bring its masks by `seglib import-masks`."
    )
