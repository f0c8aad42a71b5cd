"""Import existing masks as a run, so that they can be counted, stored and compared like predictions.

Input: masks that are open for reading (`annotations.reader.open_masks`), and a dataset of the store or a folder of
photos. Output: a run without weights, whose confidence is null unless there are confidence maps. The run's digest
covers the name, the classes and the mask files: different masks create a new run, identical ones update the existing
run.
"""

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from seglib.annotations.matching import Matches, match_masks, no_match_error, scan_masks
from seglib.annotations.reader import (
    Masks,
    check_size,
    count_masks,
    leave_out_masks,
    match_photos,
    read_raw,
    sample_masks,
)
from seglib.annotations.reading import MaskError
from seglib.classes import VOID, Mask
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.errors import DatasetError, UsageError
from seglib.fileio.parallel import map_in_threads
from seglib.maintenance import prune
from seglib.maintenance.compact import try_merge_parts
from seglib.masks import png, statistics
from seglib.pipeline.photo_index import register_photos
from seglib.progress import OnProgress, Progress
from seglib.store.records import Dataset, Run, utc_now
from seglib.store.store import Store
from seglib.store.writer import RunWriter

_ROUNDED, _ROUNDED_SHARE = 8, 0.02
"""Pixels, or share of the shorter side, by which a side may be off its photo's shape: models take multiples of 16."""

RESIZE = "imported"
"""Used in place of a resize in the run's name and record, since imported masks can have any size."""


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    run: str
    images: int
    """Images that have a mask."""
    computed: int
    reused: int
    failed: dict[str, str]
    """Mask name -> reason why it was not imported."""
    unmatched: int
    """Images without a mask."""
    without_photo: tuple[str, ...]
    """Masks that fit no image."""
    notes: tuple[str, ...]


def import_masks(
    store: Store,
    masks: Masks,
    name: str,
    *,
    dataset: str | None = None,
    photos: Path | None = None,
    confidence: Path | None = None,
    gps: GpsPrecision | None = None,
    on_photo: OnProgress | None = None,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> ImportReport:
    """Import the masks of a dataset's images (`dataset` may be omitted if the store holds only one).

    A mask may have any size of its photo's shape, or one size that all masks have, as the grids of models do; void
    pixels belong to no class. `photos` is a folder to scan into the store first. `confidence` is a folder of grey
    images, 8 or 16 bits, named and sized like the masks: confidence 0..1 as 0..255 or 0..65535. `gps` says how
    precisely the positions in the photos' EXIF are kept. An interrupted import resumes when called again.

    Raises `DatasetError` if no mask matches or can be used, and `UsageError` if the dataset is ambiguous or the name is
    unusable. Masks that cannot be used are listed in `ImportReport.failed`.
    """
    if photos is None:
        data_set = _dataset(store, dataset)
    elif dataset is None:
        data_set = register_photos(store, photos, gps=gps, on_progress=on_photo, on_note=on_note)
    else:
        raise UsageError("`photos` names the folder itself: leave out `dataset`.")
    images = _list_images(store, data_set, masks)
    matches = match_photos(masks, list(images["path"]))
    contradicting = _find_contradictions(masks, images, matches)
    chosen = [task for task in _choose(images, matches, confidence) if task.mask not in contradicting]
    if not chosen:
        raise DatasetError(
            f"None of {count_masks(len(contradicting))} can be used. {next(iter(contradicting.values()))}"
        )
    run = _run(store, name, masks, _hash_files(masks, chosen, confidence))
    importer = _Importer(masks, run, confidence, RunWriter(store, data_set, run, 0))
    failed, reused = _write_run(store, importer, chosen, on_progress)
    return ImportReport(
        run=run.run,
        images=len(matches.masks),
        computed=len(chosen) - reused - len(failed),
        reused=reused,
        failed=failed | contradicting,
        unmatched=len(images) - len(matches.masks),
        without_photo=matches.without_photo,
        notes=_describe(masks, matches, len(images), importer.stretched),
    )


class _Task(NamedTuple):
    image_id: str
    mask: str
    label: str | None
    width: int
    height: int
    """Size of the image in pixels."""
    confidence: str | None
    """Name of the confidence map."""


def _find_contradictions(masks: Masks, images: pd.DataFrame, matches: Matches) -> dict[str, str]:
    """Mask -> reason, of identical photos whose masks differ; a run holds one mask per photo content."""
    table = images.assign(mask=images["path"].map(dict(matches.masks))).dropna(subset="mask")
    contradicting: dict[str, str] = {}
    for _, group in table[table["image_id"].duplicated(keep=False)].groupby("image_id", sort=False):
        read = []
        for name, width, height in zip(group["mask"], group["width"], group["height"], strict=True):
            with contextlib.suppress(MaskError):
                read.append(masks.read(name, (int(width), int(height)), any_size=True))
        if any(not np.array_equal(one, read[0]) for one in read):
            one, other = group["path"].iloc[:2]
            reason = f"{one!r} and {other!r} are the same photo, and their masks differ: leave one out."
            contradicting |= dict.fromkeys(group["mask"], reason)
    return contradicting


def _choose(images: pd.DataFrame, matches: Matches, confidence: Path | None) -> list[_Task]:
    """One task per image content that has a mask."""
    maps: Mapping[str, str] = {}
    if confidence is not None:
        names = list(scan_masks(confidence)["path"])
        maps = match_masks(images["path"], names).masks
        if not maps:
            raise no_match_error(list(images["path"]), names, confidence)
    table = images.assign(mask=images["path"].map(dict(matches.masks)), confidence=images["path"].map(dict(maps)))
    table = table.dropna(subset="mask").drop_duplicates("image_id").astype("object")
    table = table.where(table.notna(), None)
    return [_Task(*row) for row in table[list(_Task._fields)].itertuples(index=False, name=None)]


@dataclass(frozen=True)
class _Importer:
    """Reads masks and writes them as results of a run."""

    masks: Masks
    run_record: Run
    confidence: Path | None
    writer: RunWriter
    stretched: set[tuple[int, int]] = field(default_factory=set)
    """Width and height of masks that have not their photo's shape, but the size of all masks."""

    @cached_property
    def common_size(self) -> tuple[int, int] | None:
        """Height and width that all masks of a sample have; None if they differ."""
        sizes = {mask.shape for mask in sample_masks(self.masks, list(self.masks.files["path"]))}
        return sizes.pop() if len(sizes) == 1 else None

    def run(self, tasks: Sequence[_Task], progress: Progress, on_progress: OnProgress | None) -> dict[str, str]:
        """Import all; returns mask name -> why it could not be imported."""
        failed: dict[str, str] = {}
        try:
            for task in tasks:  # threads took as long, and half as much CPU again
                if (error := self._import(task)) is not None:
                    failed[task.mask] = str(error)
                    progress.failed += 1
                progress.done += 1
                if on_progress is not None:
                    on_progress(progress)
        finally:  # also on interruption: keep what was imported
            self.writer.commit()
        return failed

    def _import(self, task: _Task) -> MaskError | None:
        try:
            mask = self.masks.read(task.mask, (task.width, task.height), task.label, any_size=True)
            self._check_shape(task, mask)
            measures = self._read_confidence(task, mask)
        except MaskError as error:
            return error
        row = statistics.stats_row(mask, self.run_record.classes, measures)
        self.writer.add_result(task.image_id, row, png.encode_index_png(mask), b"")
        return None

    def _check_shape(self, task: _Task, mask: Mask) -> None:
        """Raise `MaskError` for a mask that is neither of its photo's shape nor of the size that all masks have."""
        height, width = mask.shape
        photo_wh = task.width, task.height
        if (width, height) == photo_wh[::-1] != photo_wh:
            check_size(f"The mask {task.mask!r}", (width, height), photo_wh)
        scale = (width * height / (task.width * task.height)) ** 0.5
        off = max(abs(width - task.width * scale), abs(height - task.height * scale))
        if off <= max(_ROUNDED, _ROUNDED_SHARE * min(width, height)):
            return
        if mask.shape != self.common_size:
            raise MaskError(
                f"The mask {task.mask!r} is {width} x {height} pixels and its photo {task.width} x {task.height}: "
                "expected the photo's size, a size of its shape, or one size for all masks."
            )
        self.stretched.add((width, height))

    def _read_confidence(self, task: _Task, mask: Mask) -> statistics.ConfidenceStats | None:
        """The mean confidence of the pixels that are not void; None without a confidence map."""
        if self.confidence is None or task.confidence is None:
            return None
        raw = read_raw(self.confidence, task.confidence)
        name = f"The confidence map {task.confidence!r}"
        check_size(name, raw.size_wh, (mask.shape[1], mask.shape[0]), "mask")
        if raw.values is None or raw.palette is not None or raw.bits < 8:
            raise MaskError(f"{name} is not grey with 8 or 16 bits.")
        if max(raw.used_values) == 1:
            raise MaskError(f"{name} holds only 0 and 1: expected confidence 0..1 as 0..{2**raw.bits - 1}.")
        labelled = raw.values[mask != VOID]
        return statistics.ConfidenceStats(float(labelled.mean()) / (2**raw.bits - 1)) if labelled.size else None


def _write_run(
    store: Store, importer: _Importer, tasks: Sequence[_Task], on_progress: OnProgress | None
) -> tuple[dict[str, str], int]:
    """Import what the run does not hold yet. Returns mask name -> why it failed, and how many were there already.

    Raises `DatasetError`, and removes the run, if none can be used.
    """
    run = importer.run_record
    with store.atomic.register_writer():
        store.atomic.claim_run(run.run)
        computed_ids = store.computed_ids(run)
        todo = [task for task in tasks if task.image_id not in computed_ids]
        reused = len(tasks) - len(todo)
        failed = importer.run(todo, Progress(title=run.run, total=len(tasks), done=reused), on_progress)
        try_merge_parts(store)  # also cleans up after a call that was killed before this point
    if len(failed) == len(tasks):
        prune.remove_run(store, run.run)
        raise DatasetError(f"None of {count_masks(len(failed))} can be used. {next(iter(failed.values()))}")
    return failed, reused


def _list_images(store: Store, data_set: Dataset, masks: Masks) -> pd.DataFrame:
    """The readable photos of a dataset, without masks that lie among them. Raises `DatasetError` without any photo."""
    files = store.files(data_set)
    images = files.loc[files["reason"].isna(), ["path", "label", "image_id", "width", "height"]]
    if images.empty:
        raise DatasetError(
            f"The store knows no readable photo of {data_set.name!r}: run a model over its folder first, or name the "
            "folder with `photos`."
        )
    return images[leave_out_masks(masks, data_set.root, images["path"])]


def _describe(masks: Masks, matches: Matches, photos: int, stretched: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """How the masks were read, matched to this many photos, and of which shape they are."""
    return (
        masks.describe(list(matches.masks.values())),
        f"{len(matches.masks):,} of {photos:,} photos have a mask: {matches.describe()}.",
        *(
            f"All masks have {width} x {height} pixels, whatever their photos' shapes, as a model's grid has."
            for width, height in stretched
        ),
    )


def _dataset(store: Store, name: str | None) -> Dataset:
    datasets = store.datasets()
    if name is not None:
        return store.dataset(name)
    if len(datasets) != 1:
        raise UsageError(
            "The store holds no photos yet: name their folder in `photos`, or run a model on them first."
            if not datasets
            else f"The store holds {len(datasets)} datasets: say which one the masks belong to with `dataset`: "
            f"{', '.join(one.name for one in datasets)}."
        )
    return datasets[0]


def _run(store: Store, name: str, masks: Masks, content: Sequence[str]) -> Run:
    """Create or reuse the run; `content` identifies each mask and its image."""
    model = re.sub(r"[^\w.]+", "_", name).strip("._")
    if not model:
        raise UsageError(f"A run's name needs letters or digits, and {name!r} has none: name another with `name`.")
    reading = [masks.reading_options] if masks.reading_options else []
    reading = [masks.format, *reading] if masks.format not in ("index", "voc") else reading
    text = "\n".join((model, *masks.classes, *content, *reading))
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return store.keep_run(
        Run(
            run=f"{model}-{RESIZE}-{digest}",
            model=model,
            resize=RESIZE,
            precision=None,
            classes=masks.classes,
            weights_sha256=None,
            parameters=None,
            created=utc_now(),
            recipe={"imported": name},
            versions={},
        )
    )


def _hash_files(masks: Masks, tasks: Sequence[_Task], confidence: Path | None) -> list[str]:
    """`image_id sha256` of each task's mask file, and of its confidence map, sorted."""
    files = [(task.image_id, masks.file(task.mask)) for task in tasks]
    if confidence is not None:
        files += [(task.image_id, confidence / task.confidence) for task in tasks if task.confidence is not None]
    paths = list(dict.fromkeys(path for _, path in files))
    digests = dict(zip(paths, map_in_threads(_sha256, paths), strict=True))
    return sorted(f"{image_id} {digests[path]}" for image_id, path in files)


def _sha256(path: Path) -> str:
    """The file's SHA-256; empty if it cannot be read, which reading the mask will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
