"""The masks that a run made of a dataset's photos, at the photos' sizes: what is exported as annotations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglib.classes import BACKGROUND, VOID, Mask
from seglib.errors import StoreError, UsageError
from seglib.masks import png
from seglib.masks.regions import Region, find_regions
from seglib.masks.statistics import pixels_column
from seglib.query.export import folder_name
from seglib.query.fields import read_table
from seglib.query.filters import Filters, select
from seglib.store.store import Store


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    path: str
    """Relative to the dataset's folder, with `/`."""
    size_wh: tuple[int, int]
    """In pixels, after EXIF rotation."""
    mask: Mask
    """uint8 (H, W): class indices at the photo's size, 255 void."""


@dataclass(frozen=True, eq=False)
class AnnotationSet:
    """One run's masks of one dataset."""

    store: Store
    run: str
    dataset: str
    classes: tuple[str, ...]
    photos: pd.DataFrame
    """Columns of `Store.table`, of the photos that fit the filters."""
    folder: str
    """Where its files lie in the export: `<run>/<dataset>`, or "" if the export holds nothing else."""

    @property
    def background(self) -> int | None:
        """Index of the background, which is not annotated."""
        return self.classes.index(BACKGROUND) if BACKGROUND in self.classes else None

    @property
    def annotated_classes(self) -> dict[int, str]:
        """Class index -> name, without the background."""
        return {index: name for index, name in enumerate(self.classes) if index != self.background}

    @property
    def void_share(self) -> float:
        """Share of the photos' pixels that belong to no class, 0..1."""
        counts = self.photos[[pixels_column(name) for name in self.classes]].sum(axis=1)
        void = 1 - counts / (self.photos["grid_width"] * self.photos["grid_height"])
        return float(np.average(void, weights=self.photos["width"] * self.photos["height"]))

    def name(self, path: str) -> str:
        """Name of a file in the export."""
        return f"{self.folder}/{path}".lstrip("/")

    def annotated_photos(self) -> Iterator[AnnotatedPhoto]:
        """Yield each photo with its mask, enlarged by nearest neighbour. Raises `StoreError`."""
        rows = self.photos[["path", "width", "height", "image_id"]].astype("object")
        for path, width, height, image_id in rows.itertuples(index=False, name=None):
            mask, size_wh = self.store.mask(self.run, image_id), (int(width), int(height))
            if int(np.where(mask == VOID, 0, mask).max()) >= len(self.classes):
                raise StoreError(
                    f"The mask of {image_id} in {self.run} holds values without a class: run again with `verify` to "
                    "recreate it."
                )
            yield AnnotatedPhoto(path, size_wh, png.resize_mask(mask, size_wh))

    def regions(self, mask: Mask) -> Iterator[Region]:
        return find_regions(mask, len(self.classes), self.background)


def annotation_sets(store: Store, runs: Sequence[str] | None, filters: Filters) -> list[AnnotationSet]:
    """Divide the photos that fit the filters by run and dataset. Raises `UsageError` if there is none."""
    table = select(read_table(store, runs, filters), filters)
    grouped = table.groupby(["run", "dataset"], observed=True, sort=False)
    groups = [(str(run), str(dataset), photos) for (run, dataset), photos in grouped]
    if not groups:
        raise UsageError("No photo with a mask fits, so there is nothing to export: choose other runs or filters.")
    classes = {run.run: run.classes for run in store.runs()}
    sets = []
    for run, dataset, photos in groups:
        folder = folder_name(run, dataset) if len(groups) > 1 else ""
        sets.append(AnnotationSet(store, run, dataset, classes[run], photos, folder))
    return sets
