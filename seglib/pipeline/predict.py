"""Run a model on a few images without a store, and write overlays, masks and grids as PNG files.

`predict` yields a `Prediction` per image; `write_outputs` draws them.
"""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from seglib.adapters.lookup import Model, find_model
from seglib.classes import Mask, palette, unpainted_values
from seglib.data import scan
from seglib.data.image import decode, read_bytes
from seglib.data.resize import Resize, as_resize
from seglib.errors import BadImage, DatasetError
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig, device_for, resolve_precision
from seglib.masks import overlay, png, statistics
from seglib.masks.statistics import ConfidenceStats
from seglib.models import loading
from seglib.models.registry import DEFAULT_MODEL, ModelSpec
from seglib.query import export

GRID_OF_PHOTOS, GRID_OF_OVERLAYS = "image_samples.png", "segmentation_output.png"

_MAX_NAME_BYTES = 220  # of 255, which file systems allow


@dataclass(frozen=True)
class Prediction:
    name: str
    """Base name of the output files: the given path without suffix, slashes replaced by underscores."""
    image: Image.Image
    mask: Mask
    """uint8 (H, W) at the image's original size, resized by nearest neighbour."""
    measures: ConfidenceStats | None
    """Mean confidence, entropy and share of undecided pixels, each 0..1, before the mask was resized; None if the model
    gives nothing but masks.
    """
    classes: tuple[str, ...]
    """Class names by mask value."""


@dataclass(frozen=True)
class PredictionFailure:
    name: str
    error: BadImage

    @property
    def sentence(self) -> str:
        return f"{self.name} cannot be read ({self.error.reason}): {self.error.detail}"


def predict(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: Model = DEFAULT_MODEL,
    *,
    resize: Resize | str | None = None,
    precision: str = "auto",
    device: str = "auto",
    samples: int = 0,
    seed: int = 0,
    on_failure: Callable[[PredictionFailure], None] | None = None,
) -> Iterator[Prediction]:
    """Run a model on images without a store.

    Args:
        inputs: An image file, a folder, or a sequence of both.
        model: A name of `MODELS`, the path of a checkpoint made by `seglib train`, or anything else that `find_model`
            takes or returns.
        resize: Size at which the masks are computed, such as "224" or "short:520"; by default the model's own.
        precision: "fp32", "bf16", or "auto": the faster of the two.
        device: "cpu", "cuda", or "auto": "cuda" if there is one.
        samples: Number of images drawn from each folder; 0 takes all.
        seed: Seed of the draw.
        on_failure: Called for each image that cannot be read, which is then left out. Without it, such an image raises
            `DatasetError`.

    Returns:
        Predictions in the order of the inputs, folders sorted by path. Each mask is uint8 (H, W) at its image's size;
        a value is an index into `classes`. Images are read while you iterate.

    Raises:
        DatasetError: An input does not exist, a folder holds no images, or an image cannot be read.
        UnknownName: No model has this name.
        UsageError: The resize or the precision is unknown.
        WeightsError: The weights are missing, damaged, or do not fit the architecture.

    Example:
        for one in seglib.predict("photos", samples=4):
            print(one.name, (one.mask == one.classes.index("cat")).mean())
    """
    paths = [Path(inputs)] if isinstance(inputs, str | os.PathLike) else [Path(one) for one in inputs]
    spec = find_model(model)
    config = InferenceConfig(
        resize=as_resize(resize or spec.resize),
        precision=resolve_precision(spec, precision, (), device_for(spec, device)),
        device=device_for(spec, device),
    )
    images = choose_images(paths, samples=samples, seed=seed)
    loading.ensure_weights(spec)
    return _predict_images(images, spec, config, on_failure)


def choose_images(inputs: Sequence[Path], *, samples: int, seed: int) -> list[tuple[str, Path]]:
    """(name, path) of every image given, and of `samples` images drawn from each folder with `seed` (0: all images).

    Raises `DatasetError` if an input does not exist.
    """
    chosen: list[tuple[str, Path]] = []
    for input_path in inputs:
        if input_path.is_dir():
            paths = list(scan.scan(input_path)["path"])
            if 0 < samples < len(paths):
                paths = sorted(random.Random(seed).sample(paths, samples))
            chosen += [(path, input_path / path) for path in paths]
        elif input_path.is_file():
            chosen.append((input_path.name, input_path))
        else:
            raise DatasetError(f"{str(input_path)!r} is neither a photo nor a folder of photos.")
    return _unique_names(chosen)


def _predict_images(
    images: Sequence[tuple[str, Path]],
    spec: ModelSpec,
    config: InferenceConfig,
    on_failure: Callable[[PredictionFailure], None] | None,
) -> Iterator[Prediction]:
    for name, path in images:
        try:
            photo = decode(read_bytes(path))
        except BadImage as error:
            failure = PredictionFailure(name, error)
            if on_failure is None:
                raise DatasetError(failure.sentence) from None
            on_failure(failure)
            continue
        image, grid_wh = predictor.prepare_image(photo, spec, config)
        masks, measures = predictor.predict_batch(image[None], spec, config, grid_wh)
        yield Prediction(name, photo, png.resize_mask(masks[0], photo.size), measures[0], spec.classes)


def write_outputs(
    results: Sequence[Prediction], out: Path, *, alpha: float = overlay.ALPHA, colours: str = "voc"
) -> list[str]:
    """Write two grids and four PNG files per image; returns the file names. Index masks store raw class indices.

    `results` must be at least one, all of the same model.
    """
    classes = results[0].classes
    colour_table, unpainted = palette(colours, classes), unpainted_values(classes)
    pictures: dict[str, bytes | Image.Image] = {}
    tiles = []
    for prediction in results:
        painted = overlay.draw_overlay(prediction.image, prediction.mask, colour_table, alpha, unpainted=unpainted)
        pictures[f"{prediction.name}_overlay.png"] = painted
        pictures[f"{prediction.name}_colours.png"] = overlay.colour_mask(prediction.mask, colour_table)
        pictures[f"{prediction.name}_mask.png"] = png.encode_index_png(prediction.mask)
        pictures[f"{prediction.name}_side_by_side.png"] = overlay.side_by_side(prediction.image, painted)
        tiles.append((painted, f"{prediction.name}: {caption(prediction)}"))
    legend = overlay.legend_entries([prediction.mask for prediction in results], classes, colour_table)
    pictures[GRID_OF_PHOTOS] = overlay.draw_contact_sheet(
        [(prediction.image, prediction.name) for prediction in results]
    )
    pictures[GRID_OF_OVERLAYS] = overlay.draw_contact_sheet(tiles, legend)
    for name, picture in pictures.items():
        export.write_file(out / name, picture if isinstance(picture, bytes) else png.encode_png(picture))
    return list(pictures)


def caption(prediction: Prediction) -> str:
    """The classes present, largest first, with their share of the image: `cat 34 %, sofa 12 %`."""
    pixels = statistics.count_pixels(prediction.mask, len(prediction.classes))
    return overlay.alt_text(
        {name: count / prediction.mask.size for name, count in zip(prediction.classes, pixels, strict=True)}
    )


def _unique_names(photos: Sequence[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Flat, unique file names: `cats/a.jpg` becomes `cats_a`, and a second file of that name `cats_a-2`.

    A name longer than `_MAX_NAME_BYTES` is shortened, and ends with a digest of the whole name.
    """
    name_counts: dict[str, int] = {}
    named = []
    for name, path in photos:
        flat = str(Path(name).with_suffix("")).replace("/", "_").replace("\\", "_")
        if len(encoded := os.fsencode(flat)) > _MAX_NAME_BYTES:
            begins = encoded[: _MAX_NAME_BYTES - 9].decode("utf-8", "ignore")
            flat = f"{begins}-{hashlib.sha256(encoded).hexdigest()[:8]}"
        name_counts[flat] = name_counts.get(flat, 0) + 1
        named.append((flat if name_counts[flat] == 1 else f"{flat}-{name_counts[flat]}", path))
    return named
