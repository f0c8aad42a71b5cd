"""IoU, mIoU, pixel accuracy and calibration of masks against a truth, written without seglib: Pillow, NumPy, and loops.

python -m seglib export masks --run RUN --out masks
python tests/seglib/evaluation/plain_evaluation.py voc|trimap masks/RUN/DATASET TRUTH_FOLDER [CONFIDENCES]

CONFIDENCES: a folder with `<stem>.npy` per photo, float32 (h, w): the winning probability at the size of its mask.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

BINS = 15


def truth_of(path: Path, kind: str) -> np.ndarray:
    mask = np.array(Image.open(path)).astype(int)
    if kind == "voc":
        return mask
    animal = 8 if path.name[0].isupper() else 12  # cat, dog
    return np.where(mask == 1, animal, np.where(mask == 2, 0, 255))


def figures(kind: str, masks: Path, truths: Path, confidences: Path | None = None, classes: int = 21) -> dict:
    total, bins, each = np.zeros((classes, classes), int), np.zeros((3, BINS)), []
    for file in sorted(masks.rglob("*.png")):
        stem = Path(file.stem).stem
        truth = truth_of(next(truths.rglob(stem + ".png")), kind)
        size = truth.shape[::-1]
        seen = np.array(Image.open(file).resize(size, Image.Resampling.NEAREST)).astype(int)
        known = truth != 255
        one = np.zeros((classes, classes), int)
        np.add.at(one, (truth[known], seen[known]), 1)
        total += one
        of_one, gap = np.zeros((3, BINS)), np.nan
        if confidences is not None:
            sure = np.array(
                Image.fromarray(np.load(confidences / f"{stem}.npy")).resize(size, Image.Resampling.NEAREST)
            )
            sure, right = sure[known].astype(float), (truth == seen)[known]
            place = np.minimum((sure * BINS).astype(int), BINS - 1)
            for i, weight in enumerate((np.ones(len(sure)), sure, right)):
                np.add.at(of_one[i], place, weight)
            bins += of_one
            gap = calibration_error(of_one)
        ious = iou(one, kind)
        there = ~np.isnan(ious) & (one.sum(1)[: len(ious)] > 0 if kind == "voc" else one.sum(1)[[0, 8, 12]] > 0)
        each.append([*ious, mean(ious), ious[there].mean(), np.trace(one) / one.sum(), gap])
    ious, means = iou(total, kind), [mean(column) for column in zip(*each, strict=True)]
    held = total.sum(1) if kind == "voc" else total.sum(1)[[0, 8, 12]]
    return {
        "iou": ious,
        "iou_mean": means[:-4],
        "miou": mean(ious),
        "miou_mean": means[-4],
        "miou_truth": ious[held > 0].mean(),
        "miou_truth_mean": means[-3],
        "pixel_accuracy": np.trace(total) / total.sum(),
        "pixel_accuracy_mean": means[-2],
        "ece": calibration_error(bins),
        "ece_mean": means[-1],
    }


def iou(matrix: np.ndarray, kind: str) -> np.ndarray:
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    found = np.where(union > 0, np.diag(matrix) / np.maximum(union, 1), np.nan)
    return found if kind == "voc" else found[[0, 8, 12]]  # a trimap knows these


def mean(values) -> float:
    """Of those that are defined."""
    there = [value for value in values if not np.isnan(value)]
    return sum(there) / len(there) if there else np.nan


def calibration_error(bins: np.ndarray) -> float:
    """Of pixels, sums of confidence, right pixels, each per bin."""
    return np.abs(bins[2] - bins[1]).sum() / bins[0].sum() if bins[0].sum() else np.nan


if __name__ == "__main__":
    for name, value in figures(sys.argv[1], *map(Path, sys.argv[2:])).items():
        print(name, np.array2string(np.asarray(value), precision=12))
