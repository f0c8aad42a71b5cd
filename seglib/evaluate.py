"""How right is a network? Runs of a store against masks that people drew.

In: a store, a folder of truth, run names. Out: counts in the store (`update`), and from them an `Evaluation` per run:
confusion matrix, IoU, Dice, pixel accuracy, boundary F-score, calibration, image by image. All at the truth's size; the
stored mask is enlarged by nearest neighbour. Knows nothing of the command line or of pages.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from seglib import remake
from seglib.classes import VOID
from seglib.compare import FILE_COLUMNS, OnProgress, Progress, chosen_runs, count_all, sound_mask
from seglib.data import image as image_module
from seglib.data.scan import choose
from seglib.errors import BadImage, DatasetError, SegError, StoreError
from seglib.fileio import parquet_parts
from seglib.inference import predictor
from seglib.maintenance.compact import tidy
from seglib.masks import annotations, boundary, difference, png
from seglib.masks.png import Mask
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Figure
from seglib.metrics.calibration import (
    CONFIDENCE_BINS,
    confidence_bin,
    expected_calibration_error,
    image_calibration_error,
)
from seglib.metrics.confusion import Counts, joint
from seglib.metrics.measures import Measure, accuracy, boundary_f, ratio
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import Truth
from seglib.store.pair_counts import BOUNDARY, CALIBRATION, TRUTH_CELLS, Appender
from seglib.store.records import Run
from seglib.store.store import Store

EVALUATED_COLUMNS = [*FILE_COLUMNS, "truth"]


@dataclass(frozen=True, kw_only=True)
class Report:
    truth: Truth
    runs: tuple[str, ...]
    files: pd.DataFrame
    """`EVALUATED_COLUMNS` of the photos that have a mask of the truth, and of every run a mask that can be read."""
    computed: int
    """Pairs of run and image that were counted now."""
    failed: tuple[str, ...]
    """Ids of pictures whose mask is missing or damaged."""
    seconds: float
    notes: tuple[str, ...]


# --- counting ----------------------------------------------------------------------------------------------------


def update(
    store: Store,
    folder: Path,
    runs: Sequence[str],
    *,
    kind: str | None = None,
    classes: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    dataset: str | None = None,
    calibration: bool = False,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> Report:
    """Count what was not counted yet of the photos that have a mask below `folder` and that all these runs computed.

    `kind` is one of `truth.FORMATS`, guessed if None; `classes` are those of the indices of a `voc` truth; `names` are
    relative paths or stems: only these photos. `calibration` looks at the photos again for the confidence of each
    pixel, which the store does not keep. Progress is told in masks: each photo once per run.
    """
    chosen = chosen_runs(store, runs, least=1)
    begun = time.monotonic()
    kind = kind or annotations.guessed_format(folder, list(annotations.masks_in(folder)["path"]))
    with store.scratch.writing():
        for run in chosen:
            store.scratch.claim(run.run)
        about = ground_truth.register(store, folder, kind, tuple(classes) if classes else None)
        photos = _photos(store, chosen, names, dataset)
        found = ground_truth.take_in(store, about, folder, photos)
        if found.empty:
            raise DatasetError(
                f"None of the {len(photos)} photos has a mask below {folder.name!r}: "
                "a mask is called as its photo, with .png at the end."
            )
        pictures = found.drop_duplicates("image_id")
        jobs = [(run, _missing(store, run, about, pictures, calibration)) for run in chosen]
        todo, every = sum(len(work) for _, work in jobs), len(chosen) * len(pictures)
        progress = Progress(title=f"{len(chosen)} runs", total=every, done=every - todo)
        if on_progress is not None:
            on_progress(progress)
        failed: list[str] = []
        places = _roots(store, found)
        counters = [_Counter(store, run, about, places, calibration=calibration) for run in chosen]  # or none of them
        for counter, (_, work) in zip(counters, jobs, strict=True):
            appender = Appender(store, counter.schemas)
            alone = 1 if calibration else threads  # the network takes all cores itself
            failed += count_all(counter.count, work, appender, progress, on_progress=on_progress, threads=alone)
        tidy(store)  # also what an earlier one left, that was killed just before it
    notes = [] if len(found) == len(photos) else [f"{len(photos) - len(found)} of {len(photos)} photos have no mask."]
    found = found[~found["image_id"].isin(failed)]
    return Report(
        truth=about,
        runs=tuple(run.run for run in chosen),
        files=found[EVALUATED_COLUMNS],
        computed=todo - len(failed),
        failed=tuple(dict.fromkeys(failed)),
        seconds=round(time.monotonic() - begun, 3),
        notes=tuple(notes),
    )


def runs_with(store: Store, folder: Path, dataset: str | None = None) -> list[str]:
    """The runs that have computed at least one photo with a mask below this folder."""
    masks = list(annotations.masks_in(folder)["path"])
    photos = {run.run: _photos(store, [run], None, dataset)["path"] for run in store.runs()}
    return [name for name, paths in photos.items() if annotations.matched(paths.drop_duplicates(), masks)]


def _photos(store: Store, runs: Sequence[Run], names: Sequence[str] | None, dataset: str | None) -> pd.DataFrame:
    """The files that every run has computed, of those that are named."""
    table = store.table([runs[0].run], [dataset] if dataset else None, with_tags=False)
    for run in runs[1:]:
        table = table[table["image_id"].isin(store.computed_ids(run.run, run.classes))]
    files = table[FILE_COLUMNS].reset_index(drop=True)
    if files.empty and len(runs) > 1:
        raise DatasetError("These runs have no photo in common: evaluate them one by one.")
    return files if names is None else choose(files, names)


def _roots(store: Store, found: pd.DataFrame) -> dict[str, Path]:
    """image_id -> the photo's file."""
    roots = {one.name: one.root for one in store.datasets()}
    return {i: roots[d] / p for i, d, p in zip(found["image_id"], found["dataset"], found["path"], strict=True)}


def _missing(
    store: Store, run: Run, about: Truth, pictures: pd.DataFrame, calibration: bool
) -> list[tuple[str, str, bool, bool]]:
    """(image_id, truth, count it?, look at its confidence?) of the pictures that lack something."""
    folder = pair_counts.evaluation_folder(store, run.run, about.id)
    counted = pair_counts.counted_truths(folder, TRUTH_CELLS)
    calibrated = pair_counts.counted_truths(pair_counts.calibration_folder(folder), CALIBRATION)
    pairs = list(zip(pictures["image_id"], pictures["truth"], strict=True))
    work = [(*pair, pair not in counted, calibration and pair not in calibrated) for pair in pairs]
    return [one for one in work if one[2] or one[3]]


class _Counter:
    """Counts one picture of one run against the truth."""

    def __init__(self, store: Store, run: Run, about: Truth, photos: dict[str, Path], *, calibration: bool) -> None:
        self.store, self._run, self._about, self._photos = store, run, about, photos
        self.calibration = calibration
        self._net = remake.remake(store, run) if calibration else None
        folder = pair_counts.evaluation_folder(store, run.run, about.id)
        self._boundary, self._calibration = (
            pair_counts.boundary_folder(folder),
            pair_counts.calibration_folder(folder),
        )
        self._cells = folder  # committed last: a picture with cells has the rest too
        self.schemas = {self._boundary: BOUNDARY, self._calibration: CALIBRATION, self._cells: TRUTH_CELLS}

    def count(self, work: tuple[str, str, bool, bool]) -> tuple[str, dict[Path, dict[str, Any]] | None]:
        image_id, truth_id, cells, calibration = work
        try:
            right = ground_truth.mask(self.store, self._about, truth_id)
            mask = sound_mask(self.store, self._run.run, image_id, len(self._run.classes))
            seen = png.stretched(mask, (right.shape[1], right.shape[0]))
            rows: dict[Path, dict[str, Any]] = {}
            if cells:
                rows |= self._of_masks(right, seen)
            if calibration:
                rows[self._calibration] = self._of_confidence(image_id, right, seen)
        except (StoreError, BadImage):
            return image_id, None
        for columns in rows.values():
            columns["truth"] = [truth_id] * len(next(iter(columns.values())))
        return image_id, rows

    def _of_masks(self, right: Mask, seen: Mask) -> dict[Path, dict[str, Any]]:
        a, b, pixels = joint(right, seen)
        near = boundary.matches(_named_alike(right, self._about, self._run), seen)
        columns = [list(column) for column in zip(*((i, *m) for i, m in near.items()), strict=True)] or [[]] * 5
        return {
            self._cells: {"a": a, "b": b, "pixels": pixels},
            self._boundary: dict(zip(BOUNDARY.names[1:6], columns, strict=True)),
        }

    def _of_confidence(self, image_id: str, right: Mask, seen: Mask) -> dict[str, Any]:
        """`CALIBRATION`: the confidence of each pixel, enlarged by nearest neighbour like the mask."""
        assert self._net is not None
        spec, settings = self._net
        data = image_module.read_bytes(self._photos[image_id])
        if image_module.image_id(data) != image_id:
            raise BadImage("vanished", "The file has changed since its scan.")
        image, grid_wh = predictor.shown(image_module.decode(data), spec, settings)
        grid = predictor.confidence_map(image, spec, settings, grid_wh)
        size = right.shape[1], right.shape[0]
        confidence = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.NEAREST), np.float64)
        table = to_run(self._about, self._run)
        labelled = table[right] != VOID
        correct = (table[right] == seen)[labelled]
        bins = confidence_bin(confidence[labelled])
        sums = [
            np.bincount(bins, weights, CONFIDENCE_BINS)
            for weights in (None, confidence[labelled], correct.astype(float))
        ]
        return {
            "bin": np.arange(CONFIDENCE_BINS),
            "pixels": sums[0].astype(np.int64),
            "confidence": sums[1],
            "correct": sums[2].astype(np.int64),
        }


def truth_names(about: Truth, run: Run) -> tuple[str, ...]:
    """The truth's classes as the run would call them: cats and dogs are pets to a run that knows nothing finer."""
    if annotations.PET in run.classes and not {"cat", "dog"} & set(run.classes):
        return tuple(annotations.PET if name in ("cat", "dog") else name for name in about.classes)
    return about.classes


def to_run(about: Truth, run: Run) -> Mask:
    """uint8 (256,): value of the truth -> the run's index of that class, void if it has none."""
    table = np.full(256, VOID, np.uint8)
    for value, name in enumerate(truth_names(about, run)):
        if name in run.classes:
            table[value] = run.classes.index(name)
    return table


def judged(right: Mask, seen: Mask, about: Truth, run: Run) -> Mask:
    """uint8 (H, W) of `difference.CATEGORIES` at the truth's size, the truth being A: where the run is right, misses
    something, invents something, or takes it for another class. Void, and what the run has no class for, is not
    comparable.
    """
    seen = png.stretched(seen, (right.shape[1], right.shape[0]))
    return difference.difference(to_run(about, run)[right], seen, run.classes, run.classes)


def _named_alike(right: Mask, about: Truth, run: Run) -> Mask:
    """The truth in the run's indices, so that boundaries of one class meet."""
    return to_run(about, run)[right]


# --- asking ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the counts say of one run against a truth, for a set of files."""

    run: Run
    truth: Truth
    files: pd.DataFrame
    """`EVALUATED_COLUMNS`, one row per file."""
    counts: Counts
    """One image per row of `files`; rows of the matrix are the truth, columns the run."""
    boundaries: dict[str, tuple[NDArray[np.float64], ...]]
    """class -> columns of `boundary.matches`."""
    bins: list[NDArray[np.float64]]
    """pixels, confidence, correct: (N, bins) each; zeros where no confidence of pixels is known."""
    confidence: NDArray[np.float64]
    """(N,): the run's mean confidence in each image; NaN for imported masks."""
    notes: tuple[str, ...]

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """By the names of `metrics.accuracy` and `metrics.boundary_f`, and two errors of calibration: `ece` over pixels
        (None without `update(calibration=True)`) and `image_ece`, where an image's mean confidence meets its accuracy.
        """
        found = accuracy(self.counts)
        found |= boundary_f(self.boundaries, self.counts.images)  # type: ignore[arg-type]
        found["ece"] = expected_calibration_error(*self.bins)
        accurate = found["pixel_accuracy"].each()
        return found | {"image_ece": image_calibration_error(self.confidence, accurate)}

    def figures(self, seed: int = 0, resamples: int = bootstrap.RESAMPLES) -> dict[str, Figure]:
        return bootstrap.figures(self.measures, seed=seed, resamples=resamples)

    def confusion(self) -> pd.DataFrame:
        """int64: pixels that the truth calls by the row's class and the run by the column's; void is left out."""
        counts = self.counts
        return pd.DataFrame(counts.matrix(), index=list(counts.classes_a), columns=list(counts.classes_b))

    def images(self) -> pd.DataFrame:
        """The files with every measure, NaN where not defined; worst mean IoU first."""
        each = {name: measure.each() for name, measure in self.measures.items()} | {"confidence": self.confidence}
        frame = pd.concat([self.files, pd.DataFrame(each, self.files.index)], axis=1)
        return frame.sort_values("miou", kind="stable")

    def selected(self, keep: NDArray[np.bool_]) -> "Evaluation":
        """Of some of the files: bool (N,)."""
        at = np.flatnonzero(keep)
        return Evaluation(
            self.run,
            self.truth,
            self.files[keep],
            self.counts.taken(at),
            {name: tuple(column[at] for column in columns) for name, columns in self.boundaries.items()},
            [column[at] for column in self.bins],
            self.confidence[at],
            self.notes,
        )

    def by_label(self) -> Iterator[tuple[str, "Evaluation"]]:
        """Of each folder label in alphabetical order; the empty text stands for files without one."""
        labels = self.files["label"].astype("object")
        labels = labels.where(labels.notna(), "")
        for label in sorted(labels.unique()):
            yield label, self.selected((labels == label).to_numpy())

    def reliability(self, unit: str = "pixels") -> pd.DataFrame:
        """Per bin of confidence: low, high, n, confidence and accuracy (means, NaN in an empty bin).

        `pixels` needs `update(calibration=True)`; with `images` a unit is an image, by its mean confidence.
        """
        if unit == "pixels":
            n, confidence, correct = (column.sum(0) for column in self.bins)
        else:
            accurate = self.measures["pixel_accuracy"].each()
            known = ~(np.isnan(self.confidence) | np.isnan(accurate))
            at = confidence_bin(self.confidence[known])
            n, confidence, correct = (
                np.asarray(np.bincount(at, weights, CONFIDENCE_BINS), np.float64)
                for weights in (None, self.confidence[known], accurate[known])
            )
        edges = np.linspace(0, 1, CONFIDENCE_BINS + 1)
        return pd.DataFrame(
            {
                "low": edges[:-1],
                "high": edges[1:],
                "n": n.astype(np.int64),
                "confidence": ratio(confidence, n),
                "accuracy": ratio(correct, n),
            }
        )


def evaluation(store: Store, about: Truth, run: str, *, files: pd.DataFrame | None = None) -> Evaluation:
    """Of these `files` (`FILE_COLUMNS`; by default the whole table of the run).

    Reads counts, no mask: call `update` first. Files without a mask of the truth, or not counted, are left out.
    """
    this_run = store.run(run)
    if files is None:
        files = store.table([run], with_tags=False)
    files = files[FILE_COLUMNS]
    known = ground_truth.masks_of(store, about)
    files = files.assign(truth=files["image_id"].map(known))
    files = files[files["truth"].notna()]
    masks = known[known.index.isin(files["image_id"])]
    counts, counted = pair_counts.evaluation_counts(store, run, about.id, (about.classes, this_run.classes), masks)
    at = masks.index.get_indexer(pd.Index(files["image_id"]))
    files, at = files[counted[at]], at[counted[at]]
    by_class = pair_counts.boundary_counts(store, run, about.id, masks)
    common = [name for name in dict.fromkeys(truth_names(about, this_run)) if name in this_run.classes]
    empty = [np.zeros(len(masks))] * 4
    measures = store.measures(this_run, list(masks.index)).set_index("image_id")["confidence"]
    return Evaluation(
        run=this_run,
        truth=about,
        files=files,
        counts=counts.taken(at).renamed(truth_names(about, this_run)),
        boundaries={
            name: tuple(column[at] for column in by_class.get(this_run.classes.index(name), empty)) for name in common
        },
        bins=[column[at] for column in pair_counts.calibration_counts(store, run, about.id, masks)],
        confidence=measures.reindex(masks.index).to_numpy(np.float64)[at],
        notes=tuple(_notes(about, this_run)),
    )


def evaluated_runs(store: Store, about: Truth) -> list[str]:
    """The runs of which something was counted against this truth; the one used last at the end."""
    folders = {run.run: pair_counts.evaluation_folder(store, run.run, about.id) for run in store.runs()}
    return [run for run, folder in folders.items() if parquet_parts.names(folder)]


def together(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The same on the files that all of them have, so that their figures can be told against each other."""
    keys = [pd.MultiIndex.from_frame(one.files[["dataset", "path"]]) for one in evaluations]
    found = []
    for one, own in zip(evaluations, keys, strict=True):
        keep = np.ones(len(own), bool)
        for other in keys:
            if not own.equals(other):
                keep &= own.isin(other)
        found.append(one if keep.all() else one.selected(keep))
    return found


def _notes(about: Truth, run: Run) -> list[str]:
    said = []
    unknown = [name for name in dict.fromkeys(truth_names(about, run)) if name not in run.classes]
    if about.format == "trimap":
        unknown = [name for name in unknown if name != annotations.PET]
        said.append(
            "A trimap calls everything but the pet background: what the run rightly calls sofa or person there counts "
            "as wrong, in pixel accuracy and in the IoU of background."
        )
    if unknown:
        said.append(f"{run.run} has no class {', '.join(unknown)}: such pixels of the truth are left out.")
    return said


def table(evaluations: Sequence[Evaluation], seed: int = 0) -> pd.DataFrame:
    """A row per run (`label` null), and one per run and folder label: images and every figure (`intervals.flat`)."""
    rows = []
    for one in evaluations:
        for label, part in ((None, one), *one.by_label()):
            about = {"run": one.run.run, "truth": one.truth.name, "label": label, "images": len(part.files)}
            rows.append(about | bootstrap.flat(part.figures(seed), ends=True))
    return pd.DataFrame(rows)


def all_images(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """`images` of every run under each other, behind a column `run`."""
    frames = []
    for one in evaluations:
        frame = one.images()
        frame.insert(0, "run", one.run.run)
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def all_confusions(evaluations: Sequence[Evaluation]) -> pd.DataFrame:
    """Every cell with pixels: run, truth, prediction, pixels."""
    frames = []
    for one in evaluations:
        cells = (
            one.confusion().rename_axis("truth").melt(ignore_index=False, var_name="prediction", value_name="pixels")
        )
        cells = cells.reset_index().assign(run=one.run.run)
        frames.append(cells.loc[cells["pixels"] > 0, ["run", "truth", "prediction", "pixels"]])
    return pd.concat(frames, ignore_index=True)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What one run gains over another on the same images: `b` minus `a`, over all pixels, with its paired interval."""

    a: str
    b: str
    measure: str
    value: float | None
    interval: bootstrap.Interval | None


def differences(
    evaluations: Sequence[Evaluation],
    names: Sequence[str] = ("miou", "pixel_accuracy"),
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[Difference]:
    """Of every pair of runs, which must be evaluated on the same files."""
    found = []
    for i, one in enumerate(evaluations):
        for other in evaluations[i + 1 :]:
            if not one.files["path"].reset_index(drop=True).equals(other.files["path"].reset_index(drop=True)):
                raise SegError(f"{one.run.run} and {other.run.run} were not evaluated on the same photos.")
            for name in names:
                value, interval = bootstrap.difference(
                    one.measures[name], other.measures[name], seed=seed, resamples=resamples
                )
                found.append(Difference(a=one.run.run, b=other.run.run, measure=name, value=value, interval=interval))
    return found
