"""Measures how far the masks of each precision are from fp32's, on a folder of photos and against a ground truth.

    python benchmarks/agreement.py PHOTOS [--limit 200] [--model fcn_mobilenet_v2] [--resize R] [--voc DIR]

Prints per precision: share of pixels with fp32's class, mean absolute difference of the cat and the dog area in
percentage points, and with --voc (a folder with JPEGImages, SegmentationClass and ImageSets/train.txt) the IoU of cat,
dog and person over all pixels, the mask enlarged by nearest neighbour to the truth's size, void ignored.
"""

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from seglib.classes import VOC_CLASSES, VOID
from seglib.data import scan
from seglib.data.image import decode, read_bytes
from seglib.data.resize import Resize
from seglib.inference import openvino_backend, predictor
from seglib.inference.config import PRECISIONS, InferenceConfig
from seglib.masks import png
from seglib.models import registry
from seglib.models.registry import ModelSpec
from seglib.pipeline import quantization, run, session
from seglib.store.store import Store

MEASURED = ("cat", "dog", "person")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--model", default="fcn_mobilenet_v2")
    parser.add_argument("--resize", type=Resize)
    parser.add_argument("--voc", type=Path)
    arguments = parser.parse_args()
    spec = registry.MODELS[arguments.model]
    resize = arguments.resize or spec.resize
    paths = scan.scan(arguments.photos)["path"]
    paths = paths.iloc[:: max(1, len(paths) // arguments.limit)].iloc[: arguments.limit]
    photos = [arguments.photos / path for path in paths]
    print(f"{len(photos)} photos, {spec.name}, {resize.text}")
    print("| precision | pixels as fp32 % | cat area pp | dog area pp |" + "".join(f" IoU {n} % |" for n in MEASURED))
    print("|---|---|---|---|" + "---|" * len(MEASURED))
    exact = list(masks(photos, spec, InferenceConfig(resize=resize, device="cpu")))
    for precision in PRECISIONS:
        if precision == "int8" and any(find_spec(name) is None for name in openvino_backend.LIBRARIES):
            continue
        settings = prepared_settings(arguments.photos, spec, resize, precision)
        found = list(masks(photos, spec, settings))
        agreement = np.mean([(a == b).mean() for a, b in zip(found, exact, strict=True)])
        areas = [area_difference(found, exact, VOC_CLASSES.index(name)) for name in ("cat", "dog")]
        scores = class_ious(arguments.voc, spec, settings) if arguments.voc else []
        cells = [f"{100 * agreement:.2f}", *(f"{area:.3f}" for area in areas), *(f"{score:.2f}" for score in scores)]
        print(f"| {precision} | " + " | ".join(cells) + " |", flush=True)


def prepared_settings(photos: Path, spec: ModelSpec, resize: Resize, precision: str) -> InferenceConfig:
    """For int8 with a model that is calibrated as `seglib run` does it, on 128 photos of the folder."""
    settings = InferenceConfig(resize=resize, precision=precision, device="cpu")
    if precision != "int8":
        return settings
    store = Store.create(Path(tempfile.mkdtemp()) / "store")
    options = session.RunOptions(limit=1, workers=0)
    run.run(photos, store, spec, resize=resize, precision=precision, options=options)
    return replace(settings, quantised=quantization.int8_model_folder(store, spec, resize))


def masks(photos: list[Path], spec: ModelSpec, settings: InferenceConfig) -> Iterator[np.ndarray]:
    for path in photos:
        image, grid_wh = predictor.prepare_image(decode(read_bytes(path)), spec, settings)
        yield predictor.predict_batch(image[None], spec, settings, grid_wh)[0][0]


def area_difference(found: list[np.ndarray], exact: list[np.ndarray], index: int) -> float:
    """Mean over photos of the absolute difference of the class's share, in percentage points."""
    return (
        float(np.mean([abs((a == index).mean() - (b == index).mean()) for a, b in zip(found, exact, strict=True)]))
        * 100
    )


def class_ious(voc: Path, spec: ModelSpec, settings: InferenceConfig) -> list[float]:
    """IoU in % of `MEASURED`, over all pixels that are not void."""
    names = (voc / "ImageSets" / "train.txt").read_text().split()
    confusion = np.zeros((21, 21), np.int64)  # rows truth, columns prediction
    found = masks([voc / "JPEGImages" / f"{name}.jpg" for name in names], spec, settings)
    for name, mask in zip(names, found, strict=True):
        with Image.open(voc / "SegmentationClass" / f"{name}.png") as image:
            truth = np.array(image)
        seen, asked = png.resize_mask(mask, (truth.shape[1], truth.shape[0])), truth != VOID
        confusion += np.bincount(21 * truth[asked].astype(int) + seen[asked], minlength=441).reshape(21, 21)
    hits = np.diag(confusion)
    unions = confusion.sum(0) + confusion.sum(1) - hits
    return [100 * float(hits[i] / unions[i]) for i in map(VOC_CLASSES.index, MEASURED)]


if __name__ == "__main__":
    main()
