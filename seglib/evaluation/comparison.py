"""Compare any number of runs pixel by pixel, without ground truth.

`compare` updates the counts in the store (`update_counts`) and reads them (`load_comparison`) as a `Comparison`:
measures per pair of runs, consensus, class flips, and per-image results. All measures are symmetric agreements, not
accuracies. Masks of different sizes are compared at the larger size (more pixels; on a tie, the wider one); the other
is resized by nearest neighbour.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.classes import VOID, Mask, class_lookup
from seglib.errors import StoreError
from seglib.evaluation.chosen_runs import Runs, StoreOrRun, open_store
from seglib.evaluation.class_matching import note_class_mismatch
from seglib.evaluation.counting import (
    FILE_COLUMNS,
    ComparisonReport,
    count_all,
    default_runs,
    read_valid_mask,
    resolve_runs,
)
from seglib.evaluation.slices import figures as slice_figures
from seglib.evaluation.slices.cut import FieldValues
from seglib.evaluation.slices.figures import COMPARISON_MEASURES, SliceTable
from seglib.fileio import parquet_parts
from seglib.maintenance.compact import try_merge_parts
from seglib.masks import png
from seglib.metrics import bootstrap, confusion
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.confusion import JointCounts
from seglib.metrics.estimate_html import to_html
from seglib.metrics.measures import Measure, agreement_measures, ratio
from seglib.progress import OnProgress, Progress
from seglib.query.expressions.where import read_where
from seglib.query.fields import read_table
from seglib.query.filters import Filters, select
from seglib.query.repeats import describe_repeats, first_datasets
from seglib.store import pair_counts
from seglib.store.pair_counts import CELLS_SCHEMA, CONSENSUS_SCHEMA, CountsWriter
from seglib.store.records import Run
from seglib.store.schemas import stats_schema
from seglib.store.store import Store

# --- counting ----------------------------------------------------------------------------------------------------


def update_counts(
    store: Store, runs: Sequence[str], *, threads: int | None = None, on_progress: OnProgress | None = None
) -> ComparisonReport:
    """Update the counts of every pair of these runs, for all images that every run has computed.

    Only missing counts are computed; an interrupted update resumes when called again.
    """
    chosen = resolve_runs(store, runs)
    started_at = time.monotonic()
    ids = _common_ids(store, chosen)
    with store.atomic.register_writer():
        for run in chosen:
            store.atomic.claim_run(run.run)
        job = _PairCounter(store, chosen)
        job.record_runs()
        work = job.find_missing(ids)
        progress = Progress(title=f"{len(chosen)} runs", total=len(ids), done=len(ids) - len(work))
        if on_progress is not None:
            on_progress(progress)
        failed = count_all(
            job.count_image, work, CountsWriter(store, job.schemas), progress, on_progress=on_progress, threads=threads
        )
        try_merge_parts(store)  # also cleans up after a call that was killed before this point
    return ComparisonReport(
        images=len(ids),
        computed=len(work) - len(failed),
        reused=len(ids) - len(work),
        failed=tuple(failed),
        seconds=round(time.monotonic() - started_at, 3),
    )


def count_pending(store: Store, runs: Sequence[str]) -> tuple[int, int]:
    """(images that all runs have computed, those among them that `update_counts` would count); writes nothing."""
    first, *others = resolve_runs(store, runs)
    ids = _column(store.stats_folder(first), stats_schema(first.classes)).unique()
    for run in others:
        ids = ids.filter(pc.is_in(ids, value_set=_column(store.stats_folder(run), stats_schema(run.classes))))
    counted = np.ones(len(ids), bool)
    for folder, schema in _PairCounter(store, [first, *others]).schemas.items():
        counted &= pc.is_in(ids, value_set=_column(folder, schema)).to_numpy(zero_copy_only=False)
    return len(ids), int((~counted).sum())


def _column(folder: Path, schema: pa.Schema) -> pa.Array:
    """The image_id column of a folder of Parquet parts."""
    return _flat(parquet_parts.read(folder, schema, ["image_id"])["image_id"])


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _common_ids(store: Store, runs: Sequence[Run]) -> set[str]:
    return set.intersection(*(set(store.computed_ids(run)) for run in runs))


class _PairCounter:
    """The folders to fill, their missing images, and the counting of one image."""

    def __init__(self, store: Store, runs: Sequence[Run]) -> None:
        self._store = store
        self._classes = {run.run: run.classes for run in runs}
        names = sorted(self._classes)
        self._pairs = {pair_counts.pair_folder(store, a, b): (a, b) for a, b in combinations(names, 2)}
        self.schemas = dict.fromkeys(self._pairs, CELLS_SCHEMA)
        self._consensus: Path | None = None
        if len(names) > 2:
            self._consensus = pair_counts.consensus_folder(store, names)
            self.schemas[self._consensus] = CONSENSUS_SCHEMA

    def record_runs(self) -> None:
        """Record which runs the consensus belongs to; must precede its counts."""
        if self._consensus is not None:
            pair_counts.write_run_names(self._store, self._consensus, self._classes)

    def find_missing(self, ids: set[str]) -> list[tuple[str, list[Path]]]:
        """(image_id, folders that lack its counts), sorted by image_id."""
        folders_by_image: dict[str, list[Path]] = {}
        for folder, schema in self.schemas.items():
            for image_id in ids - pair_counts.counted_ids(folder, schema):
                folders_by_image.setdefault(image_id, []).append(folder)
        return sorted(folders_by_image.items())

    def count_image(self, work: tuple[str, list[Path]]) -> tuple[str, dict[Path, dict[str, Any]] | None]:
        """(image_id, rows per folder) of one image; None instead of the rows if a mask cannot be read."""
        image_id, folders = work
        consensus = self._consensus if self._consensus in folders else None
        wanted = set(self._classes) if consensus else {name for f in folders for name in self._pairs[f]}
        try:
            masks = {name: read_valid_mask(self._store, name, image_id, len(self._classes[name])) for name in wanted}
        except StoreError:
            return image_id, None
        rows: dict[Path, dict[str, Any]] = {}
        for folder in folders:
            if folder != consensus:
                a, b, pixels = confusion.joint_histogram(
                    *png.resize_to_finest([masks[name] for name in self._pairs[folder]])
                )
                rows[folder] = {"a": a, "b": b, "pixels": pixels}
        if consensus is not None:
            rows[consensus] = _consensus(masks, self._classes)
        return image_id, rows


def _consensus(masks: Mapping[str, Mask], classes: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """The `CONSENSUS_SCHEMA` row of one image, counted at the largest mask size."""
    first, *others = classes.values()
    common = [name for name in first if all(name in other for other in others)]
    tables = [class_lookup(names, common) for names in classes.values()]
    values = [t[m] for t, m in zip(tables, png.resize_to_finest([masks[n] for n in classes]), strict=True)]
    compared, agreeing = values[0] != VOID, values[0] != VOID
    for value in values[1:]:
        compared = compared & (value != VOID)
        agreeing = agreeing & (value == values[0])
    return {"agreeing": [int(agreeing.sum())], "compared": [int(compared.sum())]}


# --- results ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Comparison:
    """Comparison of runs over a set of files. Pairs are in the order in which the runs were given."""

    runs: tuple[Run, ...]
    files: pd.DataFrame
    """`FILE_COLUMNS`, one row per file; equal files of one dataset keep separate rows, as in the table."""
    counts: Mapping[tuple[str, str], JointCounts]
    """(a, b) -> counts with one image per row of `files`."""
    consensus: Measure
    """Pixels on which all runs agree / pixels to which all runs assign a class that they all have."""
    notes: tuple[str, ...]
    by: FieldValues | None = None  # by which `slices` cuts the files, one value per row of `files`

    @property
    def class_notes(self) -> list[str]:
        """Notes on classes that cannot be compared, independent of the files."""
        return note_class_mismatch(self.runs)

    @cached_property
    def measures(self) -> dict[tuple[str, str], dict[str, Measure]]:
        """Measures of each pair, named as in `measures.agreement_measures`."""
        return {pair: agreement_measures(counts) for pair, counts in self.counts.items()}

    def figures(
        self, seed: int = 0, resamples: int = bootstrap.RESAMPLES
    ) -> dict[tuple[str, str], dict[str, Estimate]]:
        """Measures of each pair with confidence intervals; all pairs use the same bootstrap resamples of the images."""
        flat = {(pair, name): m for pair, measures in self.measures.items() for name, m in measures.items()}
        estimates = bootstrap.estimate(flat, seed=seed, resamples=resamples)
        return {pair: {name: estimates[pair, name] for name in named} for pair, named in self.measures.items()}

    def consensus_figure(self, seed: int = 0) -> Estimate:
        return bootstrap.estimate({"consensus": self.consensus}, seed=seed)["consensus"]

    def pairs(self, seed: int = 0) -> pd.DataFrame:
        """One row per pair: a, b, images, and every figure with its interval bounds (`bootstrap.flatten_estimates`)."""
        rows = [
            {"a": a, "b": b, "images": len(self.files), **bootstrap.flatten_estimates(estimates, split_intervals=True)}
            for (a, b), estimates in self.figures(seed).items()
        ]
        return pd.DataFrame(rows)

    def _repr_html_(self) -> str:
        wanted, figures = ("pixel_agreement", "foreground_agreement"), self.figures()
        pairs = [(f"{a}, {b}", {name: one[name] for name in wanted}) for (a, b), one in figures.items()]
        return to_html(f"Agreement on {len(self.files):,} photos", pairs, self.notes)

    def all_flips(self) -> pd.DataFrame:
        """Every non-empty cell of every pair: a, b, class_a, class_b, pixels, share (of the pair's pixels)."""
        frames = []
        for a, b in self.counts:
            cells = (
                self.flips(a, b)
                .rename_axis("class_a")
                .melt(ignore_index=False, var_name="class_b", value_name="pixels")
            )
            cells = cells.reset_index().assign(
                a=a, b=b, share=lambda frame: frame["pixels"] / max(1, frame["pixels"].sum())
            )
            frames.append(cells.loc[cells["pixels"] > 0, ["a", "b", "class_a", "class_b", "pixels", "share"]])
        return pd.concat(frames, ignore_index=True)

    def all_images(self) -> pd.DataFrame:
        """`images` of all pairs concatenated, with leading columns a and b."""
        frames = []
        for a, b in self.counts:
            frame = self.images(a, b)
            frame.insert(0, "a", a)
            frame.insert(1, "b", b)
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)

    def matrix(self, name: str) -> pd.DataFrame:
        """A measure over all pixels for every pair of runs: rows are `a`, columns `b`; NaN on the diagonal."""
        order = [run.run for run in self.runs]
        frame = pd.DataFrame(np.nan, index=order, columns=order)
        sign = -1 if name.startswith("area_difference:") else 1
        for (a, b), measures in self.measures.items():
            value = measures[name].overall() if name in measures else None
            if value is not None:
                frame.loc[a, b], frame.loc[b, a] = value, sign * value
        return frame

    def flips(self, a: str, b: str) -> pd.DataFrame:
        """int64 pixel counts: rows are the classes of `a`, columns those of `b`."""
        counts = self.counts[a, b]
        return pd.DataFrame(counts.matrix(), index=list(counts.classes_a), columns=list(counts.classes_b))

    def flipped_files(self, a: str, b: str, class_a: str, class_b: str) -> pd.DataFrame:
        """The files with pixels in one cell of `flips`, sorted by descending share of the image."""
        counts = self.counts[a, b]
        pixels = counts.cell(class_a, class_b)
        frame = self.files.assign(pixels=pixels, share=ratio(pixels.astype(np.float64), counts.pixels_per_image()))
        return frame[frame["pixels"] > 0].sort_values("share", ascending=False, kind="stable")

    def take(self, rows: NDArray[np.integer]) -> "Comparison":
        """The comparison restricted to these rows of `files`, in this order."""
        columns = tuple(column[rows] for column in self.consensus.columns)
        return Comparison(
            runs=self.runs,
            files=self.files.iloc[rows],
            counts={pair: counts.take(rows) for pair, counts in self.counts.items()},
            consensus=Measure(self.consensus.formula, columns),
            notes=self.notes,
            by=self.by.take(rows) if self.by else None,
        )

    def slices(self, seed: int = 0) -> dict[tuple[str, str], SliceTable]:
        """The agreement of each pair per slice by the field of `compare(by=...)`; raises `UsageError` without one."""
        return {
            pair: slice_figures.slice_by(self.by, named, COMPARISON_MEASURES, seed=seed)
            for pair, named in self.measures.items()
        }

    def all_slices(self, seed: int = 0) -> pd.DataFrame:
        """One row per pair and slice, least agreement first: a, b, and the columns of `SliceTable.records`."""
        return slice_figures.to_frame(({"a": a, "b": b}, table) for (a, b), table in self.slices(seed).items())

    def images(self, a: str, b: str) -> pd.DataFrame:
        """The files with every measure of a pair (NaN where undefined), sorted by ascending pixel agreement."""
        each = {name: measure.per_image() for name, measure in self.measures[a, b].items()}
        frame = pd.concat([self.files, pd.DataFrame(each, self.files.index)], axis=1)
        return frame.sort_values("pixel_agreement", kind="stable")


def compare(
    store: StoreOrRun,
    runs: Runs = None,
    *,
    filters: Filters | str | None = None,
    by: str | None = None,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Comparison:
    """Compare runs with each other, without ground truth. Only what the store lacks is counted.

    Args:
        store: A store or its path; or the first run, as `seglib.run` has returned it.
        runs: Names of two or more runs, or what `seglib.run` has returned; in each pair, the one named first is `a`. By
            default the run used last and all others that have computed some of its images.
        filters: Which files to compare, by the table of the first run, as for `select`; by default all.
        by: Field of the first run by which `Comparison.slices` cuts the images: `label`, `column.camera`, `share.cat`.
        threads: Number of counting threads; by default one per core, at most 8.
        on_progress: Called after each image.

    Returns:
        The comparison over the files whose image every run has computed; `notes` says what was left out.

    Raises:
        StoreError: There is no store, or it is damaged.
        UnknownName: A run or field does not exist.
        UsageError: There are fewer than two runs.

    Example:
        found = seglib.compare("output")
        found.pairs()  # one row per pair: pixel agreement, IoU per class, ... with 95 % intervals
        seglib.compare(seglib.run("photos"), seglib.run("photos", model="unet_mobilenet_v2"))
    """
    opened, named = open_store(store, runs)
    names = default_runs(opened) if named is None else named
    filters = read_where(filters) if isinstance(filters, str) else filters
    slice_figures.check_field(opened, names[:1], by)
    update_counts(opened, names, threads=threads, on_progress=on_progress)
    return load_comparison(opened, names, filters, by=by)


def load_comparison(
    store: Store,
    runs: Sequence[str],
    filters: Filters | None = None,
    *,
    by: str | None = None,
    files: pd.DataFrame | None = None,
) -> Comparison:
    """Compare runs over `files` (`FILE_COLUMNS`), by default those that pass the filters in the first run, where a
    photo that several datasets hold counts once, with the first run's values of the field `by`.

    Reads counts but no masks: call `update_counts` first. Files without counts are left out. The notes say so.
    """
    chosen, repeats = resolve_runs(store, runs), list[str]()
    if files is None:
        filters = filters or Filters()
        table = select(read_table(store, [chosen[0].run], filters, with_tags=filters.uses_tags), filters)
        counted_once = first_datasets(table)
        files, repeats = table[counted_once], describe_repeats(table, counted_once)
    files = files[FILE_COLUMNS]
    wanted = _flat(pa.array(files["image_id"], pa.string()))
    ids = pd.Index(wanted.unique().to_pandas())
    by_pair, counted = {}, np.ones(len(ids), bool)
    for a, b in combinations(chosen, 2):
        counts, is_counted = pair_counts.read_pair_counts(store, a.run, b.run, (a.classes, b.classes), ids)
        by_pair[a.run, b.run] = counts
        counted &= is_counted
    rows = pc.index_in(wanted, value_set=wanted.unique()).to_numpy()
    keep = counted[rows]
    rows, files, left_out = rows[keep], files[keep], int((~keep).sum())
    missing = [f"{left_out} of {len(keep)} photos are left out: not every run has a mask of them."] if left_out else []
    by_file = {pair: counts.take(rows) for pair, counts in by_pair.items()}
    return Comparison(
        runs=tuple(chosen),
        files=files,
        counts=by_file,
        consensus=_consensus_measure(store, chosen, by_file, ids, rows),
        notes=(*repeats, *missing, *note_class_mismatch(chosen)),
        by=slice_figures.read_field(store, chosen[0].run, by, files) if by else None,
    )


def _consensus_measure(
    store: Store, runs: Sequence[Run], by_file: Mapping[Any, JointCounts], ids: pd.Index, rows: NDArray[np.intp]
) -> Measure:
    if len(runs) == 2:
        (pair,) = by_file.values()
        return agreement_measures(pair)["pixel_agreement"]
    agreeing, compared = pair_counts.read_consensus_counts(store, [run.run for run in runs], ids)
    return Measure(ratio, (agreeing[rows], compared[rows]))
