"""Colours for classes that have none of their own, told apart by normal and by colour-blind eyes as far as possible.

The colours were found once by a greedy search (`benchmarks/palette.py --search`): each is as far as can be from all
before it, for the least of four visions. `choose_colours` gives each name its own, and mostly the same in every list.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_SPARE_COLOURS = (
    "370023 000064 501e3c c323a5 190091 64374b ffff91 2d2300 c80005 c3a56e 8791ff 737373 e17d00 f00acd ff73d2 376400 "
    "c3d200 d2ffd2 96b9a0 910096 af5f4b 41235a 230a41 7832cd 9be6dc 87c3ff af7d55 7d0f73 facd78 aa64ff 5f001e af9650 "
    "9b7396 6e465f 5f6496 2d4628 1e2d23 cdb4d7 50325f 910037 3282be 0a05aa ff1e7d 370f73 19508c 912de6 7869e1 91dca0 "
    "5faac8 73cd50 78f0ff fa6482 dcf07d 5f5f5a c35528 41143c 643ca5 d72db4 aff5dc b97de6 cddcbe 739691 2d1450 73be3c "
    "507d46 370fd2 e664ff c8c8e6 aa418c afc396 699bb4 e18ceb a5e691 231905 b45ac8 5f284b aaaab4 877864 696964 a53c28 "
    "969b19 6eeb69 412887 afa5ff 004605 8c3c37 dcff69 694b78 9128b9 7300fa f0fff0 78aa8c fff0a0 d2af78 d2dc41 78414b "
    "96c3be 4b965a 5a3c5f e619e1 be96d7 a041c3 d2f0c3 ff054b 322d00 37872d 001e2d dc78be 410019 6e3237 822382 9b6491 "
    "375a0f f0aa5a 4b5fa0 e1bed2 e1aafa 410f5f e68c8c 23d7a5 0a282d d27d6e 1e0050 052daa f5d2eb 787d78 32234b 7d73eb "
    "b4375f 8c2d8c 649141 6914dc 501e69 2df0b9 c8be28 f0ebf0 c35faa 1e87d2 c846f0 91af9b b4a05a 5a2332 f591e6 3c1482 "
    "193728 cdeb8c 8cfa5a 5f0096 9b3223 aa37b4 c3af8c b46487 ffc8d7 b9199b 552350 9b3cd7 b9d28c e1dcff beffb9 b4147d "
    "e1c3fa d7698c 644169 505f69 c3ff00 7319c3 a0a53c c36ea5 c83728 eb4bd7 b950a5 4b376e 3c463c 000082 7837f5 320f37 "
    "5a64c3 8c6eb9 d2a5cd 5a371e 009bc3 ebaaeb cd91c3 372314 645f87 918728 8787f5 822355 d2cd50 c3c3aa af0f55 b9e1aa "
    "d76eb9 918c82 876e5a 7864d2 e14673 6946aa 645a46 5f2daf 193264 1432eb 965a28 878796 7396eb ffe1d7 000a6e 879b64 "
    "467837 37d228 55dcc8 78e15a 0f00b9 4b1432 f08cb4 91466e 73aad7 b996ff 005a96 8728dc 6900a0 fac364 871946 503700 "
    "dc5ac8 afe6f0 557d82 141e14 c39b73 7dc35a f0f5eb 73c8f0 af190f 008c69 "
)
"""RRGGBB, the farthest from all before them first; to be read after the 21 colours of `seglib.classes`."""

_ENOUGH = 0.5
"""Share of the greatest possible distance with which a name keeps its first colour. With less, more names have the same
colour in every list; with more, the colours of one list lie farther apart.
"""

_PRIME = 241
"""The least above the number of spare colours: multiples of any number below run through all of them."""

# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB
VISIONS = {
    "normal": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}

# Björn Ottosson's OKLab, in which distance is difference as it is seen
_RGB_TO_CONES = np.array(((0.41222, 0.53633, 0.05145), (0.21190, 0.68070, 0.10740), (0.08830, 0.28172, 0.62998)))
_CONES_TO_LAB = np.array(((0.21045, 0.79362, -0.00407), (1.97800, -2.42859, 0.45059), (0.02590, 0.78277, -0.80868)))


def choose_colours(names: Iterable[str], fixed: Mapping[str, int]) -> dict[str, int]:
    """Name -> 0xRRGGBB. A name in `fixed` has that colour; the others have one of their own each, up to 255 names.

    A name's first choice depends on nothing but the name. It takes the next one if that colour is taken, or too near
    to another's, so that most names have the same colour in lists of other names.
    """
    names = list(dict.fromkeys(names))
    fixed_colours, every = tuple(fixed.values()), (*fixed.values(), *_spare_colours())
    chosen = {name: fixed_colours.index(fixed[name]) for name in names if name in fixed}
    others = sorted((name for name in names if name not in fixed), key=_hash)  # whatever the order of the list
    if not others:
        return {name: fixed[name] for name in names}
    distances = _distances(every)
    enough = _ENOUGH * _least_distance(every, max(len(names), len(fixed)))
    taken = np.zeros(len(every), bool)
    taken[list(chosen.values())] = True
    nearest = distances[:, [0, *chosen.values()]].min(1)  # of each colour to those taken, and to the background
    for name in others:
        index = _choose(name, taken, nearest, len(fixed), enough)
        chosen[name], taken[index] = index, True
        nearest = np.minimum(nearest, distances[:, index])
    return {name: every[chosen[name]] for name in names}


def seen_colours(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """uint8 (N, 3) RGB -> (N, 4, 3): OKLab coordinates as each of `VISIONS` sees them."""
    srgb = rgb / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.stack([np.clip(linear @ np.transpose(matrix), 0, 1) for matrix in VISIONS.values()], axis=1)
    lab: NDArray[np.float64] = np.cbrt(seen @ _RGB_TO_CONES.T) @ _CONES_TO_LAB.T
    return lab


def _choose(name: str, taken: NDArray[np.bool_], nearest: NDArray[np.float64], first: int, enough: float) -> int:
    """The first free colour in the name's own order that is far `enough` from those taken, else the farthest."""
    free = [index for index in _own_order(name, first, len(taken)) if not taken[index]]
    free = free or [index for index in range(first) if not taken[index]]
    return next((index for index in free if nearest[index] >= enough), max(free, key=nearest.__getitem__))


def _own_order(name: str, first: int, end: int) -> Iterator[int]:
    """Every index from `first` to `end`, in an order that depends on the name alone."""
    number = _hash(name)
    start, step = number % _PRIME, 1 + number // _PRIME % (_PRIME - 1)
    places = ((start + step * turn) % _PRIME for turn in range(_PRIME))
    return (first + place for place in places if first + place < end)


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


@lru_cache(maxsize=1)
def _spare_colours() -> tuple[int, ...]:
    return tuple(int(text, 16) for text in "".join(_SPARE_COLOURS).split())


@lru_cache(maxsize=1)
def _distances(colours: tuple[int, ...]) -> NDArray[np.float64]:
    """(N, N): OKLab distance of every two colours for the vision that sees them nearest."""
    seen = seen_colours(np.array([(one >> 16, one >> 8 & 255, one & 255) for one in colours], np.uint8))
    return np.array([np.linalg.norm(seen - one, axis=-1).min(1) for one in seen])


@lru_cache(maxsize=256)
def _least_distance(colours: tuple[int, ...], count: int) -> float:
    """Of any two of the first `count` colours, without the background's, which no mask paints."""
    some = _distances(colours)[1:count, 1:count]
    return float(some[np.triu_indices(len(some), 1)].min())
