"""Measures what slices cost: cutting photos by a field and measuring each slice, on counts made at random.

    python benchmarks/slices.py [--photos 1000 100000 1000000] [--slices 8 30] [--rounds 3]

Per number of photos and of slices, the median of the rounds in seconds of CPU time: cutting a category and a number,
and measuring the slices of the category (mIoU and pixel accuracy over 21 classes, 1,000 resamples and as many random
slices), which is what the Evaluate page does once per field and selection. Reading the counts is not part of it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd

from seglib.classes import VOC_CLASSES
from seglib.evaluation.slices.cut import Cut, FieldValues
from seglib.evaluation.slices.figures import EVALUATION_MEASURES, measure_slices
from seglib.metrics.confusion import JointCounts
from seglib.metrics.measures import accuracy_measures
from seglib.query.fields import Field, Kind

CELLS = 8
"""Pairs of classes in each photo."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--slices", type=int, nargs="+", default=[8, 30])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print("| photos | slices | cut a category s | cut a number s | measure s |")
    print("|---|---|---|---|---|")
    for photos in arguments.photos:
        rng = np.random.default_rng(0)
        measures = accuracy_measures(make_counts(photos, rng))
        for measure in measures.values():  # as on a page, where other figures have asked for them
            measure.overall()
        numbers = FieldValues(Field("confidence", "Confidence", Kind.NUMBER), pd.Series(rng.random(photos)))
        for slices in arguments.slices:
            names = pd.Series(pd.Categorical([f"camera {i}" for i in rng.integers(0, slices, photos)]))
            cameras = FieldValues(Field("column.camera", "camera", Kind.CATEGORY), names)
            cut: Cut = cameras.cut()
            seconds = [
                median_seconds(act, arguments.rounds)
                for act in (
                    cameras.cut,
                    numbers.cut,
                    partial(measure_slices, measures, cut, EVALUATION_MEASURES),
                )
            ]
            print(f"| {photos:,} | {slices} | " + " | ".join(f"{one:.2f}" for one in seconds) + " |", flush=True)


def make_counts(photos: int, rng: np.random.Generator) -> JointCounts:
    """Return counts of photos whose prediction is right in about nine of ten pixels."""
    truth = rng.integers(0, len(VOC_CLASSES), photos * CELLS).astype(np.uint8)
    prediction = np.where(rng.random(len(truth)) < 0.6, truth, rng.integers(0, len(VOC_CLASSES), len(truth)))
    pixels = rng.integers(1, 20_000, len(truth)) * np.where(truth == prediction, 6, 1)
    image = np.repeat(np.arange(photos), CELLS)
    return JointCounts(photos, image, truth, prediction.astype(np.uint8), pixels, VOC_CLASSES, VOC_CLASSES)


def median_seconds(act: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.process_time()
        act()
        seconds.append(time.process_time() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
