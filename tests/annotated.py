"""Open masks that a test has drawn."""

from collections.abc import Sequence
from pathlib import Path

from seglib.annotations.options import AUTO, MaskOptions
from seglib.annotations.reader import Masks, open_masks


def open_drawn(folder: Path, classes: Sequence[str] | None = None, **options: object) -> Masks:
    """The masks of a folder: indices into `classes` if they are given, else whatever the masks show."""
    reading = {"format": "index" if classes else AUTO, "classes": tuple(classes) if classes else None}
    return open_masks(folder, MaskOptions(**{**reading, **options}))
