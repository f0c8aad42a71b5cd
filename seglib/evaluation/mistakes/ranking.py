"""Rank photos by how likely their ground truth is wrong, by a model's probabilities, and say why.

`load_label_quality` reads what `truth_counting.update_counts(..., label_quality=True)` has kept in the store, as a
`LabelQuality`; `LabelQuality.photos` is one frame of photos, the most suspicious first.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from seglib.classes import BACKGROUND, PRESENT_SHARE
from seglib.errors import UnknownName
from seglib.evaluation.class_matching import align_class_names
from seglib.evaluation.counting import EVALUATED_COLUMNS, FILE_COLUMNS
from seglib.fileio import parquet_parts
from seglib.metrics.label_placement import REACH
from seglib.metrics.label_quality import QualityCells
from seglib.metrics.measures import ratio
from seglib.store import ground_truth, pair_counts
from seglib.store.ground_truth import GroundTruth
from seglib.store.records import Run
from seglib.store.store import Store

ORDERS: dict[str, str] = {
    "both": "most suspicious first, by label quality or by place",
    "quality": "lowest label quality first",
    "place": "masks that fit better elsewhere first",
}
"""Key -> label: orders of a `LabelQuality`. `both`: the better of a photo's places in the other two lists."""

MISPLACED_GAIN = 0.02
"""A mask is said to lie beside its object if it gains at least this much by being moved, in nats per pixel."""

_NEAR = 0.9 * REACH
"""A mask that fits best at the end of what was tried is not shifted but wrong in another way."""

_WORST = ["score", "class", "class_score", "doubtful", "gain", "right", "down", "reason"]


@dataclass(frozen=True, eq=False)
class LabelQuality:
    """Label quality of the ground truth of N files, by one run's probabilities."""

    run: Run
    truth: GroundTruth
    files: pd.DataFrame
    """`EVALUATED_COLUMNS`, one row per file."""
    cells: QualityCells
    """One image per row of `files`."""
    gain: NDArray[np.float64]
    """(N,): with `right` and `down` as in `label_placement.Placement`."""
    right: NDArray[np.float64]
    down: NDArray[np.float64]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the scores has to know."""
        unknown = [name for name in align_class_names(self.truth, self.run) if name not in self.run.classes]
        if not unknown:
            return ()
        return (f"{self.run.run} has no class {', '.join(unknown)}: pixels labelled so are not judged.",)

    def photos(self, order: str = "both", class_name: str = "") -> pd.DataFrame:
        """The files with their scores in words and numbers, the most suspicious first; see `rank` and `describe`."""
        return self.describe(self.rank(order, class_name), class_name)

    def rank(self, order: str = "both", class_name: str = "") -> NDArray[np.intp]:
        """Rows of `files`, the most suspicious first; without those that have no labelled pixel.

        `order` is a key of `ORDERS`. With `class_name`, the score of that class takes the place of the photo's, and
        photos in which neither the ground truth nor the model has the class are left out. Raises `UnknownName`.
        """
        if order not in ORDERS:
            raise UnknownName("order", order, list(ORDERS))
        scores = self.cells.class_scores()[:, self._index(class_name)] if class_name else self.cells.scores()
        rows = np.flatnonzero(~np.isnan(scores))
        by_score = _places(scores[rows])
        by_place = np.where(self.gain[rows] > 0, _places(-self.gain[rows]), len(rows))
        places = {"both": np.minimum(by_score, by_place + 0.5), "quality": by_score, "place": by_place}[order]
        return rows[np.lexsort((by_score, places))]

    def describe(self, rows: NDArray[np.intp], class_name: str = "") -> pd.DataFrame:
        """These rows of `files` (`FILE_COLUMNS`) with what is doubtful about them; the index is that of `files`.

        `score` (0..1) is the photo's label quality. `class` and `class_score`: those of the class that scores least
        (of the classes that cover at least `PRESENT_SHARE` of the labelled pixels; background only if there is no
        other), or of `class_name`. `doubtful` is the
        share of the labelled pixels that are doubtful; `gain`, `right` and `down` are where the mask would fit better
        (`label_placement.Placement`), and `reason` says it in words.
        """
        cells, files = self.cells.take(rows), self.files.iloc[rows]
        every, pixels = cells.class_scores(), cells.labelled_pixels()
        if class_name:
            worst = np.full(len(rows), self._index(class_name))
        else:
            worst = _find_worst_classes(cells, self.run.classes)
        labels, preferred, most = cells.main_doubts()
        within = (np.abs(self.right[rows]) < _NEAR) & (np.abs(self.down[rows]) < _NEAR)
        sideways, downwards = (
            np.where(within, shares[rows], 0) * files[side].to_numpy(np.float64)
            for shares, side in ((self.right, "width"), (self.down, "height"))
        )
        doubts = zip(labels.tolist(), preferred.tolist(), ratio(most.astype(np.float64), pixels).tolist(), strict=True)
        places = zip(self.gain[rows].tolist(), sideways.tolist(), downwards.tolist(), strict=True)
        reasons = [_explain(self.run.classes, *one) for one in zip(doubts, places, strict=True)]
        values = (
            cells.scores(),
            np.array(self.run.classes, object)[worst],
            every[np.arange(len(rows)), worst],
            ratio(cells.doubtful_pixels(), pixels),
            *(self.gain[rows], self.right[rows], self.down[rows]),
            pd.array(reasons, dtype="str"),
        )
        return files[FILE_COLUMNS].assign(**dict(zip(_WORST, values, strict=True)))

    def select(self, keep: NDArray[np.bool_]) -> "LabelQuality":
        """The same of the files where `keep`, bool (N,), is True."""
        rows = np.flatnonzero(keep)
        placed = {name: getattr(self, name)[rows] for name in ("gain", "right", "down")}
        return replace(self, files=self.files[keep], cells=self.cells.take(rows), **placed)

    def _index(self, class_name: str) -> int:
        if class_name not in self.run.classes:
            raise UnknownName("class", class_name, self.run.classes)
        return self.run.classes.index(class_name)


def _find_worst_classes(cells: QualityCells, classes: tuple[str, ...]) -> NDArray[np.intp]:
    """(N,): the class that scores least, of those that cover enough; background only if there is no other."""
    scores = np.nan_to_num(cells.class_scores(), nan=np.inf)
    counted = cells.class_pixels() >= np.maximum(1, PRESENT_SHARE * cells.labelled_pixels())[:, None]
    scores[~counted] = np.inf
    if BACKGROUND in classes:
        background = classes.index(BACKGROUND)
        alone = np.isinf(np.delete(scores, background, 1)).all(1)
        scores[:, background] = np.where(alone, -1, np.inf)
    worst: NDArray[np.intp] = scores.argmin(1)
    return worst


def _places(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,): the place of each value in ascending order, from 0."""
    places = np.empty(len(values))
    places[np.argsort(values, kind="stable")] = np.arange(len(values))
    return places


def _explain(classes: tuple[str, ...], doubt: tuple[int, int, float], place: tuple[float, float, float]) -> str:
    """What the model would rather see, and where the mask would fit better.

    `doubt`: label, the model's class and share of their doubtful pixels, -1 without any; `place`: gain, and how far too
    far to the right and down the mask lies, in pixels.
    """
    (label, preferred, share), (gain, right, down) = doubt, place
    parts = []
    if label >= 0:
        amount = f"{100 * share:.1f} %" if share >= 0.0005 else "less than 0.1 %"
        parts.append(f"labelled {classes[label]}, the model sees {classes[preferred]}: {amount} of the pixels")
    ways = [_describe_way(right, "left", "right"), _describe_way(down, "up", "down")]
    if gain >= MISPLACED_GAIN and any(ways):
        parts.append(f"the mask would fit better {' and '.join(filter(None, ways))}")
    return "; ".join(parts) or "the model is unsure of the labels"


def _describe_way(too_far: float, back: str, on: str) -> str:
    """`6 px further left`, for a mask that lies 6 pixels too far to the right."""
    return f"{abs(too_far):.0f} px further {back if too_far > 0 else on}" if round(abs(too_far)) else ""


def load_label_quality(
    store: Store, truth_record: GroundTruth, run: str, *, files: pd.DataFrame | None = None
) -> LabelQuality:
    """The label quality of `files` (`FILE_COLUMNS`), by default all files of the run; those not scored are left out."""
    this_run = store.run(run)
    if files is None:
        files = store.table([run], with_tags=False, with_measures=False)
    mask_ids = ground_truth.mask_ids_by_image(store, truth_record)
    files = files[FILE_COLUMNS].assign(truth=files["image_id"].map(mask_ids))
    files = files[files["truth"].notna()]
    masks = mask_ids[mask_ids.index.isin(files["image_id"])]
    cells, scored = pair_counts.read_quality(store, run, truth_record.id, masks, len(this_run.classes))
    gain, right, down = pair_counts.read_placements(store, run, truth_record.id, masks)
    rows = masks.index.get_indexer(pd.Index(files["image_id"]))
    files, rows = files[scored[rows]], rows[scored[rows]]
    return LabelQuality(
        run=this_run,
        truth=truth_record,
        files=files[EVALUATED_COLUMNS],
        cells=cells.take(rows),
        gain=gain[rows],
        right=right[rows],
        down=down[rows],
    )


def scored_runs(store: Store, truth_record: GroundTruth) -> list[str]:
    """The runs by which label quality against this ground truth is known, most recently used last."""
    folders = {run.run: pair_counts.evaluation_folder(store, run.run, truth_record.id) for run in store.runs()}
    return [run for run, one in folders.items() if parquet_parts.list_parts(pair_counts.quality_folder(one))]
