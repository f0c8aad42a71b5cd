"""Compute a perceptual hash of 64 bits, which hardly changes if an image is scaled, re-encoded or made brighter.

Two hashes are compared by the number of bits in which they differ (`hamming_distance`): up to 10 of 64 usually means
the same picture. Defined as in the package `imagehash`.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_SIDE = 8


def difference_hash(grey: Image.Image) -> int:
    """dHash of a grey image ("L"): whether each of 8 x 8 pixels is darker than the one to its right.

    Krawetz, *Kind of Like That*, 2013 (hackerfactor.com/blog/?/archives/529-Kind-of-Like-That.html).
    """
    pixels = np.asarray(grey.resize((_SIDE + 1, _SIDE), Image.Resampling.LANCZOS))
    return _pack(pixels[:, 1:] > pixels[:, :-1])


def mirrored(dhash: int) -> int:
    """The dHash of the image mirrored left to right, except where two neighbours are equally bright."""
    bits = np.unpackbits(np.frombuffer(dhash.to_bytes(8, "big"), np.uint8)).reshape(_SIDE, _SIDE)
    return _pack(bits[:, ::-1] == 0)


def hamming_distance(first: NDArray[np.uint64], second: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """uint8: number of bits in which hashes differ, 0..64; the arrays are broadcast."""
    bits: NDArray[np.uint8] = np.bitwise_count(first ^ second)
    return bits


def _pack(bits: NDArray[np.bool_]) -> int:
    """The bits (8, 8) as a number, the first one as its highest."""
    return int.from_bytes(np.packbits(bits).tobytes(), "big")
