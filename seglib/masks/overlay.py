"""Render masks as Pillow images: colour masks, overlays, side-by-side views and captioned grids with a legend.

Takes Pillow RGB images, masks uint8 (H, W) and palettes uint8 (C, 3). Overlays resize the mask to the image by nearest
neighbour.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from seglib.classes import BACKGROUND, PRESENT_SHARE, VOID, Mask, unpainted_values
from seglib.masks.png import resize_mask

Colours = NDArray[np.uint8]

ALPHA = 0.6
_PER_ROW = 4
_TILE = 320
_GAP = 12
_INK, _PAPER = (32, 36, 42), (255, 255, 255)


def colour_mask(mask: Mask, colours: Colours) -> Image.Image:
    """Paint the mask in the palette's colours; void (255) is white."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(colours)] = colours
    return Image.fromarray(table[mask])


def draw_overlay(
    image: Image.Image,
    mask: Mask,
    colours: Colours,
    alpha: float = ALPHA,
    *,
    unpainted: Sequence[int] = (0, VOID),
) -> Image.Image:
    """Paint the mask over the image with opacity `alpha` (0..1), except for the values of `unpainted_values`."""
    mask = resize_mask(mask, image.size)
    opacity = np.where(np.isin(mask, unpainted), 0, round(255 * alpha)).astype(np.uint8)
    return Image.composite(colour_mask(mask, colours), image, Image.fromarray(opacity))


def side_by_side(*images: Image.Image) -> Image.Image:
    """Join images horizontally, aligned at the top."""
    sheet = Image.new("RGB", (sum(i.width for i in images), max(i.height for i in images)), _PAPER)
    left = 0
    for image in images:
        sheet.paste(image, (left, 0))
        left += image.width
    return sheet


def draw_contact_sheet(
    tiles: Sequence[tuple[Image.Image, str]],
    legend: Sequence[tuple[str, tuple[int, int, int]]] = (),
    per_row: int = _PER_ROW,
) -> Image.Image:
    """Lay out captioned images in rows, each fitted into 320 x 320 pixels, above a legend of (class, colour)."""
    columns = max(1, min(per_row, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell_w, cell_h = _TILE + _GAP, _TILE + 24 + _GAP
    width = columns * cell_w + _GAP
    places = _legend_positions([name for name, _ in legend], width)
    height = rows * cell_h + _GAP + (places[-1][1] + 28 if places else 0)
    page = Image.new("RGB", (width, height), _PAPER)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(14)
    for index, (image, caption) in enumerate(tiles):
        left, top = _GAP + index % columns * cell_w, _GAP + index // columns * cell_h
        fitted = image.copy()
        fitted.thumbnail((_TILE, _TILE), Image.Resampling.BILINEAR)
        page.paste(fitted, (left + (_TILE - fitted.width) // 2, top + (_TILE - fitted.height) // 2))
        draw.text((left + _TILE / 2, top + _TILE + 4), _fit_text(caption, font), _INK, font, anchor="ma")
    for (name, colour), (x, y) in zip(legend, places, strict=True):
        top = rows * cell_h + _GAP + y
        draw.rectangle((x, top, x + 16, top + 16), colour, outline=_INK)
        draw.text((x + 24, top + 8), name, _INK, font, anchor="lm")
    return page


def legend_entries(
    masks: Sequence[Mask], classes: Sequence[str], colours: Colours
) -> list[tuple[str, tuple[int, int, int]]]:
    """Return (class, colour) for each class in any of the masks except background, the largest first."""
    pixels = sum((np.bincount(mask.ravel(), minlength=256) for mask in masks), np.zeros(256, np.int64))
    pixels[list(unpainted_values(classes))] = 0
    values = [int(value) for value in np.argsort(-pixels, kind="stable")[: np.count_nonzero(pixels)]]
    return [(classes[i], (int(colours[i][0]), int(colours[i][1]), int(colours[i][2]))) for i in values]


def alt_text(shares: Mapping[str, float]) -> str:
    """Describe an image by its present classes, largest share first, without background: `cat 34 %, sofa 12 %`."""
    present = sorted(((s, n) for n, s in shares.items() if n != BACKGROUND and s >= PRESENT_SHARE), reverse=True)
    return ", ".join(f"{name} {share:.0%}".replace("%", " %") for share, name in present) or "nothing but background"


def _legend_positions(names: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Return (x, y) of each legend entry, wrapped at the page width."""
    places: list[tuple[int, int]] = []
    x, y, font = _GAP, 0, ImageFont.load_default(14)
    for name in names:
        entry = 24 + round(font.getlength(name)) + 2 * _GAP
        if x + entry > width and x > _GAP:
            x, y = _GAP, y + 28
        places.append((x, y))
        x += entry
    return places


def _fit_text(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    while font.getlength(text) > _TILE and len(text) > 2:
        text = "…" + text[2:]
    return text
