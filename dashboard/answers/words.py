"""Words and numbers that the answers share: lists of runs, intervals, and which run is faster."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from dashboard.formatting import count, percentage_points
from seglib.metrics.bootstrap import Interval

MAX_NAMED_RUNS = 3
MIN_TIMES_AS_FAST = 1.1
"""Smaller differences in speed are not mentioned."""

Labels = Mapping[str, str]
"""Run -> its name in a sentence."""


def join_names(names: Sequence[str]) -> str:
    """`A`, `A and B`, `A, B and C`; more than three: `4 runs`."""
    if len(names) > MAX_NAMED_RUNS:
        return f"{count(len(names))} runs"
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def percent_ends(ends: Interval) -> str:
    """0.408, 0.52 -> `40.8 to 52.0`."""
    return f"{ends[0] * 100:.1f} to {ends[1] * 100:.1f}"


def points_with_ends(value: float, ends: Interval) -> str:
    """`+1.6 points, −2.9 to +5.8`."""
    return f"{percentage_points(value)} points, {percentage_points(ends[0])} to {percentage_points(ends[1])}"


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Times of runs that can be compared."""

    ms: Mapping[str, float]
    """Run -> milliseconds per photo, above 0."""
    gflops: Mapping[str, float]
    """Run -> operations per photo, where known."""
    alone: bool
    """Whether each was measured alone on the same device; else they are of whole runs, with whatever else went on."""

    def sentence(self, labels: Labels, best: str = "") -> str:
        """Return the end of a sentence, `; FCN is 1.6 times as fast`, or nothing. `best`: the run spoken of, if any."""
        ordered = sorted(self.ms, key=lambda run: self.ms[run])
        if len(ordered) < 2:
            return ""
        fastest = ordered[0]
        other = best if best in self.ms and best != fastest else ordered[1] if fastest == best else ordered[-1]
        times = self.ms[other] / self.ms[fastest]
        if times < MIN_TIMES_AS_FAST or not (self.alone or self._is_explained(fastest, other)):
            return ""
        verb = "is" if self.alone else "ran"
        compared = "" if len(ordered) == 2 else f" as {labels[other]}"
        return f"; {labels[fastest]} {verb} {times:.1f} times as fast{compared}"

    def _is_explained(self, fastest: str, other: str) -> bool:
        """Return whether the operations do not contradict the times; if they do, other work explains these."""
        return fastest not in self.gflops or other not in self.gflops or self.gflops[fastest] < self.gflops[other]


def compare_speed(costs: pd.DataFrame) -> Speed | None:
    """Return the times in `evaluation.cost.costs` that can be compared: measured alone, else those of the runs.

    None if one is unknown.
    """
    alone = bool(costs["latency_alone"].eq(True).all()) and costs["latency_device"].nunique() == 1
    column = costs["latency_ms" if alone else "ms_per_image"].astype("float64")
    ms = dict(zip(costs["run"].astype(str), column.tolist(), strict=True))
    if not all(math.isfinite(value) and value > 0 for value in ms.values()):
        return None
    known = costs.dropna(subset="gflops")
    gflops = dict(zip(known["run"].astype(str), known["gflops"].astype("float64").tolist(), strict=True))
    return Speed(ms=ms, gflops=gflops, alone=alone)
