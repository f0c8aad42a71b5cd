"""Resize rules: from an image's size to the size of its mask, and to the size that a model sees."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.errors import UsageError

MIN_SIDE, MAX_SIDE = 32, 8192
"""Limits for the sides of a grid in pixels; the deepest models halve the size five times."""

_MAX_ASPECT = 4

RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_NATIVE_PIXELS = 4_000_000

_INPUT_STEP = 16  # a model that halves the size four times then yields maps aligned with the image


@dataclass(frozen=True)
class Resize:
    """Rule from image size to grid (mask) size: `224`, `640x480` (width x height), `short:520` or `native`.

    `224` and `640x480` stretch. `short:520` keeps the aspect ratio: the shorter side becomes 520, the longer one at
    most 4 * 520. `native` keeps the size up to 4 million pixels. No side is ever below 32 pixels, so that a strip of
    3000x2 gets a usable size. Raises `UsageError` for any other text.
    """

    text: str
    step: int = 1
    """Aspect-preserving rules round the sides to multiples of this."""
    longest: int = 0
    """`short:N` shrinks an image further whose longer side would exceed this; 0: four times N."""
    resample: str = "bilinear"
    """Filter of `resize_image`, one of `RESAMPLING`."""

    def __post_init__(self) -> None:
        sides = [int(n) for n in re.findall(r"\d+", self.text)]
        match = re.fullmatch(r"(short:)?[1-9]\d*|[1-9]\d*x[1-9]\d*|native", self.text, re.ASCII)
        if not match or any(not MIN_SIDE <= side <= MAX_SIDE for side in sides):
            raise UsageError(
                f"A resize is 224, 640x480 (width x height), short:520 or native, with sides from {MIN_SIDE} to "
                f"{MAX_SIDE}; {self.text!r} is not."
            )

    @property
    def description(self) -> str:
        """The rule in full, as the recipe of a run holds it."""
        longest = f", at most {self.longest}" if self.longest else ""
        filtered = f", {self.resample}" if self.resample != "bilinear" else ""
        return f"{self.text} in steps of {self.step}{longest}{filtered}"

    @property
    def slug(self) -> str:
        """The rule as written in run names, such as `short520`."""
        return self.text.replace(":", "")

    def grid_wh(self, width: int, height: int) -> tuple[int, int]:
        """Return (width, height) of the grid for an image of this size."""
        if self.text == "native":
            return self._scale(width, height, min(1.0, (_NATIVE_PIXELS / (width * height)) ** 0.5))
        if self.text.startswith("short:"):
            short_side = int(self.text.removeprefix("short:"))
            longest = self.longest or _MAX_ASPECT * short_side
            scale = min(short_side / min(width, height), longest / max(width, height))
            return self._scale(width, height, scale)
        sides = [int(n) for n in self.text.split("x")]
        return sides[0], sides[-1]

    def _scale(self, width: int, height: int, scale: float) -> tuple[int, int]:
        return self._round_to_step(width * scale), self._round_to_step(height * scale)

    def _round_to_step(self, side: float) -> int:
        return max(MIN_SIDE, round(side / self.step) * self.step)


def as_resize(resize: Resize | str) -> Resize:
    """The rule, given as such or as its text. Raises `UsageError`."""
    return resize if isinstance(resize, Resize) else Resize(resize)


def input_resize(resize: Resize, net_side: int) -> Resize:
    """Return the resize rule for the model's input.

    This is `resize`, the rule of the grid, unless `net_side` is set. Then the image keeps its own aspect ratio whatever
    the grid: the shorter side becomes `net_side`, the longer one at most 4 times that, both rounded to multiples of 16.
    """
    return side_rule(net_side) or resize


def side_rule(net_side: int) -> Resize | None:
    """The rule of `input_resize` for a model with its own short side; None if it has none."""
    return Resize(f"short:{net_side}", step=_INPUT_STEP) if net_side else None


def resize_image(image: Image.Image, resize: Resize) -> NDArray[np.uint8]:
    """Resize to uint8 (H, W, 3) RGB with the rule's antialiased filter; torchvision's presets use the bilinear one."""
    return np.asarray(image.resize(resize.grid_wh(*image.size), RESAMPLING[resize.resample]))


def check_net_side(net_side: int) -> None:
    """Raise `UsageError` if `net_side` is out of range; 0 means unset."""
    if net_side and not MIN_SIDE <= net_side <= MAX_SIDE:
        raise UsageError(f"A net side of {net_side} is out of range: expected {MIN_SIDE} to {MAX_SIDE} pixels.")


def input_size_wh(width: int, height: int, net_side: int) -> tuple[int, int]:
    """Return (width, height) of the model's input for an image of this size (see `input_resize`); unchanged if 0."""
    rule = side_rule(net_side)
    return rule.grid_wh(width, height) if rule else (width, height)


def resize_to_input(images: NDArray[np.uint8], rule: Resize | None) -> NDArray[np.uint8]:
    """Resize a batch to the model's input size: uint8 (B, H, W, 3) -> uint8 (B, h, w, 3), by the rule of its input.

    For images that are only available at grid size; without a rule, that is what the model sees.
    """
    grid_wh = (images.shape[2], images.shape[1])
    if rule is None or rule.grid_wh(*grid_wh) == grid_wh:
        return images
    return np.stack([resize_image(Image.fromarray(image), rule) for image in images])
