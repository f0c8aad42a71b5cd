"""Everything that is measured of a photo, as one value."""

from dataclasses import asdict, dataclass

import numpy as np
from PIL import Image

from seglib.data.photo_measures.exif import GpsPrecision, PhotoExif, read_exif
from seglib.data.photo_measures.hashes import difference_hash
from seglib.data.photo_measures.quality import Quality, measure_quality, small_grey

VERSION = 1
"""Version of the definitions: increase it when one changes or is added, so that stored photos are measured again."""

_LARGE = 256
"""From this long side on, brightness and entropy are measured on half of it, which takes a quarter of the time."""


@dataclass(frozen=True)
class PhotoMeasures:
    file_size: int
    """Bytes."""
    aspect: float
    """Width divided by height, upright."""
    quality: Quality
    dhash: int
    """64 bits, see `hashes`; of the upright image."""
    exif: PhotoExif
    gps: GpsPrecision
    """How precisely the position was kept, if there is any."""

    def to_row(self) -> dict[str, object]:
        """Column -> value, as the store keeps them."""
        return {
            "version": VERSION,
            "file_size": self.file_size,
            "aspect": self.aspect,
            **asdict(self.quality),
            "dhash": self.dhash,
            **asdict(self.exif),
            "gps": self.gps.value,
        }


def measure_photo(small: Image.Image, size_wh: tuple[int, int], data: bytes, gps: GpsPrecision) -> PhotoMeasures:
    """Measure a photo of `size_wh` pixels from a reduced copy of it (upright RGB) and its file's content."""
    grey = small_grey(small)
    if max(small.size) >= _LARGE:
        small = small.reduce(2)
    return PhotoMeasures(
        file_size=len(data),
        aspect=size_wh[0] / size_wh[1],
        quality=measure_quality(np.asarray(small), grey),
        dhash=difference_hash(grey),
        exif=read_exif(data, gps),
        gps=gps,
    )
