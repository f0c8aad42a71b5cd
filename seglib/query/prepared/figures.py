"""The figures and charts of a selection of a prepared table, as `query.statistics` and `query.histograms` give them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import BACKGROUND
from seglib.query.filters import Filters
from seglib.query.histograms import QUANTILES, round_step, unit_edges
from seglib.query.prepared.table import PreparedTable
from seglib.query.sql.columns import PRESENCE_BITS
from seglib.query.statistics import KeyFigures, arrange_contents, single_classes


class PreparedFigures:
    """Implements `query.figures.Figures`."""

    def __init__(self, table: PreparedTable, filters: Filters) -> None:
        self._table, self._columns, self._where = table, table.columns, table.counted(filters)

    def key_figures(self) -> KeyFigures:
        known = BACKGROUND in self._columns.classes
        foreground = f"avg(1 - {self._columns.share(BACKGROUND)})" if known else "null"
        row = self._one(
            f"count(*), {foreground}, avg(confidence), count(*) filter (agreement = 'agrees'), count(agreement)"
        )
        return KeyFigures(*row)

    def class_distribution(self) -> pd.DataFrame:
        classes, wanted = self._columns.classes, []
        for name in classes:
            share, present = self._columns.share(name), self._columns.present(name).text
            wanted += [f"avg({share})", f"avg(case when {present} then {share} end)", f"count({share})"]
        row = self._one(", ".join(wanted)) if wanted else ()
        rows = []
        for number, (name, with_class) in enumerate(self.count_present().items()):
            mean, mean_present, n = row[3 * number : 3 * number + 3]
            rows.append(
                {
                    "class": name,
                    "mean_share": mean,
                    "mean_share_when_present": mean_present,
                    "present": with_class,
                    "presence": with_class / n if n else None,
                    "n": n,
                }
            )
        columns = ["class", "mean_share", "mean_share_when_present", "present", "presence", "n"]
        return pd.DataFrame(rows, columns=columns).set_index("class")

    def count_present(self) -> dict[str, int]:
        bits, counts = self._presence()
        return dict(zip(self._columns.classes, (bits @ counts).tolist(), strict=True))

    def co_occurrence(self) -> pd.DataFrame:
        classes, (bits, counts) = self._columns.classes, self._presence()
        return pd.DataFrame((bits * counts) @ bits.T, index=classes, columns=classes)

    def _presence(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """(int64 0 or 1 (C, S), int64 (S,)): the sets of classes that are present together, and their photos."""
        words = self._columns.presence_words()
        rows = self._rows(f"{', '.join(words)}, count(*)", "group by all") if words else []
        groups = np.array(rows, np.int64).reshape(-1, len(words) + 1)
        places = range(len(self._columns.classes))
        bits = [groups[:, place // PRESENCE_BITS] >> place % PRESENCE_BITS & 1 for place in places]
        return np.array(bits, np.int64).reshape(len(places), -1), groups[:, -1]

    def folder_vs_content(self) -> pd.DataFrame:
        named = [name for (name,) in self._rows("label_class", "group by all") if name is not None]
        return arrange_contents(self._count_by_label("content"), named, self._columns.classes)

    def classes_of_labels(self) -> dict[str, str]:
        return single_classes(self._count_by_label("label_class"))

    def count_contradictions(self) -> int:
        return int(self._one("count(*) filter (agreement = 'contradicts')")[0])

    def _count_by_label(self, column: str) -> pd.DataFrame:
        """int64: photos per folder label (`""` without one) and name; photos without a name do not count."""
        rows = self._rows(f"coalesce(label, ''), {column}, count(*)", "group by all")
        frame = pd.DataFrame(rows, columns=["label", column, "n"]).dropna()
        counts = frame.pivot(index="label", columns=column, values="n").fillna(0).astype("int64")
        return counts.sort_index().sort_index(axis=1)

    def share_by_label(self) -> pd.DataFrame:
        classes = self._columns.classes
        means = "".join(f", avg({self._columns.share(name)})" for name in classes)
        rows = self._rows(f"coalesce(label, '') as label, count(*){means}", "group by 1 order by 1")
        frame = pd.DataFrame(rows, columns=["label", "n", *classes]).set_index("label")
        return frame.astype(dict.fromkeys(classes, "float64"))

    def share_spread_by_label(self, name: str) -> pd.DataFrame:
        share = self._columns.share(name)
        rows = self._rows(
            f"coalesce(label, '') as label, count(*), avg({share}), quantile_cont({share}, {[*QUANTILES.values()]})",
            "group by 1 order by 1",
            f"{share} is not null",
        )
        rows = [(*first, *quantiles) for *first, quantiles in rows]
        return pd.DataFrame(rows, columns=["label", "n", "mean", *QUANTILES]).set_index("label")

    def histogram(self, field: str, bins: int = 20) -> pd.DataFrame:
        edges = unit_edges(bins)
        value = self._columns.number(field)
        rows = self._rows(f"{_bin(value, bins)}, count(*)", "group by 1", f"{value} is not null", (edges.tolist(),) * 2)
        counts = np.zeros(bins, np.int64)
        for number, n in rows:
            counts[number] = n
        return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": counts})

    def density(self, x: str, y: str, bins: tuple[int, int] = (50, 20)) -> pd.DataFrame:
        x_edges, y_edges = map(unit_edges, bins)
        x_value, y_value = self._columns.number(x), self._columns.number(y)
        rows = self._rows(
            f"{_bin(x_value, bins[0])} as x, {_bin(y_value, bins[1])} as y, count(*)",
            "group by x, y order by x, y",
            f"{x_value} is not null and {y_value} is not null",
            (x_edges.tolist(),) * 2 + (y_edges.tolist(),) * 2,
        )
        column, line, counts = np.array(rows, np.int64).reshape(-1, 3).T
        return pd.DataFrame(
            {
                "x_low": x_edges[column],
                "x_high": x_edges[column + 1],
                "y_low": y_edges[line],
                "y_high": y_edges[line + 1],
                "count": counts,
            }
        )

    def image_sizes(self, max_bins: int = 24) -> pd.DataFrame:
        names = ("x_low", "x_high", "y_low", "y_high", "count")
        n, *ends = self._one("count(*), min(width), max(width), min(height), max(height)")
        if not n:
            return pd.DataFrame({name: np.zeros(0, np.int64) for name in names})
        side = round_step(max(ends[1] - ends[0], ends[3] - ends[2]) / max_bins)
        text = f"width // {side} as x, height // {side} as y, count(*)"
        column, line, counts = np.array(self._rows(text, "group by x, y order by x, y"), np.int64).reshape(-1, 3).T
        x, y = column * side, line * side
        return pd.DataFrame(dict(zip(names, (x, x + side - 1, y, y + side - 1, counts), strict=True)))

    def blob_counts(self, names: Sequence[str], max_blobs: int = 5) -> pd.DataFrame:
        index = pd.RangeIndex(max_blobs + 1, name="regions")
        counts = pd.DataFrame(0, index=index, columns=list(names), dtype="int64")
        for name in names:
            blobs = self._columns.blobs(name)
            for regions, n in self._rows(
                f"least({blobs}, {max_blobs}), count(*)", "group by 1", f"{blobs} is not null"
            ):
                counts.loc[regions, name] = n
        return counts

    def _one(self, wanted: str) -> tuple[Any, ...]:
        return self._rows(wanted)[0]

    def _rows(
        self, wanted: str, rest: str = "", also: str = "true", values: tuple[Any, ...] = ()
    ) -> list[tuple[Any, ...]]:
        """`values`: of the placeholders in `wanted`."""
        text = f"select {wanted} from photos where {self._where.text} and {also} {rest}"
        return self._table.query(text, (*values, *self._where.values))


def _bin(value: str, bins: int) -> str:
    """The bin of a value within 0..1, by exact comparison with its edges, which are bound twice as a list."""
    guess = f"least(greatest(floor({value} * {bins})::integer, 0), {bins - 1})"
    below, above = f"{value} < (?::double[])[{guess} + 1]", f"{value} >= (?::double[])[{guess} + 2]"
    return f"({guess} - ({below})::integer + ({above} and {guess} < {bins - 1})::integer)"
