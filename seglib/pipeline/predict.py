"""Run a model on a few images without a store, and write overlays, masks and grids as PNG files.

Input: images or folders, a model, settings. Output: PNG files in a folder.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seglib.classes import Mask, palette
from seglib.data import scan
from seglib.data.image import decode, read_bytes
from seglib.errors import BadImage, DatasetError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.masks import overlay, png, statistics
from seglib.masks.statistics import ConfidenceStats
from seglib.models import loading
from seglib.models.registry import ModelSpec
from seglib.query import export

GRID_OF_PHOTOS, GRID_OF_OVERLAYS = "image_samples.png", "segmentation_output.png"


@dataclass(frozen=True)
class Prediction:
    name: str
    """Base name of the output files: the given path without suffix, slashes replaced by underscores."""
    image: Image.Image
    mask: Mask
    """uint8 (H, W) at the image's original size, resized by nearest neighbour."""
    measures: ConfidenceStats


@dataclass(frozen=True)
class PredictionFailure:
    name: str
    error: BadImage


def choose_images(inputs: Sequence[Path], *, samples: int, seed: int) -> list[tuple[str, Path]]:
    """(name, path) of every image given, and of `samples` images drawn from each folder with `seed` (0: all images).

    Raises `DatasetError` if an input does not exist.
    """
    chosen: list[tuple[str, Path]] = []
    for given in inputs:
        if given.is_dir():
            paths = list(scan.scan(given)["path"])
            if 0 < samples < len(paths):
                paths = sorted(random.Random(seed).sample(paths, samples))
            chosen += [(path, given / path) for path in paths]
        elif given.is_file():
            chosen.append((given.name, given))
        else:
            raise DatasetError(f"{str(given)!r} is neither a photo nor a folder of photos.")
    return _unique_names(chosen)


def predict_images(
    images: Sequence[tuple[str, Path]], spec: ModelSpec, settings: InferenceConfig
) -> Iterator[Prediction | PredictionFailure]:
    """Yield one result per image, in order; an unreadable image yields a `PredictionFailure` and does not stop the
    others.
    """
    loading.ensure_weights(spec)
    for name, path in images:
        try:
            photo = decode(read_bytes(path))
        except BadImage as error:
            yield PredictionFailure(name, error)
            continue
        image, grid_wh = predictor.prepare_image(photo, spec, settings)
        masks, measures = predictor.predict_batch(image[None], spec, settings, grid_wh)
        yield Prediction(name, photo, png.resize_mask(masks[0], photo.size), measures[0])


def write_outputs(
    results: Sequence[Prediction], spec: ModelSpec, out: Path, *, alpha: float = overlay.ALPHA, colours: str = "voc"
) -> list[str]:
    """Write two grids and four PNG files per image; returns the file names. Index masks store raw class indices."""
    colour_table = palette(colours, spec.classes)
    pictures: dict[str, bytes | Image.Image] = {}
    tiles = []
    for one in results:
        painted = overlay.draw_overlay(one.image, one.mask, colour_table, alpha)
        pictures[f"{one.name}_overlay.png"] = painted
        pictures[f"{one.name}_colours.png"] = overlay.colour_mask(one.mask, colour_table)
        pictures[f"{one.name}_mask.png"] = png.encode_index_png(one.mask)
        pictures[f"{one.name}_side_by_side.png"] = overlay.side_by_side(one.image, painted)
        tiles.append((painted, f"{one.name}: {caption(one, spec)}"))
    legend = overlay.legend_entries([one.mask for one in results], spec.classes, colour_table)
    pictures[GRID_OF_PHOTOS] = overlay.draw_contact_sheet([(one.image, one.name) for one in results])
    pictures[GRID_OF_OVERLAYS] = overlay.draw_contact_sheet(tiles, legend)
    for name, picture in pictures.items():
        export.write_file(out / name, picture if isinstance(picture, bytes) else png.encode_png(picture))
    return list(pictures)


def caption(one: Prediction, spec: ModelSpec) -> str:
    """The classes present, largest first, with their share of the image: `cat 34 %, sofa 12 %`."""
    pixels = statistics.count_pixels(one.mask, len(spec.classes))
    return overlay.alt_text({name: count / one.mask.size for name, count in zip(spec.classes, pixels, strict=True)})


def _unique_names(photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Flat, unique file names: `cats/a.jpg` becomes `cats_a`, and a second file of that name `cats_a-2`."""
    seen: dict[str, int] = {}
    named = []
    for name, path in photos:
        flat = str(Path(name).with_suffix("")).replace("/", "_").replace("\\", "_")
        seen[flat] = seen.get(flat, 0) + 1
        named.append((flat if seen[flat] == 1 else f"{flat}-{seen[flat]}", path))
    return named
