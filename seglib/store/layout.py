"""Name every file and folder of a store, and keep symbolic links out of it.

    datasets/<8 hex>/     dataset.json, scan.json, labels.json, files/part-*.parquet
    runs/<run>/           run.json, cost.json, stats/part-*.parquet, oddities/part-*.parquet,
                          embeddings/part-*.parquet, masks/<ab>/<image_id>.png, masks/pack-*.zip
    thumbs/               <ab>/<image_id>.jpg, pack-*.zip
    tags/                 part-*.parquet
    columns/              part-*.parquet, <action>/part-*.parquet
    photo_measures/       part-*.parquet
    views/<16 hex>/       view.json
    compare/<pair>/       part-*.parquet
    evaluate/<run--truth>/  part-*.parquet
    truths/<8 hex>/       truth.json, files/, masks/
    int8/<model>/         a calibrated model
    embeddings/<name>/    embeddings.json, part-*.parquet
    cache/projections/<source>/  <kind>-<method>-<key>.npy
    cache/tables/<run>/   manifest.json, piece-<digest>.parquet, repeats-<digest>.parquet

`scans` writes `scan.json`, `content` `labels.json`, `maintenance.cost_record` `cost.json`; `pair_counts` fills
`compare` and `evaluate`, `ground_truth` fills `truths`, `own_columns` fills `columns`, `saved_views` fills `views`,
`pipeline.quantization` fills `int8`.
"""

import hashlib
import os
import re
from pathlib import Path

from seglib.data.buckets.address import looks_like_address
from seglib.errors import StoreError, UsageError
from seglib.store.pictures.picture_folder import PictureFolder
from seglib.store.records import Dataset, Run

_FOLDERS = (
    "runs",
    "datasets",
    "columns",
    "photo_measures",
    "compare",
    "evaluate",
    "truths",
    "int8",
    "embeddings",
    "cache",
    "views",
)


def refuse_address(path: str | os.PathLike[str]) -> None:
    """Raise `UsageError` for a store that would not lie in a folder."""
    if looks_like_address(os.fspath(path)):
        raise UsageError(
            "A store lies in a folder, not on object storage: name a folder, and copy it (as by `aws s3 sync`) when "
            "the run is done."
        )


class StoreLayout:
    """The paths of a store. A method in the singular names a path, which need not exist; in the plural, it lists those
    that do, sorted.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        refuse_address(path)
        self.path = Path(path)

    # --- datasets and runs ---

    def dataset_record(self, dataset_id: str) -> Path:
        return self.path / "datasets" / dataset_id / "dataset.json"

    def dataset_records(self) -> list[Path]:
        return sorted(self.path.glob("datasets/*/dataset.json"))

    def scan_record(self, dataset_id: str) -> Path:
        return self.dataset_record(dataset_id).with_name("scan.json")

    def scan_records(self) -> list[Path]:
        return sorted(self.path.glob("datasets/*/scan.json"))

    def label_map_record(self, dataset_id: str) -> Path:
        return self.dataset_record(dataset_id).with_name("labels.json")

    def label_map_records(self) -> list[Path]:
        return sorted(self.path.glob("datasets/*/labels.json"))

    def files_folder(self, dataset: Dataset) -> Path:
        return self.dataset_record(dataset.id).parent / "files"

    def runs_folder(self) -> Path:
        return self.path / "runs"

    def run_folder(self, run: str) -> Path:
        return self.path / "runs" / run

    def run_folders(self) -> list[Path]:
        """Includes folders without a record."""
        return sorted(self.path.glob("runs/*"))

    def run_record(self, run: str) -> Path:
        return self.run_folder(run) / "run.json"

    def run_records(self) -> list[Path]:
        return sorted(self.path.glob("runs/*/run.json"))

    def cost_record(self, run: str) -> Path:
        return self.run_folder(run) / "cost.json"

    def cost_records(self) -> list[Path]:
        return sorted(self.path.glob("runs/*/cost.json"))

    def stats_folder(self, run: Run) -> Path:
        return self.run_folder(run.run) / "stats"

    def embeddings_folder(self, run: Run) -> Path:
        return self.run_folder(run.run) / "embeddings"

    def oddities_folder(self, run: str) -> Path:
        return self.run_folder(run) / "oddities"

    # --- masks and thumbnails ---

    def masks(self, run: str) -> PictureFolder:
        return PictureFolder(self.run_folder(run) / "masks", ".png")

    def mask_path(self, run: str, image_id: str) -> Path:
        """Where a mask is written; `masks` reads it, also from a pack."""
        return self.masks(run).path(image_id)

    def thumbnails(self) -> PictureFolder:
        return PictureFolder(self.path / "thumbs", ".jpg")

    def thumbnail_path(self, image_id: str) -> Path:
        """Where a thumbnail is written; `thumbnails` reads it, also from a pack."""
        return self.thumbnails().path(image_id)

    # --- everything else ---

    def tags_folder(self) -> Path:
        return self.path / "tags"

    def columns_folder(self) -> Path:
        """Folder of the log of own columns; the values of each addition are in a folder below it."""
        return self.path / "columns"

    def column_values_folder(self, action: str) -> Path:
        return self.columns_folder() / _check_action(action)

    def column_values_folders(self) -> list[Path]:
        return sorted(path for path in self.columns_folder().glob("*") if path.is_dir())

    def photo_measures_folder(self) -> Path:
        return self.path / "photo_measures"

    def view_record(self, view_id: str) -> Path:
        """Not part of `version`: a saved view changes no figure, and pages read them each time."""
        return self.path / "views" / view_id / "view.json"

    def view_records(self) -> list[Path]:
        return sorted(self.path.glob("views/*/view.json"))

    def comparison_folder(self, name: str) -> Path:
        return self.path / "compare" / name

    def comparison_folders(self) -> list[Path]:
        return sorted(self.path.glob("compare/*"))

    def evaluation_folder(self, name: str) -> Path:
        return self.path / "evaluate" / name

    def evaluation_folders(self) -> list[Path]:
        return sorted(self.path.glob("evaluate/*"))

    def truth_folder(self, truth_id: str) -> Path:
        return self.path / "truths" / truth_id

    def truth_folders(self) -> list[Path]:
        return sorted(self.path.glob("truths/*"))

    def truth_record(self, truth_id: str) -> Path:
        return self.truth_folder(truth_id) / "truth.json"

    def truth_records(self) -> list[Path]:
        return sorted(self.path.glob("truths/*/truth.json"))

    def truth_files_folder(self, truth_id: str) -> Path:
        return self.truth_folder(truth_id) / "files"

    def truth_masks_folder(self, truth_id: str) -> Path:
        return self.truth_folder(truth_id) / "masks"

    def int8_folder(self, name: str) -> Path:
        """Folder for a calibrated int8 model; see `pipeline/quantization.py`."""
        return self.path / "int8" / name

    def int8_folders(self) -> list[Path]:
        return sorted(self.path.glob("int8/*"))

    # --- embeddings that were brought along, and what is computed from embeddings ---

    def brought_folder(self, name: str) -> Path:
        return self.path / "embeddings" / name

    def embedding_record(self, name: str) -> Path:
        return self.brought_folder(name) / "embeddings.json"

    def embedding_records(self) -> list[Path]:
        return sorted(self.path.glob("embeddings/*/embeddings.json"))

    def projections_folder(self, source: str) -> Path:
        return self.path / "cache" / "projections" / source

    def projection_folders(self) -> list[Path]:
        return sorted(self.path.glob("cache/projections/*"))

    def table_folder(self, run: str) -> Path:
        """Folder of the prepared table of a run; see `query.prepared`."""
        return self.path / "cache" / "tables" / run

    def table_folders(self) -> list[Path]:
        return sorted(self.path.glob("cache/tables/*"))

    def version(self, *, with_tags: bool = True) -> str:
        """Cache key for everything derived from this store; changes whenever a part or a JSON file does.

        `with_tags=False` is for results that do not depend on tags, which change far more often than everything else.
        """
        digest = hashlib.sha256()
        patterns = ["datasets/*/files/*.parquet", "runs/*/stats/*.parquet", "datasets/*/*.json", "runs/*/*.json"]
        patterns += ["runs/*/oddities/*.parquet", "runs/*/embeddings/*.parquet", "embeddings/*/embeddings.json"]
        patterns += ["columns/*.parquet", "photo_measures/*.parquet"]
        for pattern in patterns + ["tags/*.parquet"] * with_tags:
            for path in sorted(self.path.glob(pattern)):
                stamp = "" if path.suffix == ".parquet" else str(path.stat().st_mtime_ns)
                digest.update(f"{path.relative_to(self.path).as_posix()} {stamp}\n".encode())
        return digest.hexdigest()[:16]

    def refuse_links(self) -> None:
        """Raise `StoreError` for a symbolic link among the folders, so that writes and deletions cannot leave the
        store.
        """
        for folder in (self.path, *(self.path / name for name in _FOLDERS)):
            try:
                with os.scandir(folder) as entries:
                    link = next((entry.name for entry in entries if entry.is_symlink()), None)
            except OSError:  # the folder does not exist
                continue
            if link is not None:
                raise StoreError(
                    f"{link!r} in this store is a link, but a store's folders must not be links: put a folder there."
                )


def _check_action(action: str) -> str:
    if not re.fullmatch("[0-9a-f]{16}", action):
        raise StoreError(
            f"{action[:40]!r} is no action on own columns: a part of this store was changed, restore it from a copy."
        )
    return action
