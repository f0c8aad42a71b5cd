"""Measures how far apart the colours of 21 to 255 classes are, for normal and for colour-blind eyes.

    python benchmarks/palette.py [--search]

Prints the least OKLab distance of two colours per number of classes (named as in `VOC_CLASSES`, then `class 21`, ...)
and vision, the background aside; about 0.02 is the least that eyes tell apart. --search finds the spare colours of
`seglib.colours` again, the farthest from all before them first, and prints them (20 s).
"""

import argparse

import numpy as np
from numpy.typing import NDArray

from seglib.classes import VOC_CLASSES, palette
from seglib.colours import VISIONS, seen_colours

STEP = 5
"""Of each channel, between two colours that the search considers."""

LIGHTNESS = (0.22, 0.985)
"""Range of the colours that it considers: neither black nor white."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--search", action="store_true")
    if parser.parse_args().search:
        found = search(palette("okabe-ito"), 255 - len(VOC_CLASSES))
        print(" ".join(bytes(colour).hex() for colour in found))
        return
    print(f"{'classes':>7}" + "".join(f"{vision:>9}" for vision in VISIONS))
    for count in (21, 60, 150, 255):
        names = [*VOC_CLASSES, *(f"class {number}" for number in range(21, count))]
        print(f"{count:>7}" + "".join(f"{least:9.3f}" for least in least_distances(palette("okabe-ito", names)[1:])))


def least_distances(colours: NDArray[np.uint8]) -> list[float]:
    seen = seen_colours(colours)  # (N, vision, 3)
    upper = np.triu_indices(len(seen), 1)
    return [float(np.linalg.norm(one[:, None] - one[None], axis=-1)[upper].min()) for one in np.moveaxis(seen, 1, 0)]


def search(given: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """uint8 (count, 3): colours, each the farthest from the given ones and from those before it."""
    steps = np.arange(0, 256, STEP, dtype=np.uint8)
    colours = np.array(np.meshgrid(steps, steps, steps)).reshape(3, -1).T
    lightness = seen_colours(colours)[:, 0, 0]
    colours = colours[(lightness > LIGHTNESS[0]) & (lightness < LIGHTNESS[1])]
    seen = seen_colours(colours)
    nearest = np.full(len(colours), np.inf)
    for one in seen_colours(given):
        nearest = np.minimum(nearest, np.linalg.norm(seen - one, axis=-1).min(1))
    found = []
    for _ in range(count):
        index = int(nearest.argmax())
        found.append(colours[index])
        nearest = np.minimum(nearest, np.linalg.norm(seen - seen[index], axis=-1).min(1))
    return np.array(found)


if __name__ == "__main__":
    main()
