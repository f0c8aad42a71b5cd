"""Import existing index masks as a run, so that they can be counted, stored and compared like predictions.

Input: a folder of index masks, their class names, and a dataset of the store. Output: a run without weights, whose
confidence is null. The run's digest covers the name, the classes and the mask files: different masks create a new run,
identical ones update the existing run.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seglib.annotations.reader import Masks, match_photos
from seglib.annotations.reading import MaskError
from seglib.errors import DatasetError, UsageError
from seglib.fileio.parallel import map_in_threads
from seglib.maintenance import prune
from seglib.maintenance.compact import try_merge_parts
from seglib.masks import statistics
from seglib.progress import OnProgress, Progress
from seglib.store.records import Dataset, Run, utc_now
from seglib.store.store import Store
from seglib.store.writer import RunWriter

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
    store: Store, masks: Masks, name: str, *, dataset: str | None = None, on_progress: OnProgress | None = None
) -> ImportReport:
    """Import the masks of a dataset's images (`dataset` may be omitted if the store holds only one).

    A mask may have any size; void pixels belong to no class. An interrupted import resumes when called again.

    Raises `DatasetError` if no mask matches or can be used, and `UsageError` if the dataset is ambiguous or the name is
    unusable. Masks that cannot be used are listed in `ImportReport.failed`.
    """
    data_set = _dataset(store, dataset)
    files = store.files(data_set)
    images = files.loc[files["reason"].isna(), ["path", "label", "image_id", "width", "height"]]
    matches = match_photos(masks, list(images["path"]))
    table = images.assign(mask=images["path"].map(dict(matches.masks))).dropna(subset="mask")
    table = table.drop_duplicates("image_id").astype("object")
    chosen = [
        _Task(*row)
        for row in table[["image_id", "mask", "label", "width", "height"]].itertuples(index=False, name=None)
    ]
    run = _run(store, name, masks, _hash_files(masks, chosen))
    failed: dict[str, str] = {}
    with store.atomic.register_writer():
        store.atomic.claim_run(run.run)
        computed_ids = store.computed_ids(run)
        todo = [task for task in chosen if task.image_id not in computed_ids]
        progress = Progress(title=run.run, total=len(chosen), done=len(chosen) - len(todo))
        writer = RunWriter(store, data_set, run, 0)
        try:
            for task, result in zip(todo, map_in_threads(partial(_import, masks, run, writer), todo), strict=True):
                if isinstance(result, MaskError):
                    failed[task.mask] = str(result)
                    progress.failed += 1
                progress.done += 1
                if on_progress is not None:
                    on_progress(progress)
        finally:  # also on interruption: keep what was imported
            writer.commit()
        try_merge_parts(store)  # also cleans up after a call that was killed before this point
    if len(failed) == len(chosen):
        prune.remove_run(store, run.run)
        raise DatasetError(f"None of the {len(failed)} masks can be used. {next(iter(failed.values()))}")
    return ImportReport(
        run=run.run,
        images=len(matches.masks),
        computed=len(todo) - len(failed),
        reused=len(chosen) - len(todo),
        failed=failed,
        unmatched=len(images) - len(matches.masks),
        without_photo=matches.without_photo,
        notes=(masks.describe(), f"{len(matches.masks):,} photos have a mask: {matches.describe()}."),
    )


class _Task(NamedTuple):
    image_id: str
    mask: str
    label: str | None
    width: int
    height: int
    """Size of the image in pixels."""


def _import(masks: Masks, run: Run, writer: RunWriter, task: _Task) -> MaskError | None:
    try:
        mask = masks.read(task.mask, (task.width, task.height), task.label, any_size=True)
    except MaskError as error:
        return error
    writer.add_result(task.image_id, statistics.stats_row(mask, run.classes, None), mask, b"")
    return None


def _dataset(store: Store, name: str | None) -> Dataset:
    datasets = store.datasets()
    if name is not None:
        return store.dataset(name)
    if len(datasets) != 1:
        raise UsageError(
            "The store holds no photos yet: run a model on them first."
            if not datasets
            else f"The store holds {len(datasets)} datasets: name that of the masks with `dataset`, one of "
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


def _hash_files(masks: Masks, tasks: Sequence[_Task]) -> list[str]:
    """`image_id sha256` of each task's mask file, sorted."""
    files = {task.mask: masks.file(task.mask) for task in tasks}
    digests = dict(zip(paths := dict.fromkeys(files.values()), map_in_threads(_sha256, list(paths)), strict=True))
    return sorted(f"{task.image_id} {digests[files[task.mask]]}" for task in tasks)


def _sha256(path: Path) -> str:
    """The file's SHA-256; empty if it cannot be read, which reading the mask will say."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
