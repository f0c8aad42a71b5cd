"""Group images into batches with the same input shape and the same mask size.

Images are added one at a time. A batch is returned when it is full or when too many images are waiting; `remaining`
returns the remaining ones.
"""

from typing import NamedTuple

from seglib.data.image import DecodedImage
from seglib.data.resize import Resize
from seglib.data.scan import Record


class ImageBatch(NamedTuple):
    grid_wh: tuple[int, int]
    """(width, height) of each mask."""
    items: list[tuple[Record, DecodedImage]]
    """All `image` arrays have the same shape."""


class Batcher:
    """Collects images into batches; at most four batches' worth of images wait at once."""

    def __init__(self, size: int, resize: Resize) -> None:
        self._size = size
        self._resize = resize
        self._waiting: dict[tuple[tuple[int, ...], tuple[int, int]], ImageBatch] = {}

    def add(self, record: Record, image: DecodedImage) -> ImageBatch | None:
        """Add an image. Returns a batch if it is now full, the largest one if too many images wait, else None."""
        grid_wh = self._resize.grid_wh(image.width, image.height)
        shapes = image.image.shape, grid_wh
        batch = self._waiting.setdefault(shapes, ImageBatch(grid_wh, []))
        batch.items.append((record, image))
        if len(batch.items) < self._size:
            if self.waiting < 4 * self._size:
                return None
            shapes = max(self._waiting, key=lambda one: len(self._waiting[one].items))
        return self._waiting.pop(shapes)

    @property
    def waiting(self) -> int:
        """Number of images not yet returned in a batch."""
        return sum(len(batch.items) for batch in self._waiting.values())

    def remaining(self) -> list[ImageBatch]:
        return list(self._waiting.values())
