"""Evaluate runs against ground truth.

`evaluate` updates the counts in the store (`truth_counting.update_counts`) and reads them (`load_evaluation`) as one
`Evaluation` per run: confusion matrix, IoU, Dice, pixel accuracy, boundary F-score and calibration, overall and per
image. Everything is computed at the ground truth's size; the stored mask is resized by nearest neighbour.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.annotations.class_names import as_class_names
from seglib.annotations.options import MaskOptions
from seglib.annotations.reader import open_masks
from seglib.annotations.trimap import PET
from seglib.classes import Mask
from seglib.errors import SegError
from seglib.evaluation.chosen_runs import Runs, StoreOrRun, open_store
from seglib.evaluation.class_matching import align_class_names, build_class_lookup
from seglib.evaluation.counting import FILE_COLUMNS
from seglib.evaluation.slices.cut import FieldValues
from seglib.evaluation.slices.figures import EVALUATION_MEASURES, SliceTable, check_field, read_field, slice_by
from seglib.fileio import parquet_parts
from seglib.masks import difference, png
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.calibration import (
    CONFIDENCE_BINS,
    confidence_bin,
    expected_calibration_error,
    image_calibration_error,
)
from seglib.metrics.confusion import JointCounts
from seglib.metrics.estimate_html import to_html
from seglib.metrics.measures import Measure, accuracy_measures, boundary_f_measures, ratio
from seglib.progress import OnProgress
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import GroundTruth
from seglib.store.records import Run
from seglib.store.store import Store

if TYPE_CHECKING:
    from seglib.evaluation.truth_counting import EvaluationReport


_TRIMAP_NOTE = (
    "A trimap calls everything but the pet background: what the run rightly calls sofa or person there counts as "
    "wrong, in pixel accuracy and in the IoU of background."
)


def error_map(truth_mask: Mask, predicted: Mask, truth_record: GroundTruth, run: Run) -> Mask:
    """Error map, uint8 (H, W) of `masks.difference.CATEGORIES` at the ground truth's size, with the ground truth as A.

    Shows where the run is correct, misses an object, adds one, or confuses the class. Void pixels and classes that the
    run does not have are not comparable.
    """
    predicted = png.resize_mask(predicted, (truth_mask.shape[1], truth_mask.shape[0]))
    return difference.difference_map(
        build_class_lookup(truth_record, run)[truth_mask], predicted, run.classes, run.classes
    )


# --- results ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Evaluation of one run against a ground truth over a set of N files."""

    run: Run
    truth: GroundTruth
    files: pd.DataFrame
    """`EVALUATED_COLUMNS`, one row per file."""
    counts: JointCounts
    """One image per row of `files`; matrix rows are the ground truth, columns the run."""
    boundaries: dict[str, tuple[NDArray[np.float64], ...]]
    """Class name -> the columns of `boundary.count_matches`."""
    bins: list[NDArray[np.float64]]
    """[pixels, confidence, correct], each (N, bins); zeros where per-pixel confidence is unknown."""
    confidence: NDArray[np.float64]
    """(N,): mean confidence per image; NaN for imported masks."""
    file_notes: tuple[str, ...] = ()
    """What a reader has to know about `files`."""
    by: FieldValues | None = None
    """Values by which `slices` cuts the files, one per row of `files`."""

    @cached_property
    def measures(self) -> dict[str, Measure]:
        """Measures named as in `measures.accuracy_measures` and `measures.boundary_f_measures`, plus two calibration
        errors.

        `ece` is computed over pixels (None without `update(calibration=True)`); `image_ece` compares each image's mean
        confidence with its pixel accuracy.
        """
        measures = accuracy_measures(self.counts)
        measures |= boundary_f_measures(self.boundaries, self.counts.images)  # type: ignore[arg-type]
        measures["ece"] = expected_calibration_error(*self.bins)
        accurate = measures["pixel_accuracy"].per_image()
        return measures | {"image_ece": image_calibration_error(self.confidence, accurate)}

    def figures(self, seed: int = 0, resamples: int = bootstrap.RESAMPLES) -> dict[str, Estimate]:
        return bootstrap.estimate(self.measures, seed=seed, resamples=resamples)

    def _repr_html_(self) -> str:
        wanted, figures = ("miou", "pixel_accuracy", "mdice"), self.figures()
        row = (self.run.run, {name: figures[name] for name in wanted if name in figures})
        return to_html(f"Accuracy on {len(self.files):,} photos, against {self.truth.name}", [row], self.file_notes)

    def confusion(self) -> pd.DataFrame:
        """int64 confusion matrix in pixels: rows are the ground truth, columns the run; void is excluded."""
        counts = self.counts
        return pd.DataFrame(counts.matrix(), index=list(counts.classes_a), columns=list(counts.classes_b))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the figures has to know: classes of the truth that the run cannot have, or never gives."""
        notes = [*self.file_notes, *([_TRIMAP_NOTE] if self.truth.format == "trimap" else [])]
        matrix = self.counts.matrix()
        pixels = dict(zip(self.counts.classes_a, matrix.sum(1).tolist(), strict=True))
        predicted = dict(zip(self.counts.classes_b, matrix.sum(0).tolist(), strict=True))
        if unknown := [name for name in pixels if name not in predicted and pixels[name] and name != PET]:
            share = sum(pixels[name] for name in unknown) / matrix.sum()
            notes.append(
                f"{self.run.run} has no class {', '.join(unknown)}: such pixels of the truth ({100 * share:.1f} %) are "
                "left out."
            )
        if unseen := [name for name in pixels if pixels[name] and predicted.get(name) == 0]:
            notes.append(f"{self.run.run} never predicts {', '.join(unseen)} here, which the ground truth contains.")
        return tuple(notes)

    def images(self) -> pd.DataFrame:
        """The files with every measure (NaN where undefined), sorted by ascending mean IoU."""
        each = {name: measure.per_image() for name, measure in self.measures.items()} | {"confidence": self.confidence}
        frame = pd.concat([self.files, pd.DataFrame(each, self.files.index)], axis=1)
        return frame.sort_values("miou", kind="stable")

    def select(self, keep: NDArray[np.bool_]) -> "Evaluation":
        """The evaluation restricted to the files where `keep`, bool (N,), is True."""
        rows = np.flatnonzero(keep)
        return Evaluation(
            self.run,
            self.truth,
            self.files[keep],
            self.counts.take(rows),
            {name: tuple(column[rows] for column in columns) for name, columns in self.boundaries.items()},
            [column[rows] for column in self.bins],
            self.confidence[rows],
            self.file_notes,
            self.by.take(rows) if self.by else None,
        )

    def slices(self, measures: Sequence[str] = EVALUATION_MEASURES, *, seed: int = 0) -> SliceTable:
        """These measures for each slice of the files by the field that `evaluate(by=...)` named.

        Raises `UsageError` without a field.
        """
        return slice_by(self.by, self.measures, measures, seed=seed)

    def by_label(self) -> Iterator[tuple[str, "Evaluation"]]:
        """Yield (label, evaluation) per folder label, alphabetically; the empty string stands for files without one."""
        labels = self.files["label"].astype("object")
        labels = labels.where(labels.notna(), "")
        for label in sorted(labels.unique()):
            yield label, self.select((labels == label).to_numpy())

    def reliability(self, unit: str = "pixels") -> pd.DataFrame:
        """Reliability table, one row per confidence bin: low, high, n, and mean confidence and accuracy (NaN if empty).

        `unit` is `pixels`, which needs `update_counts(calibration=True)`, or `images`, binned by their mean confidence.
        """
        if unit == "pixels":
            n, confidence, correct = (column.sum(0) for column in self.bins)
        else:
            accurate = self.measures["pixel_accuracy"].per_image()
            defined = ~(np.isnan(self.confidence) | np.isnan(accurate))
            bins = confidence_bin(self.confidence[defined])
            n, confidence, correct = (
                np.asarray(np.bincount(bins, weights, CONFIDENCE_BINS), np.float64)
                for weights in (None, self.confidence[defined], accurate[defined])
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


def evaluate(
    store: StoreOrRun,
    truth: str | os.PathLike[str],
    runs: Runs = None,
    *,
    format: str = "auto",
    classes: Sequence[str] | str | os.PathLike[str] | None = None,
    ignore: Sequence[int] = (),
    offset: int = 0,
    labelmap: str | os.PathLike[str] | None = None,
    suffix: str | None = None,
    names: Sequence[str] | None = None,
    dataset: str | None = None,
    calibration: bool = False,
    by: str | None = None,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> "list[Evaluation]":
    """Evaluate runs against ground truth masks. Only what the store lacks is counted.

    Args:
        store: A store or its path; or a run, as `seglib.run` has returned it.
        truth: Folder of masks (PNG, TIFF, GIF or BMP) with the names and sizes of their images, or a COCO JSON file.
        runs: Names of the runs, or what `seglib.run` has returned; by default all that have computed an image with a
            mask.
        format: "auto", which looks at the masks, or one of `MaskOptions.format`.
        classes: Class names in index order, or a file of them; by default what the masks name, else Pascal VOC's.
        ignore: Mask values that are void, besides 255.
        offset: Index of a class = value - offset.
        labelmap: CVAT's labelmap.txt of masks in colours; by default the one beside the masks.
        suffix: What the masks' names end in, besides the images' names.
        names: Relative paths or stems of the images to use; by default all.
        dataset: Name of the dataset to use; needed if several hold images of the same path.
        calibration: Also run the models again for the confidence of each pixel, which `ece` needs.
        by: Field by which `Evaluation.slices` cuts the images: `label`, `column.camera`, `share.cat`.
        threads: Number of counting threads; by default one per core, at most 8.
        on_progress: Called after each mask.

    Returns:
        One evaluation per run, all over the same images: those that have a usable mask and that every run has computed.

    Raises:
        StoreError: There is no store, or it is damaged.
        UnknownName: A run, dataset, format or field does not exist.
        UsageError: No run has an image with a mask, or two options do not go together.
        DatasetError: There are no masks, they match no image, contradict the options, or fit two formats.

    Example:
        for one in seglib.evaluate("output", "VOC2012/SegmentationClass"):
            print(one.run.run, one.figures()["miou"].value)
        seglib.evaluate(seglib.run("photos"), truth="masks")
    """
    from seglib.evaluation import truth_counting  # imports the models, which reading an evaluation does not need

    opened, chosen = open_store(store, runs)
    options = MaskOptions(
        format=format,
        classes=as_class_names(classes),
        ignore=tuple(ignore) if isinstance(ignore, Sequence) else (ignore,),
        offset=offset,
        labelmap=None if labelmap is None else Path(labelmap),
        suffix=suffix,
    )
    masks = open_masks(Path(truth), options)
    chosen = chosen or truth_counting.find_runs(opened, masks, dataset)
    check_field(opened, chosen, by)
    report = truth_counting.update_counts(
        opened,
        masks,
        chosen,
        names=names,
        dataset=dataset,
        calibration=calibration,
        threads=threads,
        on_progress=on_progress,
    )
    return load_evaluations(opened, report, by)


def load_evaluations(store: Store, report: "EvaluationReport", by: str | None = None) -> "list[Evaluation]":
    """The evaluation of each run that was counted, over the images that were counted, with their values of `by`."""
    found = [load_evaluation(store, report.truth, run, files=report.files) for run in report.runs]
    return [
        replace(one, file_notes=report.repeats, by=read_field(store, one.run.run, by, one.files) if by else None)
        for one in found
    ]


def load_evaluation(
    store: Store, truth_record: GroundTruth, run: str, *, files: pd.DataFrame | None = None
) -> Evaluation:
    """Evaluate a run on `files` (`FILE_COLUMNS`), by default all files of the run.

    Reads counts but no masks: call `update_counts` first. Files without a ground truth mask or without counts are left
    out.
    """
    this_run = store.run(run)
    if files is None:
        files = store.table([run], with_tags=False, with_measures=False)
    files = files[FILE_COLUMNS]
    mask_ids = ground_truth.mask_ids_by_image(store, truth_record)
    files = files.assign(truth=files["image_id"].map(mask_ids))
    files = files[files["truth"].notna()]
    masks = mask_ids[mask_ids.index.isin(files["image_id"])]
    counts, counted = pair_counts.read_evaluation_counts(
        store, run, truth_record.id, (truth_record.classes, this_run.classes), masks
    )
    rows = masks.index.get_indexer(pd.Index(files["image_id"]))
    files, rows = files[counted[rows]], rows[counted[rows]]
    by_class = pair_counts.read_boundary_counts(store, run, truth_record.id, masks)
    common = [name for name in dict.fromkeys(align_class_names(truth_record, this_run)) if name in this_run.classes]
    empty = [np.zeros(len(masks))] * 4
    measures = store.confidence_stats(this_run, list(masks.index)).set_index("image_id")["confidence"]
    return Evaluation(
        run=this_run,
        truth=truth_record,
        files=files,
        counts=counts.take(rows).rename_classes(align_class_names(truth_record, this_run)),
        boundaries={
            name: tuple(column[rows] for column in by_class.get(this_run.classes.index(name), empty)) for name in common
        },
        bins=[column[rows] for column in pair_counts.read_calibration_counts(store, run, truth_record.id, masks)],
        confidence=measures.reindex(masks.index).to_numpy(np.float64)[rows],
    )


def evaluated_runs(store: Store, truth_record: GroundTruth) -> list[str]:
    """The runs that have counts against this ground truth, most recently used last."""
    folders = {run.run: pair_counts.evaluation_folder(store, run.run, truth_record.id) for run in store.runs()}
    return [run for run, folder in folders.items() if parquet_parts.list_parts(folder)]


def restrict_to_common_files(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """The evaluations restricted to the files they have in common, so that their figures are comparable."""
    keys = [pd.MultiIndex.from_frame(evaluation.files[["dataset", "path"]]) for evaluation in evaluations]
    restricted = []
    for evaluation, key in zip(evaluations, keys, strict=True):
        keep = np.ones(len(key), bool)
        for other in keys:
            if not key.equals(other):
                keep &= key.isin(other)
        restricted.append(evaluation if keep.all() else evaluation.select(keep))
    return restricted


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """Difference of a measure between two runs on the same images: `b` minus `a`, with a paired interval."""

    a: str
    b: str
    measure: str
    value: float | None
    interval: bootstrap.Interval | None
    joint_interval: bootstrap.Interval | None
    """Wider, so that the differences in this measure of all pairs hold together at 95 % (Bonferroni)."""


def differences(
    evaluations: Sequence[Evaluation],
    names: Sequence[str] = ("miou", "pixel_accuracy"),
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[PairedDifference]:
    """Differences of every pair of runs. Raises `SegError` if they were evaluated on different files."""
    paths = [evaluation.files["path"].reset_index(drop=True) for evaluation in evaluations]
    for evaluation, path in zip(evaluations, paths, strict=True):
        if not path.equals(paths[0]):
            raise SegError(f"{evaluations[0].run.run} and {evaluation.run.run} were not evaluated on the same photos.")
    found = {
        name: bootstrap.estimate_differences(
            {evaluation.run.run: evaluation.measures[name] for evaluation in evaluations},
            seed=seed,
            resamples=resamples,
        )
        for name in names
    }
    return [
        PairedDifference(
            a=a, b=b, measure=name, value=one.value, interval=one.interval, joint_interval=one.joint_interval
        )
        for a, b in combinations([evaluation.run.run for evaluation in evaluations], 2)
        for name in names
        for one in (found[name][a, b],)
    ]
