"""Answer of an evaluation: which run is better, and whether the difference is beyond chance.

`judge` collects the figures from `Evaluation`s of the same photos; `sentence` puts them into words.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from dashboard.answers.words import Labels, Speed, join_names, percent_ends, points_with_ends
from dashboard.formatting import count, percent_fixed, photo_count
from seglib.evaluation.evaluation import Evaluation
from seglib.metrics import bootstrap
from seglib.metrics.bootstrap import Estimate, Interval

MEASURE = "miou"

_ERRORS = ("ece", "image_ece")
"""Measures of which less is better."""

MIN_PHOTOS = 10
"""With fewer photos the answer makes no statement about chance: even one run winning on all n photos, which happens by
chance in 2 ** (1 - n) of the cases, has to be rarer than 5 % shared by the 15 pairs of six runs.
"""

TIE = 0.005
"""Runs whose difference lies within these shares, with its whole interval, are called tied."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """mIoU of one run minus that of another."""

    value: float | None
    interval: Interval | None
    """95 % for all pairs of runs together."""
    differing: int
    """Number of photos on which the two score differently."""

    def reversed(self) -> "Gap":
        value = None if self.value is None else -self.value
        interval = None if self.interval is None else (-self.interval[1], -self.interval[0])
        return Gap(value=value, interval=interval, differing=self.differing)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    photos: int
    scores: Mapping[str, Estimate]
    """Run -> its mIoU."""
    gaps: Mapping[tuple[str, str], Gap]
    """(a, b) -> b minus a, for every pair of runs."""

    def gap(self, better: str, other: str) -> Gap:
        """Return `better` minus `other`."""
        one = self.gaps.get((other, better))
        return self.gaps[better, other].reversed() if one is None else one


def judge(evaluations: Sequence[Evaluation], scores: Mapping[str, Estimate]) -> Verdict:
    """`scores`: run -> its mIoU, with its interval."""
    measures = {one.run.run: one.measures[MEASURE] for one in evaluations}
    each = {run: np.nan_to_num(measure.per_image(), nan=-1) for run, measure in measures.items()}
    differences = bootstrap.estimate_differences(measures)
    return Verdict(
        photos=len(evaluations[0].files) if evaluations else 0,
        scores=scores,
        gaps={
            (a, b): Gap(
                value=differences[a, b].value,
                interval=differences[a, b].joint_interval,
                differing=int((each[a] != each[b]).sum()),
            )
            for a, b in combinations(measures, 2)
        },
    )


def sentence(verdict: Verdict, labels: Labels, speed: Speed | None = None) -> str:
    """Return the answer as one sentence; empty without a run."""
    if not verdict.scores:
        return ""
    defined = [run for run, score in verdict.scores.items() if score.value is not None]
    ranked = sorted(defined, key=lambda run: -(verdict.scores[run].value or 0.0))
    undefined = [labels[run] for run in verdict.scores if run not in defined]
    on_photos = f"on {photo_count(verdict.photos)}"
    if not ranked:
        return f"mIoU is not defined {on_photos}: no class of the truth can be compared."
    if len(ranked) == 1:
        text = _one(verdict.scores[ranked[0]], on_photos)
        text = f"{labels[ranked[0]]}: {text}" if undefined else text
    elif verdict.photos < MIN_PHOTOS:
        text = _too_few(verdict, ranked, labels)
    else:
        write = _two if len(ranked) == 2 else _several
        text = write(verdict, ranked, labels, on_photos)
        text += speed.sentence(labels, ranked[0]) if speed is not None else ""
    rest = f" mIoU of {join_names(undefined)} is not defined here." if undefined else ""
    return f"{text}.{rest}"


def describe_method(runs: int) -> str:
    """Return how the intervals of the answer are made."""
    text = "Intervals: 95 %, bootstrap over photos"
    if runs < 2:
        return f"{text}."
    text += ", paired: all runs on the same photos of each resample"
    if runs == 2:
        return f"{text}."
    pairs = runs * (runs - 1) // 2
    return (
        f"{text}. Differences are widened so that all {count(pairs)} pairs hold together at 95 % (Bonferroni; "
        "Dunn 1961)."
    )


def best_cells(rows: Sequence[Sequence[float | None]], measures: Sequence[str]) -> set[tuple[int, int]]:
    """Return (row, column) of the best run in each measure, and of those written alike; none if all are.

    `rows`: one per run, with the value of each measure.
    """
    cells = set()
    for column, name in enumerate(measures):
        known = {row: value for row, line in enumerate(rows) if (value := line[column]) is not None}
        if len(known) < 2:
            continue
        wanted = percent_fixed((min if name in _ERRORS else max)(known.values()))
        best = {row for row, value in known.items() if percent_fixed(value) == wanted}
        cells |= {(row, column) for row in best if len(best) < len(known)}
    return cells


def _one(score: Estimate, on_photos: str) -> str:
    if score.interval is None:
        return f"mIoU {percent_fixed(score.value)} {on_photos}, too few for an interval"
    return f"mIoU {percent_fixed(score.value)} ({percent_ends(score.interval)}) {on_photos}"


def _too_few(verdict: Verdict, ranked: Sequence[str], labels: Labels) -> str:
    scores = [f"{labels[run]} {percent_fixed(verdict.scores[run].value)}" for run in ranked]
    shown = ", ".join(scores) if len(scores) <= 3 else f"{scores[0]} to {scores[-1]}"
    are = "photo is" if verdict.photos == 1 else "photos are"
    return f"{count(verdict.photos)} {are} too few to tell the runs apart: mIoU {shown}"


def _two(verdict: Verdict, ranked: Sequence[str], labels: Labels, on_photos: str) -> str:
    best, other = ranked
    gap, (one, two) = verdict.gap(best, other), (labels[best], labels[other])
    if not gap.differing:
        return f"{one} and {two} score the same on every photo: {_one(verdict.scores[best], on_photos)}"
    if gap.interval is None or gap.value is None:
        values = [percent_fixed(verdict.scores[run].value) for run in ranked]
        return f"mIoU {one} {values[0]}, {two} {values[1]} {on_photos}"
    apart = points_with_ends(gap.value, gap.interval)
    if gap.interval[0] > 0:
        return f"{one} is better than {two} {on_photos}: mIoU {apart}"
    if _is_tie(gap):
        return f"{one} and {two} are tied {on_photos}: mIoU {one} minus {two} {apart}"
    few = f"; they score differently on {count(gap.differing)}" if gap.differing <= verdict.photos / 4 else ""
    return f"No difference beyond chance {on_photos}: mIoU {one} minus {two} {apart}{few}"


def _several(verdict: Verdict, ranked: Sequence[str], labels: Labels, on_photos: str) -> str:
    best, others = ranked[0], ranked[1:]
    gaps = {run: verdict.gap(best, run) for run in others}
    behind = [run for run in others if _is_ahead(gaps[run])]
    equal = [run for run in others if not gaps[run].differing]
    tied = [run for run in others if run not in (*behind, *equal) and _is_tie(gaps[run])]
    unclear = [run for run in others if run not in (*behind, *equal, *tied)]
    low, high = (percent_fixed(verdict.scores[run].value) for run in (ranked[-1], best))
    leaders = join_names([labels[run] for run in (best, *equal)])
    if not behind:
        if len(equal) == len(others):
            return (
                f"All {count(len(ranked))} runs score the same on every photo: {_one(verdict.scores[best], on_photos)}"
            )
        text = f"No run is better beyond chance {on_photos}: mIoU {low} ({labels[ranked[-1]]}) to {high} ({leaders})"
        text += f"; {leaders} score the same on every photo" if equal else ""
        return text + (f"; {labels[best]} is tied with {join_names([labels[run] for run in tied])}" if tied else "")
    lead = f"{leaders} {'score the same and are' if equal else 'is'} {'ahead' if tied or unclear else 'best'}"
    text = f"{lead} {on_photos}, mIoU {high}: better than {join_names([labels[run] for run in behind])} beyond chance"
    if tied:
        text += f", tied with {join_names([labels[run] for run in tied])}"
    if unclear:
        nearest = gaps[unclear[0]]
        apart = (
            f" ({points_with_ends(nearest.value, nearest.interval)})"
            if len(unclear) == 1 and nearest.value is not None and nearest.interval is not None
            else ""
        )
        text += f", not than {join_names([labels[run] for run in unclear])}{apart}"
    return text


def _is_ahead(gap: Gap) -> bool:
    return gap.interval is not None and gap.interval[0] > 0


def _is_tie(gap: Gap) -> bool:
    return gap.interval is not None and -TIE <= gap.interval[0] <= 0 <= gap.interval[1] <= TIE
