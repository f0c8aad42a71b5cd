"""Count the pixels of runs against ground truth masks and save the counts in the store."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from seglib.classes import VOID
from seglib.data import image as image_module
from seglib.data.scan import choose
from seglib.errors import BadImage, DatasetError, StoreError
from seglib.evaluation.counting import FILE_COLUMNS, chosen_runs, count_all, sound_mask
from seglib.evaluation.evaluation import EVALUATED_COLUMNS, _named_alike, to_run
from seglib.inference import predictor
from seglib.maintenance.compact import tidy
from seglib.masks import annotations, boundary, png
from seglib.masks.png import Mask
from seglib.metrics.calibration import (
    CONFIDENCE_BINS,
    confidence_bin,
)
from seglib.metrics.confusion import joint
from seglib.pipeline import reproduce
from seglib.progress import OnProgress, Progress
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import Truth
from seglib.store.pair_counts import BOUNDARY, CALIBRATION, TRUTH_CELLS, Appender
from seglib.store.records import Run
from seglib.store.store import Store


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    truth: Truth
    runs: tuple[str, ...]
    files: pd.DataFrame
    """`EVALUATED_COLUMNS` of the images that have a ground truth mask and a readable mask from every run."""
    computed: int
    """Number of (run, image) pairs counted by this call."""
    failed: tuple[str, ...]
    """Ids of images with a missing or damaged mask."""
    seconds: float
    notes: tuple[str, ...]


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
) -> EvaluationReport:
    """Update the counts for the images that have a mask below `folder` and that all these runs have computed.

    `kind` is one of `annotations.FORMATS`, guessed if None. `classes` names the indices of a `voc` ground truth.
    `names` (relative paths or stems) restricts the images. `calibration` runs the models again to get per-pixel
    confidence, which the store does not keep. Progress counts masks: each image once per run.

    Only missing counts are computed. Raises `DatasetError` if no image has a mask.
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
        # All counters are created first, so that no counting starts if one of them fails.
        counters = [_Counter(store, run, about, places, calibration=calibration) for run in chosen]
        for counter, (_, work) in zip(counters, jobs, strict=True):
            appender = Appender(store, counter.schemas)
            alone = 1 if calibration else threads  # the model already uses all cores
            failed += count_all(counter.count, work, appender, progress, on_progress=on_progress, threads=alone)
        tidy(store)  # also cleans up after a call that was killed before this point
    notes = [] if len(found) == len(photos) else [f"{len(photos) - len(found)} of {len(photos)} photos have no mask."]
    found = found[~found["image_id"].isin(failed)]
    return EvaluationReport(
        truth=about,
        runs=tuple(run.run for run in chosen),
        files=found[EVALUATED_COLUMNS],
        computed=todo - len(failed),
        failed=tuple(dict.fromkeys(failed)),
        seconds=round(time.monotonic() - begun, 3),
        notes=tuple(notes),
    )


def runs_with(store: Store, folder: Path, dataset: str | None = None) -> list[str]:
    """Names of the runs that have computed at least one image with a mask below this folder."""
    masks = list(annotations.masks_in(folder)["path"])
    photos = {run.run: _photos(store, [run], None, dataset)["path"] for run in store.runs()}
    return [name for name, paths in photos.items() if annotations.matched(paths.drop_duplicates(), masks)]


def _photos(store: Store, runs: Sequence[Run], names: Sequence[str] | None, dataset: str | None) -> pd.DataFrame:
    """The files that every run has computed, restricted to `names` if given."""
    table = store.table([runs[0].run], [dataset] if dataset else None, with_tags=False)
    for run in runs[1:]:
        table = table[table["image_id"].isin(store.computed_ids(run.run, run.classes))]
    files = table[FILE_COLUMNS].reset_index(drop=True)
    if files.empty and len(runs) > 1:
        raise DatasetError("These runs have no photo in common: evaluate them one by one.")
    return files if names is None else choose(files, names)


def _roots(store: Store, found: pd.DataFrame) -> dict[str, Path]:
    """image_id -> path of the image file."""
    roots = {one.name: one.root for one in store.datasets()}
    return {i: roots[d] / p for i, d, p in zip(found["image_id"], found["dataset"], found["path"], strict=True)}


def _missing(
    store: Store, run: Run, about: Truth, pictures: pd.DataFrame, calibration: bool
) -> list[tuple[str, str, bool, bool]]:
    """(image_id, truth id, needs counts, needs confidence) of the images that lack either."""
    folder = pair_counts.evaluation_folder(store, run.run, about.id)
    counted = pair_counts.counted_truths(folder, TRUTH_CELLS)
    calibrated = pair_counts.counted_truths(pair_counts.calibration_folder(folder), CALIBRATION)
    pairs = list(zip(pictures["image_id"], pictures["truth"], strict=True))
    work = [(*pair, pair not in counted, calibration and pair not in calibrated) for pair in pairs]
    return [one for one in work if one[2] or one[3]]


class _Counter:
    """Counts single images of one run against the ground truth."""

    def __init__(self, store: Store, run: Run, about: Truth, photos: dict[str, Path], *, calibration: bool) -> None:
        self.store, self._run, self._about, self._photos = store, run, about, photos
        self.calibration = calibration
        self._net = reproduce.remake(store, run) if calibration else None
        folder = pair_counts.evaluation_folder(store, run.run, about.id)
        self._boundary, self._calibration = (
            pair_counts.boundary_folder(folder),
            pair_counts.calibration_folder(folder),
        )
        self._cells = folder  # committed last: an image with cells is complete
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
        """The `CALIBRATION` rows of one image; confidence is resized by nearest neighbour, like the mask."""
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
