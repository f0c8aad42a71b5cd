"""Judge the labels of one image by a model's probabilities, block by block.

`judge_labels` takes a ground-truth mask at its own size and probabilities at the size of the model's masks; a pixel of
the ground truth has the probabilities of the nearest pixel there, as `evaluate` compares masks.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from seglib.classes import VOID, Mask
from seglib.masks import png
from seglib.metrics.label_quality import count_quality, is_doubtful


def judge_labels(labels: Mask, probabilities: NDArray[np.float32]) -> tuple[dict[str, Any], Mask]:
    """Return the `pair_counts.QUALITY_SCHEMA` columns of one image, and its map of doubtful pixels.

    `labels` uint8 (H, W): class index or 255, which is not judged. `probabilities` float32 (C, h, w). The map is uint8,
    (h, w) unless (H, W) is smaller: the class that the model prefers where the label is doubtful, else 255.
    """
    height, width = labels.shape
    rows, columns = (_nearest(size, grid) for size, grid in zip(labels.shape, probabilities.shape[1:], strict=True))
    preferred = probabilities.argmax(0).astype(np.uint8)[rows[:, None], columns]
    labelled = labels != VOID
    known = np.where(labelled, labels, 0)
    confidence = probabilities[known, rows[:, None], columns]  # (H, W)
    cells = count_quality(labels[labelled], preferred[labelled], confidence[labelled])
    doubtful = is_doubtful(labels, preferred, confidence) & labelled
    void = {"a": VOID, "b": VOID, "pixels": int((~labelled).sum()), "doubtful": 0, "weighted": 0.0, "weights": 0.0}
    doubts = np.where(doubtful, preferred, VOID).astype(np.uint8)
    grid_hw = probabilities.shape[1:]
    if height * width > grid_hw[0] * grid_hw[1]:
        doubts = png.resize_mask(doubts, grid_hw[::-1])
    return {name: [*column.tolist(), void[name]] for name, column in cells.items()}, doubts


def _nearest(size: int, grid: int) -> NDArray[np.int32]:
    """(size,): the nearest of `grid` cells, by Pillow, whose rounding is that of all resized masks."""
    cells = Image.fromarray(np.arange(grid, dtype=np.int32)[None])
    nearest: NDArray[np.int32] = np.asarray(cells.resize((size, 1), Image.Resampling.NEAREST))[0]
    return nearest
