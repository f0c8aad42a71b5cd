"""Look at a column of text by its distinct values, of which there are often far fewer than rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

GAP_WORDS = frozenset(("na", "n/a", "#n/a", "nan", "null", "none", "-"))
"""Stand for a missing value, in any case, in columns of numbers, dates, and true or false."""


@dataclass(frozen=True)
class DistinctTexts:
    name: str
    """Of the column."""
    every: pa.DictionaryArray
    """One per row, gap words included; null where the cell is empty."""
    rows: pa.Array
    """int32 per row: position in `texts`; null for gaps."""
    texts: pa.Array
    """string: the distinct texts, gap words excepted."""
    gap_words: tuple[str, ...]

    def first_row(self, chosen: NDArray[np.bool_]) -> int:
        """The first row with one of the chosen `texts`."""
        hits = pc.fill_null(pa.array(chosen).take(self.rows), False)
        return int(pc.index(hits, True).as_py())

    def spread(self, values: pa.Array) -> pa.Array:
        """One value per distinct text -> one per row, null for gaps."""
        return values.take(self.rows)


def look_at(name: str, values: pa.DictionaryArray, missing: Sequence[str]) -> DistinctTexts:
    """`missing`: words that stand for a missing value even in a text."""
    words = values.dictionary
    words = pc.if_else(
        pc.is_in(words, value_set=pa.array(list(missing), pa.string())), pa.scalar(None, pa.string()), words
    )
    every = pa.DictionaryArray.from_arrays(values.indices, words).cast(pa.string()).dictionary_encode()
    is_gap = pc.is_in(pc.utf8_lower(every.dictionary), value_set=pa.array(sorted(GAP_WORDS), pa.string()))
    if not pc.any(is_gap, min_count=0).as_py():
        return DistinctTexts(name, every, every.indices, every.dictionary, ())
    kept = pc.invert(is_gap)
    place = pa.array(np.cumsum(kept.to_numpy(zero_copy_only=False)) - 1, pa.int32())
    place = pc.if_else(kept, place, pa.scalar(None, pa.int32()))
    return DistinctTexts(
        name,
        every,
        place.take(every.indices),
        every.dictionary.filter(kept),
        tuple(every.dictionary.filter(is_gap).to_pylist()),
    )
