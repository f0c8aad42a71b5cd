"""Measure slices of an evaluation or a comparison, and list them, the worst first.

`measure_slices` gives a `SliceTable`: per slice each measure with its interval over images, and the range in which it
would lie for as many images drawn at random. Only outside of that range is a slice said to differ beyond chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from seglib.errors import UsageError
from seglib.evaluation.slices.cut import Cut, FieldValues, Slice
from seglib.metrics import bootstrap
from seglib.metrics.measures import Measure
from seglib.metrics.slice_estimates import MIN_IMAGES, SliceEstimate, estimate_slices
from seglib.query.fields import Field, find_field, is_column
from seglib.store.store import Store

EVALUATION_MEASURES = ("miou", "pixel_accuracy")
COMPARISON_MEASURES = ("pixel_agreement", "foreground_agreement")


@dataclass(frozen=True, kw_only=True)
class SliceFigures:
    """The measures of one slice."""

    slice: Slice
    images: int
    estimates: Mapping[str, SliceEstimate]

    @property
    def is_small(self) -> bool:
        """Whether it has too few images for an interval."""
        return self.images < MIN_IMAGES


@dataclass(frozen=True, kw_only=True)
class SliceTable:
    """Slices of the same images, sorted by the first measure over all pixels: the lowest first, small slices last."""

    field: Field
    images: int
    """Number of images that were cut."""
    overlaps: bool
    """Whether an image may be in several slices, as with tags."""
    left_out: int
    """Number of tags that are too rare to be a slice of their own."""
    measures: tuple[str, ...]
    rows: tuple[SliceFigures, ...]

    def records(self, *, split_intervals: bool = False) -> list[dict[str, Any]]:
        """One dictionary per slice, for JSON and tables.

        Keys: field, slice, where (its filter, or None), images, small; for each measure those of
        `bootstrap.flatten_estimates`, and `<measure>_others` (over all pixels of all other images),
        `<measure>_random_interval` ([low, high] of as many images drawn at random; with `split_intervals`
        `<measure>_random_low` and `_high`) and `<measure>_beyond_chance` ("below" or "above" that range, or None).
        """
        return [self._record(row, split_intervals=split_intervals) for row in self.rows]

    def _record(self, row: SliceFigures, *, split_intervals: bool) -> dict[str, Any]:
        flat: dict[str, Any] = {"field": self.field.name, "slice": row.slice.name, "where": row.slice.where}
        flat |= {"images": row.images, "small": row.is_small}
        for name in self.measures:
            one = row.estimates[name]
            flat |= bootstrap.flatten_estimates({name: one.figure}, split_intervals=split_intervals)
            flat[f"{name}_others"] = one.others
            if split_intervals:
                flat[f"{name}_random_low"], flat[f"{name}_random_high"] = one.random_range or (None, None)
            else:
                flat[f"{name}_random_interval"] = list(one.random_range) if one.random_range else None
            flat[f"{name}_beyond_chance"] = "below" if one.is_below else "above" if one.is_above else None
        return flat


def measure_slices(
    measures: Mapping[str, Measure],
    cut: Cut,
    names: Sequence[str],
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> SliceTable:
    """Estimate the named measures, which are of the images that were cut, for each slice."""
    found = estimate_slices({name: measures[name] for name in names}, cut.rows, seed=seed, resamples=resamples)
    figures = [
        SliceFigures(slice=one, images=len(rows), estimates=estimates)
        for one, rows, estimates in zip(cut.slices, cut.rows, found, strict=True)
    ]

    def rank(one: SliceFigures) -> tuple[bool, bool, float]:
        value = one.estimates[names[0]].figure.value
        return one.is_small, value is None, value or 0.0

    return SliceTable(
        field=cut.field,
        images=cut.images,
        overlaps=cut.overlaps,
        left_out=cut.left_out,
        measures=tuple(names),
        rows=tuple(sorted(figures, key=rank)),
    )


def slice_by(
    by: FieldValues | None, measures: Mapping[str, Measure], names: Sequence[str], *, seed: int = 0
) -> SliceTable:
    """Measure the slices by these values. Raises `UsageError` if there are none."""
    if by is None:
        raise UsageError("Name the field to slice by, such as `by='label'`.")
    return measure_slices(measures, by.cut(), names, seed=seed)


def check_field(store: Store, runs: Sequence[str], by: str | None) -> None:
    """Raise `UnknownName` if one of the runs has no such field."""
    for run in runs if by is not None else ():
        find_field(_read_table(store, run, by or ""), by or "")


def read_field(store: Store, run: str, by: str, files: pd.DataFrame) -> FieldValues:
    """The values of a field in a run, one per row of `files`, which needs dataset and path."""
    table = _read_table(store, run, by)
    places, wanted = (pd.MultiIndex.from_frame(one[["dataset", "path"]].astype("str")) for one in (table, files))
    return FieldValues.read(table, by).take(places.get_indexer(wanted))


def _read_table(store: Store, run: str, by: str) -> pd.DataFrame:
    """The table of a run with what a field needs."""
    return store.table([run], with_tags=by == "tag", with_measures=is_column(by))


def to_frame(tables: Iterable[tuple[Mapping[str, str], SliceTable]]) -> pd.DataFrame:
    """The records of several tables, one row per slice, with leading columns: those that stand before each table."""
    return pd.DataFrame([{**key, **record} for key, table in tables for record in table.records(split_intervals=True)])
