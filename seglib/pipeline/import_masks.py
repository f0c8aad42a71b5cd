"""Import existing index masks as a run, so that they can be counted, stored and compared like predictions.

Input: a folder of index masks, their class names, and a dataset of the store. Output: a run without weights, whose
confidence is null. The run's digest covers the name, the classes and the mask files: different masks create a new run,
identical ones update the existing run.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from seglib.errors import DatasetError, UsageError
from seglib.maintenance import prune
from seglib.maintenance.compact import try_merge_parts
from seglib.masks import annotations, statistics
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


def import_masks(
    store: Store,
    folder: Path,
    classes: Sequence[str],
    name: str,
    *,
    dataset: str | None = None,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Import the masks of a dataset's images (`dataset` may be omitted if the store holds only one).

    A mask is matched to its image by relative path, else by stem (`annotations.match_masks`). Its values are indices
    into `classes`, and it may have any size. An interrupted import resumes when called again.

    Raises `DatasetError` if the folder does not exist or no mask matches, and `UsageError` if the dataset is ambiguous
    or the name is unusable. Masks that cannot be used are listed in `ImportReport.failed`.
    """
    data_set = _dataset(store, dataset)
    if not folder.is_dir():
        raise DatasetError(f"{str(folder)!r} is not a folder: name the folder that holds the masks.")
    files = store.files(data_set)
    images = files.loc[files["reason"].isna(), ["path", "image_id"]]
    pairs = annotations.match_masks(images["path"], annotations.scan_masks(folder)["path"])
    if not pairs:
        raise DatasetError(
            f"None of the {len(images)} photos of {data_set.name!r} has a mask below {folder.name!r}: "
            "a mask has its photo's name, ending in .png."
        )
    masks = images.assign(mask=images["path"].map(pairs)).dropna().drop_duplicates("image_id")
    chosen = [(str(image_id), str(mask)) for image_id, mask in zip(masks["image_id"], masks["mask"], strict=True)]
    run = _run(store, name, tuple(classes), [(image_id, _sha256(folder / mask)) for image_id, mask in chosen])
    failed: dict[str, str] = {}
    with store.atomic.register_writer():
        store.atomic.claim_run(run.run)
        computed_ids = store.computed_ids(run)
        todo = [one for one in chosen if one[0] not in computed_ids]
        progress = Progress(title=run.run, total=len(masks), done=len(masks) - len(todo))
        writer = RunWriter(store, data_set, run, 0)
        try:
            for image_id, mask_name in todo:
                try:
                    raw = annotations.read_mask(folder, mask_name)
                    mask = annotations.check_index_mask(raw, mask_name, len(run.classes), void=False)
                    writer.add_result(image_id, statistics.stats_row(mask, run.classes, None), mask, b"")
                except DatasetError as error:
                    failed[mask_name] = str(error)
                    progress.failed += 1
                progress.done += 1
                if on_progress is not None:
                    on_progress(progress)
        finally:  # also on interruption: keep what was imported
            writer.commit()
        try_merge_parts(store)  # also cleans up after a call that was killed before this point
    if len(failed) == len(masks):
        prune.remove_run(store, run.run)
    return ImportReport(
        run=run.run,
        images=len(pairs),
        computed=len(todo) - len(failed),
        reused=len(masks) - len(todo),
        failed=failed,
        unmatched=len(images) - len(pairs),
    )


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


def _run(store: Store, name: str, classes: tuple[str, ...], masks: Sequence[tuple[str, str]]) -> Run:
    """Create or reuse the run; `masks` are (image_id, SHA-256 of the mask file) pairs."""
    model = re.sub(r"[^\w.]+", "_", name).strip("._")
    if not model:
        raise UsageError(f"A run's name needs letters or digits, and {name!r} has none: name another with `name`.")
    content = [" ".join(one) for one in sorted(masks)]
    digest = hashlib.sha256("\n".join((model, *classes, *content)).encode()).hexdigest()[:8]
    return store.keep_run(
        Run(
            run=f"{model}-{RESIZE}-{digest}",
            model=model,
            resize=RESIZE,
            precision=None,
            classes=classes,
            weights_sha256=None,
            parameters=None,
            created=utc_now(),
            recipe={"imported": name},
            versions={},
        )
    )


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DatasetError(f"The mask {path.name!r} cannot be read ({error.strerror}).") from None
