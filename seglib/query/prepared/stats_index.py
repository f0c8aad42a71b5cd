"""Find the statistics of given images in a run's parts without holding more than their ids."""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from seglib.data.image_ids import PACKED, Packed, pack
from seglib.fileio import parquet_parts
from seglib.store.records import Run
from seglib.store.schemas import stats_schema
from seglib.store.store import Store

_KEPT_PARTS = 8
"""Parts kept in memory: neighbours in the table are mostly neighbours in a part."""


class StatsIndex:
    """The place of each image's newest row among the parts of a run."""

    def __init__(self, store: Store, run: Run) -> None:
        self._folder, self._schema = store.stats_folder(run), stats_schema(run.classes)
        self.parts = parquet_parts.list_parts(self._folder)
        only_ids = pa.schema([self._schema.field("image_id")])
        ids = [pack(parquet_parts.read_parts(self._folder, [name], only_ids)["image_id"]) for name in self.parts]
        self._starts = np.cumsum([0, *map(len, ids)])
        every = np.concatenate([np.zeros(0, PACKED), *ids])
        self._order = np.argsort(every, kind="stable")
        self._sorted = every[self._order]
        self._read: OrderedDict[int, pa.Table] = OrderedDict()

    def places(self, ids: Packed) -> NDArray[np.int64]:
        """int64 (N,): the newest row of each image, counted over all parts; -1 for one that has none."""
        places = np.full(len(ids), -1, np.int64)
        if len(self._sorted):
            last = np.searchsorted(self._sorted, ids, side="right") - 1  # the newest, since the order is stable
            found = (last >= 0) & (self._sorted[last] == ids)
            places[found] = self._order[last[found]]
        return places

    def part_names(self, places: NDArray[np.int64]) -> list[str]:
        """The parts that these rows are in."""
        return [self.parts[part] for part in self._parts_of(places)]

    def read(self, places: NDArray[np.int64]) -> pa.Table:
        """These rows, in any order. Raises `FileNotFoundError` if a part has been merged into another since."""
        tables = [self._schema.empty_table()]
        for part in self._parts_of(places):
            start, stop = self._starts[part], self._starts[part + 1]
            inside = places[(places >= start) & (places < stop)] - start
            tables.append(self._part(part).take(pa.array(np.sort(inside))))
        return pa.concat_tables(tables)

    def _parts_of(self, places: NDArray[np.int64]) -> Sequence[int]:
        parts: list[int] = np.unique(np.searchsorted(self._starts, places, side="right") - 1).tolist()
        return parts

    def _part(self, number: int) -> pa.Table:
        if number not in self._read:
            self._read[number] = parquet_parts.read_parts(self._folder, [self.parts[number]], self._schema)
            if len(self._read) > _KEPT_PARTS:
                self._read.popitem(last=False)
        self._read.move_to_end(number)
        return self._read[number]
