"""Count the pixels of runs against ground truth masks and save the counts in the store."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from seglib.annotations.matching import match_masks, no_match_error
from seglib.annotations.reader import Masks, count_masks, leave_out_masks
from seglib.classes import VOID, Mask
from seglib.data.image import compute_image_id, decode
from seglib.data.photo_root import PhotoRoot, read_photo
from seglib.data.scan import select_by_name
from seglib.errors import BadImage, DatasetError, StoreError, UsageError
from seglib.evaluation.class_matching import build_class_lookup
from seglib.evaluation.counting import EVALUATED_COLUMNS, FILE_COLUMNS, count_all, read_valid_mask, resolve_runs
from seglib.evaluation.mistakes import label_judgement
from seglib.inference import predictor
from seglib.maintenance.compact import try_merge_parts
from seglib.masks import boundary, png
from seglib.metrics.calibration import (
    CONFIDENCE_BINS,
    confidence_bin,
)
from seglib.metrics.confusion import joint_histogram
from seglib.metrics.label_placement import find_better_place
from seglib.pipeline import reproduce
from seglib.progress import OnProgress, Progress
from seglib.query.repeats import describe_repeats, first_datasets
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import GroundTruth, ImportedTruth
from seglib.store.pair_counts import (
    BOUNDARY_SCHEMA,
    CALIBRATION_SCHEMA,
    PLACEMENT_SCHEMA,
    QUALITY_SCHEMA,
    TRUTH_CELLS_SCHEMA,
    CountsWriter,
)
from seglib.store.records import Run
from seglib.store.store import Store


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    truth: GroundTruth
    runs: tuple[str, ...]
    files: pd.DataFrame
    """`EVALUATED_COLUMNS` of the images that have a ground truth mask and a readable mask from every run."""
    computed: int
    """Number of (run, image) pairs counted by this call."""
    failed: tuple[str, ...]
    """Ids of images for which a run's mask, or the stored ground truth, is missing or damaged."""
    left_out: dict[str, str]
    """Ground truth masks that could not be used: path -> reason."""
    repeats: tuple[str, ...]
    """A sentence on photos that several datasets hold; each is counted once."""
    seconds: float
    notes: tuple[str, ...]


def update_counts(
    store: Store,
    masks: Masks,
    runs: Sequence[str],
    *,
    names: Sequence[str] | None = None,
    dataset: str | None = None,
    calibration: bool = False,
    label_quality: bool = False,
    threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> EvaluationReport:
    """Update the counts for the images that have one of these `masks` and that all these runs have computed.

    `names` (relative paths or stems) restricts the images. `calibration` and `label_quality` run
    the models again to get per-pixel probabilities, which the store does not keep. Progress counts masks: each image
    once per run.

    Only missing counts are computed. Masks that cannot be used are left out. Raises `DatasetError` if no image has a
    usable mask.
    """
    chosen = resolve_runs(store, runs, minimum=1)
    started_at = time.monotonic()
    with store.atomic.register_writer():
        for run in chosen:
            store.atomic.claim_run(run.run)
        truth_record = ground_truth.register_truth(store, masks)
        files = _leave_out_masks(store, masks, _common_files(store, chosen, names, dataset))
        counted_once = first_datasets(files)
        photos = files[counted_once]
        imported = ground_truth.import_annotations(store, truth_record, masks, photos)
        if imported.files.empty:
            raise DatasetError(
                f"None of {count_masks(len(imported.failed))} in {masks.source.name!r} can be used. "
                f"{next(iter(imported.failed.values()))}"
            )
        images = imported.files.drop_duplicates("image_id")
        wanted = Wanted(calibration=calibration, quality=label_quality)
        jobs = [(run, _find_uncounted(store, run, truth_record, images, wanted)) for run in chosen]
        failed = _count(
            store,
            truth_record,
            jobs,
            imported.files,
            wanted=wanted,
            threads=threads,
            total=len(chosen) * len(images),
            on_progress=on_progress,
        )
        try_merge_parts(store)  # also cleans up after a call that was killed before this point
    usable = imported.files[~imported.files["image_id"].isin(failed)]
    return EvaluationReport(
        truth=truth_record,
        runs=tuple(run.run for run in chosen),
        files=usable[EVALUATED_COLUMNS],
        computed=sum(len(work) for _, work in jobs) - len(failed),
        failed=tuple(dict.fromkeys(failed)),
        left_out=imported.failed,
        repeats=tuple(describe_repeats(files, counted_once)),
        seconds=round(time.monotonic() - started_at, 3),
        notes=(*_describe_import(masks, imported, len(photos)), *_describe_common(store, chosen)),
    )


def _count(
    store: Store,
    truth_record: GroundTruth,
    jobs: Sequence[tuple[Run, list["_Uncounted"]]],
    files: pd.DataFrame,
    *,
    wanted: "Wanted",
    threads: int | None,
    total: int,
    on_progress: OnProgress | None,
) -> list[str]:
    """Count what `jobs` name for each run, and return the ids of images that cannot be counted."""
    todo = sum(len(work) for _, work in jobs)
    progress = Progress(title=f"{len(jobs)} runs", total=total, done=total - todo)
    if on_progress is not None:
        on_progress(progress)
    failed: list[str] = []
    images = _find_images(store, files)
    # All counters are created first, so that no counting starts if one of them fails.
    counters = [
        _TruthCounter(store, run, truth_record, images, needs_model=any(one.lacking.probabilities for one in work))
        for run, work in jobs
    ]
    for counter, (_, work) in zip(counters, jobs, strict=True):
        appender = CountsWriter(store, counter.schemas)
        counter_threads = 1 if wanted.probabilities else threads  # the model already uses all cores
        failed += count_all(counter.count, work, appender, progress, on_progress=on_progress, threads=counter_threads)
    return failed


def _describe_import(masks: Masks, imported: ImportedTruth, photos: int) -> list[str]:
    """What was read as what, how names matched, and what was left over, a sentence each."""
    matched = len(imported.matches.masks)
    notes = [masks.describe(list(imported.matches.masks.values()))]
    notes.append(f"{matched:,} of {photos:,} photos have a mask: {imported.matches.describe()}.")
    if unused := imported.matches.without_photo:
        notes.append(f"{count_masks(len(unused))} without one of these photos, e.g. {unused[0]!r}.")
    if imported.failed:
        notes.append(f"{count_masks(len(imported.failed))} left out, which cannot be used.")
    return notes


def _describe_common(store: Store, runs: Sequence[Run]) -> list[str]:
    """A sentence if one of the runs has computed fewer photos than another, and so restricts the comparison."""
    counts = {run.run: len(store.computed_ids(run)) for run in runs}
    smallest = min(counts, key=lambda name: counts[name])
    if counts[smallest] == max(counts.values()):
        return []
    return [f"Only photos that all of these runs have computed are used; {smallest} has computed {counts[smallest]:,}."]


def find_runs(store: Store, masks: Masks, dataset: str | None = None) -> list[str]:
    """Names of the runs that have computed at least one image with one of these masks.

    Raises `UsageError` if there is none.
    """
    mask_names, suffix = list(masks.files["path"]), masks.options.suffix
    files = {run.run: _common_files(store, [run], None, dataset) for run in store.runs()}
    photos = {run: _leave_out_masks(store, masks, frame)["path"].drop_duplicates() for run, frame in files.items()}
    names = [name for name, paths in photos.items() if match_masks(paths, mask_names, suffix).masks]
    if not names:
        if paths := [path for one in photos.values() for path in one]:
            raise no_match_error(list(dict.fromkeys(paths)), mask_names, masks.source)
        raise UsageError("No run of this store has a photo: run a model on the photos first.")
    return names


def _common_files(store: Store, runs: Sequence[Run], names: Sequence[str] | None, dataset: str | None) -> pd.DataFrame:
    """The files that every run has computed, restricted to `names` if given."""
    table = store.table([runs[0].run], [dataset] if dataset else None, with_tags=False, with_measures=False)
    for run in runs[1:]:
        table = table[table["image_id"].isin(store.computed_ids(run))]
    files = table[FILE_COLUMNS].reset_index(drop=True)
    if files.empty and len(runs) > 1:
        raise DatasetError("These runs have no photo in common: evaluate them one by one.")
    return files if names is None else select_by_name(files, names)


def _leave_out_masks(store: Store, masks: Masks, files: pd.DataFrame) -> pd.DataFrame:
    """The files that are not themselves among the masks, as in a folder that was run with its masks."""
    keep = np.ones(len(files), bool)
    for dataset in store.datasets():
        rows = (files["dataset"] == dataset.name).to_numpy()
        keep[rows] = leave_out_masks(masks, dataset.root, files["path"][rows])
    return files[keep]


def _find_images(store: Store, files: pd.DataFrame) -> dict[str, tuple[PhotoRoot, str]]:
    """image_id -> root and path of the image file."""
    roots = {one.name: one.root for one in store.datasets()}
    return {i: (roots[d], p) for i, d, p in zip(files["image_id"], files["dataset"], files["path"], strict=True)}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be counted of an image."""

    cells: bool = True
    """The confusion of ground truth and run."""
    calibration: bool = False
    quality: bool = False

    @property
    def probabilities(self) -> bool:
        """Whether the model has to run again."""
        return self.calibration or self.quality


@dataclass(frozen=True)
class _Uncounted:
    image_id: str
    truth_id: str
    lacking: Wanted


def _find_uncounted(
    store: Store, run: Run, truth_record: GroundTruth, images: pd.DataFrame, wanted: Wanted
) -> list[_Uncounted]:
    """The images that lack something that is wanted."""
    folder = pair_counts.evaluation_folder(store, run.run, truth_record.id)
    counted = pair_counts.counted_truths(folder, TRUTH_CELLS_SCHEMA)
    calibrated = pair_counts.counted_truths(pair_counts.calibration_folder(folder), CALIBRATION_SCHEMA)
    scored = pair_counts.counted_truths(pair_counts.quality_folder(folder), QUALITY_SCHEMA)
    work = []
    for pair in zip(images["image_id"], images["truth"], strict=True):
        quality = wanted.quality and not (pair in scored and pair_counts.doubt_path(folder, pair[0]).exists())
        lacking = Wanted(
            cells=pair not in counted, calibration=wanted.calibration and pair not in calibrated, quality=quality
        )
        if lacking.cells or lacking.probabilities:
            work.append(_Uncounted(*pair, lacking))
    return work


class _TruthCounter:
    """Counts single images of one run against the ground truth."""

    def __init__(
        self,
        store: Store,
        run: Run,
        truth_record: GroundTruth,
        images: Mapping[str, tuple[PhotoRoot, str]],
        *,
        needs_model: bool,
    ) -> None:
        self.store, self._run, self._truth_record, self._images = store, run, truth_record, images
        self._model = reproduce.resolve_run_model(store, run) if needs_model else None
        folder = pair_counts.evaluation_folder(store, run.run, truth_record.id)
        self._boundary = pair_counts.boundary_folder(folder)
        self._calibration = pair_counts.calibration_folder(folder)
        self._placement, self._quality = pair_counts.placement_folder(folder), pair_counts.quality_folder(folder)
        self._cells = folder  # committed last: an image with cells is complete
        self.schemas = {
            self._boundary: BOUNDARY_SCHEMA,
            self._calibration: CALIBRATION_SCHEMA,
            self._placement: PLACEMENT_SCHEMA,
            self._quality: QUALITY_SCHEMA,
            self._cells: TRUTH_CELLS_SCHEMA,
        }

    def count(self, work: _Uncounted) -> tuple[str, dict[Path, dict[str, Any]] | None]:
        image_id, truth_id, lacking = work.image_id, work.truth_id, work.lacking
        try:
            truth_mask = ground_truth.read_mask(self.store, self._truth_record, truth_id)
            mask = read_valid_mask(self.store, self._run.run, image_id, len(self._run.classes))
            predicted = png.resize_mask(mask, (truth_mask.shape[1], truth_mask.shape[0]))
            rows: dict[Path, dict[str, Any]] = {}
            if lacking.cells:
                rows |= self._count_masks(truth_mask, predicted)
            if lacking.quality:
                rows |= self._judge_labels(image_id, truth_mask)
            if lacking.calibration:
                rows[self._calibration] = self._count_confidence(image_id, truth_mask, predicted)
        except (StoreError, BadImage):
            return image_id, None
        for columns in rows.values():
            columns["truth"] = [truth_id] * len(next(iter(columns.values())))
        return image_id, rows

    def _count_masks(self, truth_mask: Mask, predicted: Mask) -> dict[Path, dict[str, Any]]:
        a, b, pixels = joint_histogram(truth_mask, predicted)
        near = boundary.count_matches(build_class_lookup(self._truth_record, self._run)[truth_mask], predicted)
        columns = [list(column) for column in zip(*((i, *m) for i, m in near.items()), strict=True)] or [[]] * 5
        return {
            self._cells: {"a": a, "b": b, "pixels": pixels},
            self._boundary: dict(zip(BOUNDARY_SCHEMA.names[1:6], columns, strict=True)),
        }

    def _count_confidence(self, image_id: str, truth_mask: Mask, predicted: Mask) -> dict[str, Any]:
        """The `CALIBRATION_SCHEMA` rows of one image; confidence is resized by nearest neighbour, like the mask."""
        grid = self._predict(image_id, predictor.confidence_map)
        size = truth_mask.shape[1], truth_mask.shape[0]
        confidence = np.asarray(Image.fromarray(grid).resize(size, Image.Resampling.NEAREST), np.float64)
        table = build_class_lookup(self._truth_record, self._run)
        labelled = table[truth_mask] != VOID
        correct = (table[truth_mask] == predicted)[labelled]
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

    def _judge_labels(self, image_id: str, truth_mask: Mask) -> dict[Path, dict[str, Any]]:
        """The rows of one image's label quality; its map of doubtful pixels is written before they are."""
        probabilities = self._predict(image_id, predictor.probability_map)
        labels = build_class_lookup(self._truth_record, self._run)[truth_mask]
        columns, doubts = label_judgement.judge_labels(labels, probabilities)
        place = find_better_place(png.resize_mask(labels, probabilities.shape[:0:-1]), probabilities)
        path = pair_counts.doubt_path(self._cells, image_id)
        self.store.atomic.write(path, png.encode_index_png(doubts))
        return {self._placement: {name: [value] for name, value in asdict(place).items()}, self._quality: columns}

    def _predict(self, image_id: str, predict: Callable[..., NDArray[np.float32]]) -> NDArray[np.float32]:
        """Run the model on one image; `predict` is one of the maps of `predictor`."""
        assert self._model is not None
        spec, settings = self._model
        data = read_photo(*self._images[image_id])
        if compute_image_id(data) != image_id:
            raise BadImage("vanished", "The file has changed since its scan.")
        image, grid_wh = predictor.prepare_image(decode(data), spec, settings)
        return predict(image, spec, settings, grid_wh)
