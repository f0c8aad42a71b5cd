"""An immutable set of picked photos, held as image ids; it may be as large as a store.

The ids are kept in one Arrow array, since a million Python strings would take ten times the memory.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.data.image import is_image_id


def _empty_ids() -> pa.Array:
    return pa.array([], pa.string())


@dataclass(frozen=True)
class Picks:
    ids: pa.Array = field(default_factory=_empty_ids)
    """Unique, in the order in which they were picked."""

    def __len__(self) -> int:
        return len(self.ids)

    def picked_among(self, image_ids: Sequence[str]) -> list[str]:
        """Return those of the given ids that are picked."""
        picked = set(self.ids.filter(pc.is_in(self.ids, value_set=_to_array(image_ids))).to_pylist())
        return [image_id for image_id in image_ids if image_id in picked]

    def contains(self, image_ids: pd.Series) -> NDArray[np.bool_]:
        """Return a bool array that marks which rows of an image id column are picked."""
        contained: NDArray[np.bool_] = pc.is_in(_to_array(image_ids), value_set=self.ids).to_numpy(zero_copy_only=False)
        return contained

    def with_page(self, page_ids: Iterable[object], picked: Iterable[object]) -> "Picks":
        """Return the picks with the state of the photos `page_ids` replaced: of these, only `picked` stay picked.

        Both lists come from the browser; anything that is not an image id is ignored.
        """
        valid_ids = {i for i in page_ids if isinstance(i, str) and is_image_id(i)}
        chosen = list(dict.fromkeys(i for i in picked if isinstance(i, str) and i in valid_ids))
        remaining = self.ids.filter(pc.invert(pc.is_in(self.ids, value_set=pa.array(sorted(valid_ids), pa.string()))))
        return Picks(pa.concat_arrays([remaining, pa.array(chosen, pa.string())]))

    def union(self, image_ids: pd.Series) -> "Picks":
        """Return the picks with all ids of a column added."""
        return Picks(pc.unique(pa.concat_arrays([self.ids, _to_array(image_ids)])))


def _to_array(image_ids: "Sequence[str] | pd.Series") -> pa.Array:
    array = pa.array(image_ids, pa.string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
