"""IoU, mIoU and pixel accuracy of exported masks against a truth, written without seglib: Pillow, NumPy, and loops.

python -m seglib export masks --run RUN --out masks
python tests/seglib/plain_evaluation.py voc|trimap masks/RUN/DATASET TRUTH_FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image


def truth_of(path: Path, kind: str) -> np.ndarray:
    mask = np.array(Image.open(path)).astype(int)
    if kind == "voc":
        return mask
    animal = 8 if path.name[0].isupper() else 12  # cat, dog
    return np.where(mask == 1, animal, np.where(mask == 2, 0, 255))


def figures(kind: str, masks: Path, truths: Path, classes: int = 21) -> dict[str, object]:
    total, accuracies, mious = np.zeros((classes, classes), int), [], []
    for file in sorted(masks.rglob("*.png")):
        truth = truth_of(truths / (Path(file.stem).stem + ".png"), kind)
        size = truth.shape[::-1]
        seen = np.array(Image.open(file).resize(size, Image.Resampling.NEAREST)).astype(int)
        known = truth != 255
        one = np.zeros((classes, classes), int)
        np.add.at(one, (truth[known], seen[known]), 1)
        total += one
        accuracies.append(np.trace(one) / one.sum())
        mious.append(np.nanmean(iou(one, kind)))
    everything = iou(total, kind)
    return {
        "iou": everything,
        "miou": np.nanmean(everything),
        "miou_mean": np.mean(mious),
        "pixel_accuracy": np.trace(total) / total.sum(),
        "pixel_accuracy_mean": np.mean(accuracies),
    }


def iou(matrix: np.ndarray, kind: str) -> np.ndarray:
    union = matrix.sum(0) + matrix.sum(1) - np.diag(matrix)
    found = np.where(union > 0, np.diag(matrix) / np.maximum(union, 1), np.nan)
    return found if kind == "voc" else found[[0, 8, 12]]  # a trimap knows these


if __name__ == "__main__":
    for name, value in figures(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])).items():
        print(name, np.array2string(np.asarray(value), precision=12))
