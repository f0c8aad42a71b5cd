"""Sets of image ids that take 16 bytes for each: 160 MB for ten million, where a set of texts takes 1.3 GB.

An id is 32 hex digits (`image.compute_image_id`); packed, it is the 16 bytes that they spell.
"""

from collections.abc import Iterable, Iterator, Set

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

PACKED = np.dtype("S16")
_DIGITS = 32
_MOST_RECENT = 1 << 16

Packed = NDArray[np.bytes_]


class ImageIds(Set[str]):
    """A set of image ids, to which ids can be added one by one."""

    def __init__(self, ids: Iterable[str] = ()) -> None:
        self._sorted = _sort_unique(pack(pa.array(list(ids), pa.string())))
        self._recent: set[bytes] = set()

    @classmethod
    def of_column(cls, column: pa.Array | pa.ChunkedArray) -> "ImageIds":
        """The ids in a column of strings, without nulls."""
        return cls.of_packed([pack(column)])

    @classmethod
    def of_packed(cls, pieces: list[Packed]) -> "ImageIds":
        """The ids in all of these, whose list is emptied: of millions, few are in memory twice."""
        made, packed = cls(), np.concatenate([np.empty(0, PACKED), *pieces])
        pieces.clear()
        made._sorted = _sort_unique(packed)
        return made

    def add(self, image_id: str) -> None:
        self._recent.add(bytes.fromhex(image_id))
        if len(self._recent) > max(_MOST_RECENT, len(self._sorted) // 8):  # so that all merges together stay linear
            self._merge()

    def select(self, ids: pa.ChunkedArray | pa.Array) -> NDArray[np.bool_]:
        """bool (N,): whether each id of a column is in the set; False for nulls."""
        self._merge()
        found = np.zeros(len(ids), bool)
        present = ids.is_valid().to_numpy(zero_copy_only=False)
        wanted = pack(ids.drop_null())
        places = np.searchsorted(self._sorted, wanted)
        places[places == len(self._sorted)] = 0
        found[present] = self._sorted[places] == wanted if len(self._sorted) else False
        return found

    def __contains__(self, image_id: object) -> bool:
        try:
            wanted = bytes.fromhex(image_id) if isinstance(image_id, str) else b""
        except ValueError:
            return False
        if wanted.hex() != image_id or len(wanted) != PACKED.itemsize:
            return False
        if wanted in self._recent:
            return True
        place = np.searchsorted(self._sorted, np.bytes_(wanted))
        return self._sorted[place : place + 1].tobytes() == wanted

    def __iter__(self) -> Iterator[str]:
        self._merge()
        for start in range(0, len(self._sorted), _MOST_RECENT):
            yield from unpack(self._sorted[start : start + _MOST_RECENT])

    def __len__(self) -> int:
        self._merge()
        return len(self._sorted)

    def __repr__(self) -> str:
        return f"<{len(self)} image ids>"

    def _merge(self) -> None:
        if self._recent:
            self._sorted = np.union1d(self._sorted, np.array(list(self._recent), PACKED))
            self._recent = set()


def pack(ids: pa.Array | pa.ChunkedArray) -> Packed:
    """The ids of a column of strings without nulls, (N,) of 16 bytes. Raises `ValueError` for anything else."""
    if isinstance(ids, pa.ChunkedArray):
        return np.concatenate([pack(chunk) for chunk in ids.chunks] or [np.empty(0, PACKED)])
    if not len(ids):
        return np.empty(0, PACKED)
    try:
        digits = pc.cast(pc.cast(ids, pa.binary()), pa.binary(_DIGITS))
        data = np.frombuffer(digits.buffers()[1], np.uint8)[digits.offset * _DIGITS :][: len(ids) * _DIGITS]
    except pa.ArrowInvalid:
        raise ValueError("An image id has 32 hex digits.") from None
    values = _VALUE_OF_DIGIT[data]
    if digits.null_count or (values > 15).any():
        raise ValueError("An image id has 32 hex digits.")
    return (values[0::2] << 4 | values[1::2]).view(PACKED)


def _sort_unique(packed: Packed) -> Packed:
    """Sorts the array itself."""
    packed.sort()
    repeated = packed[1:] == packed[:-1]
    return packed[np.append(True, ~repeated)] if repeated.any() else packed


def unpack(packed: Packed) -> list[str]:
    digits = packed.tobytes().hex()
    return [digits[start : start + _DIGITS] for start in range(0, len(digits), _DIGITS)]


_VALUE_OF_DIGIT = np.full(256, 255, np.uint8)
_VALUE_OF_DIGIT[np.frombuffer(b"0123456789abcdef", np.uint8)] = np.arange(16)
