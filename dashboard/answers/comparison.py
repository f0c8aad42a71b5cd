"""Answer of a comparison: how far the runs agree; it never says which of them is right.

`judge` collects the figures from a `Comparison`; `sentence` puts them into words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dashboard.answers.words import Labels, Speed, join_names, percent_ends
from dashboard.formatting import count, percent, percent_fixed, photo_count
from seglib.evaluation.comparison import Comparison
from seglib.metrics.bootstrap import Estimate
from seglib.metrics.confusion import JointCounts


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Pixels that one run calls `a` and the other `b`."""

    a: str
    b: str
    share: float
    """0..1, of the pixels compared."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    photos: int
    runs: tuple[str, ...]
    pairs: Mapping[tuple[str, str], Estimate]
    """(a, b) -> pixel agreement."""
    same: frozenset[tuple[str, str]]
    """Pairs that give the same masks on every photo."""
    consensus: Estimate
    """Pixels on which all runs agree."""
    flip: Flip | None
    """The largest difference of the first two runs."""


def judge(
    comparison: Comparison, a: str, b: str, pairs: Mapping[tuple[str, str], Estimate], consensus: Estimate
) -> Agreement:
    """`pairs`: the pixel agreement of every pair; `consensus`: of all runs."""
    return Agreement(
        photos=len(comparison.files),
        runs=tuple(run.run for run in comparison.runs),
        pairs=pairs,
        same=frozenset(pair for pair, counts in comparison.counts.items() if _is_same(counts)),
        consensus=consensus,
        flip=largest_flip(comparison.counts[a, b]),
    )


def _is_same(counts: JointCounts) -> bool:
    """Return whether both masks name the same class at every pixel of every photo."""
    return counts.classes_a == counts.classes_b and bool((counts.a == counts.b).all())


def largest_flip(counts: JointCounts) -> Flip | None:
    """Return the most frequent pair of different classes that both runs know; None if there is none."""
    common = counts.common_classes
    rows, columns = ([names.index(name) for name in common] for names in (counts.classes_a, counts.classes_b))
    matrix = counts.matrix()[np.ix_(rows, columns)]
    compared = int(matrix.sum())
    np.fill_diagonal(matrix, 0)
    if not matrix.any():
        return None
    row, column = divmod(int(matrix.argmax()), len(common))
    return Flip(a=common[row], b=common[column], share=float(matrix[row, column]) / compared)


def sentence(agreement: Agreement, labels: Labels, speed: Speed | None = None) -> str:
    """Return the answer as one sentence."""
    of_photos = f"of {photo_count(agreement.photos)}"
    suffix = speed.sentence(labels) if speed is not None else ""
    write = _two if len(agreement.runs) == 2 else _several
    return f"{write(agreement, labels, of_photos)}{suffix}."


def _agree(figure: Estimate, of_photos: str) -> str:
    ends = f" ({percent_ends(figure.interval)})" if figure.interval else ""
    few = "" if figure.interval else ", too few for an interval"
    return f"agree on {percent_fixed(figure.value)} of the pixels{ends} {of_photos}{few}"


def _two(agreement: Agreement, labels: Labels, of_photos: str) -> str:
    ((pair, figure),) = agreement.pairs.items()
    names = f"{labels[pair[0]]} and {labels[pair[1]]}"
    if figure.value is None:
        return f"{names} have no pixel {of_photos} whose classes both know: nothing can be compared"
    if agreement.same:
        return f"{names} give the same mask on every one {of_photos}"
    text = f"{names} {_agree(figure, of_photos)}"
    flip = agreement.flip
    if flip is None:
        return text
    return f"{text}; the largest difference: A {flip.a}, B {flip.b} ({percent(flip.share)})"


def _several(agreement: Agreement, labels: Labels, of_photos: str) -> str:
    number = count(len(agreement.runs))
    known = {pair: figure.value for pair, figure in agreement.pairs.items() if figure.value is not None}
    if agreement.consensus.value is None or not known:
        return f"These {number} runs have no pixel {of_photos} whose classes all know: nothing can be compared"
    if len(agreement.same) == len(agreement.pairs):
        return f"All {number} runs give the same mask on every one {of_photos}"
    text = f"All {number} runs {_agree(agreement.consensus, of_photos)}"
    same = _alike(agreement)
    if same:
        text += f"; {join_names([labels[run] for run in same])} give the same masks"
    most, least = max(known, key=lambda pair: known[pair]), min(known, key=lambda pair: known[pair])
    if percent_fixed(known[most]) == percent_fixed(known[least]):
        return text
    nearest, farthest = (
        f"{' and '.join(sorted(labels[run] for run in pair))} ({percent_fixed(known[pair])})" for pair in (most, least)
    )
    if same:
        return f"{text}; least alike are {farthest}"
    return f"{text}; most alike are {nearest}, least {farthest}"


def _alike(agreement: Agreement) -> Sequence[str]:
    """Return the first group of runs that give the same masks."""
    first = next((pair for pair in agreement.pairs if pair in agreement.same), None)
    if first is None:
        return ()
    return [run for run in agreement.runs if run == first[0] or {(run, first[0]), (first[0], run)} & agreement.same]
