"""Draw a grid of evaluated images: each next to its ground truth and every run's mask, with outlines.

Input: a store and evaluations of the same files. Output: a Pillow image.
"""

import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from seglib.classes import BACKGROUND, Mask, palette, unpainted_values
from seglib.evaluation.class_matching import build_class_lookup
from seglib.evaluation.evaluation import Evaluation
from seglib.masks import boundary, overlay, png
from seglib.store import ground_truth
from seglib.store.store import Store

_ALPHA = 0.45
_WHITE = (255, 255, 255)


def draw_sheet(store: Store, evaluations: Sequence[Evaluation], *, count: int, seed: int) -> Image.Image:
    """`count` images drawn with `seed`, one per row: image, ground truth, then one tile per run.

    Each tile outlines its own mask; the tiles of runs also outline the ground truth in white.
    """
    first = evaluations[0]
    rows = sorted(random.Random(seed).sample(range(len(first.files)), min(count, len(first.files))))
    tiles, legend_masks = [], []
    scores = [evaluation.measures["miou"].per_image() for evaluation in evaluations]
    for row in rows:
        file = first.files.iloc[row]
        image = store.image(file["dataset"], file["path"])
        truth_mask = ground_truth.read_mask(store, first.truth, file["truth"])
        tiles.append((image, str(file["path"])))
        for index, evaluation in enumerate(evaluations):
            aligned_truth = build_class_lookup(evaluation.truth, evaluation.run)[truth_mask]
            mask = png.resize_mask(store.mask(evaluation.run.run, file["image_id"]), image.size)
            if not index:
                tiles.append((_paint_overlay(image, aligned_truth, evaluation), "truth"))
            whole = boundary.fill_void(aligned_truth)
            outlined = _draw_outline(
                _paint_overlay(image, mask, evaluation), boundary.find_edges(whole) & (whole != 0), _WHITE
            )
            tiles.append((outlined, f"{evaluation.run.run}: mean IoU {_score(scores[index][row])}"))
            legend_masks += [aligned_truth, mask]
    colours = palette("voc", first.run.classes)
    legend = (
        overlay.legend_entries(legend_masks, first.run.classes, colours)
        if len({e.run.classes for e in evaluations}) == 1
        else []
    )
    return overlay.draw_contact_sheet(tiles, legend, per_row=2 + len(evaluations))


def _paint_overlay(image: Image.Image, mask: Mask, evaluation: Evaluation) -> Image.Image:
    """The overlay, with each class outlined in its own colour."""
    colours = palette("voc", evaluation.run.classes)
    picture = overlay.draw_overlay(image, mask, colours, _ALPHA, unpainted=unpainted_values(evaluation.run.classes))
    for value in np.unique(mask):
        if value < len(evaluation.run.classes) and evaluation.run.classes[value] != BACKGROUND:
            colour = tuple(int(part) for part in colours[value])
            picture = _draw_outline(
                picture, boundary.find_edges((mask == value).astype(np.uint8)) & (mask == value), colour
            )
    return picture


def _draw_outline(picture: Image.Image, line: np.ndarray, colour: tuple[int, ...]) -> Image.Image:
    """Draw the outline, thick enough to stay visible after the image is scaled down to a tile."""
    width = round(max(picture.size) / 640) * 2 + 1
    thick = Image.fromarray((line * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(width))
    return Image.composite(Image.new("RGB", picture.size, colour), picture, thick)


def _score(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.2f}"
