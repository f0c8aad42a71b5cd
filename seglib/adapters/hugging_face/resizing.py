"""The sizes that image processors of transformers give an image, computed by their own rounding.

Two bounds are not theirs, so that a strip of 3000x2 gets a usable size: no side is below 32 pixels, and where nothing
limits the longer side, it is at most four times the shorter one.
"""

import math
from dataclasses import dataclass
from typing import Literal

from seglib.data.resize import MIN_SIDE, Resize

_MAX_ASPECT = 4


@dataclass(frozen=True, kw_only=True)
class ProcessorResize(Resize):
    """A rule of an image processor that keeps the aspect ratio. `text` is the nearest rule of `Resize`."""

    fit: Literal["edges", "box", "scale"]
    """`edges`: the shorter side becomes the smaller of the two numbers, the longer one at most the larger. `box`: as
    large as fits into height x width. `scale`: height or width is met, whichever scales the image less.
    """
    height: int
    """The shortest edge, for `edges`."""
    width: int
    """The longest edge, for `edges`; 0: four times the shortest."""
    multiple: int = 1
    """Sides become multiples of this: the next larger ones, and for `scale` the nearest."""

    @property
    def description(self) -> str:
        sides = {
            "edges": f"a short side of {self.height}, a long side of at most {self._longest}",
            "box": f"the size that fits into {self.width}x{self.height}",
            "scale": f"the nearest size that is {self.width} wide or {self.height} high",
        }
        return f"{sides[self.fit]}, in multiples of {self.multiple}, {self.resample}"

    @property
    def _longest(self) -> int:
        return self.width or _MAX_ASPECT * self.height

    def grid_wh(self, width: int, height: int) -> tuple[int, int]:
        if self.fit == "edges":
            sides = self._by_edges(width, height)
        elif self.fit == "box":
            scale = min(self.height / height, self.width / width)
            sides = int(width * scale), int(height * scale)
        else:
            return self._by_scale(width, height)
        return self._next_multiple(sides[0]), self._next_multiple(sides[1])

    def _by_edges(self, width: int, height: int) -> tuple[int, int]:
        """As `get_size_with_aspect_ratio` of transformers."""
        short, long = min(width, height), max(width, height)
        exact: float = self.height
        if long / short * self.height > self._longest:
            exact = self._longest * short / long
        new_short = round(exact)
        new_long = long if short == new_short else int(exact * long / short)
        return (new_short, new_long) if width < height else (new_long, new_short)

    def _by_scale(self, width: int, height: int) -> tuple[int, int]:
        """As `get_resize_output_image_size` of DPT's image processor."""
        by_height, by_width = self.height / height, self.width / width
        scale = by_width if abs(1 - by_width) < abs(1 - by_height) else by_height
        return self._nearest_multiple(scale * width), self._nearest_multiple(scale * height)

    def _next_multiple(self, side: int) -> int:
        return math.ceil(max(MIN_SIDE, side) / self.multiple) * self.multiple

    def _nearest_multiple(self, side: float) -> int:
        return max(round(side / self.multiple), math.ceil(MIN_SIDE / self.multiple)) * self.multiple
