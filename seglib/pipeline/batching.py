"""Photos gather into batches: those that the net sees in one shape, and whose masks have one size.

In: one photo after the other. Out: batches, when they are full, when too many photos wait, and at the end. Knows
nothing of nets, files or stores.
"""

from typing import NamedTuple

from seglib.data.image import Photo
from seglib.data.resize import Resize
from seglib.pipeline.planning import Record


class Batch(NamedTuple):
    grid_wh: tuple[int, int]
    """(width, height) of each mask."""
    photos: list[tuple[Record, Photo]]
    """All `image`s have one shape."""


class Batches:
    """At most four batches' photos wait at once."""

    def __init__(self, size: int, resize: Resize) -> None:
        self._size = size
        self._resize = resize
        self._waiting: dict[tuple[tuple[int, ...], tuple[int, int]], Batch] = {}

    def add(self, record: Record, photo: Photo) -> Batch | None:
        """The batch to compute now, if one is full or too many photos wait: then the fullest."""
        grid_wh = self._resize.grid_wh(photo.width, photo.height)
        shapes = photo.image.shape, grid_wh
        batch = self._waiting.setdefault(shapes, Batch(grid_wh, []))
        batch.photos.append((record, photo))
        if len(batch.photos) < self._size:
            if self.waiting < 4 * self._size:
                return None
            shapes = max(self._waiting, key=lambda one: len(self._waiting[one].photos))
        return self._waiting.pop(shapes)

    @property
    def waiting(self) -> int:
        """Photos that no batch has taken yet."""
        return sum(len(batch.photos) for batch in self._waiting.values())

    def rest(self) -> list[Batch]:
        return list(self._waiting.values())
