"""Measure how much of the machine's CPU time other processes use, to tell whether something is measured alone."""

import os
import time
from pathlib import Path
from typing import Self

_STAT = Path("/proc/stat")


class CpuLoad:
    """Share of the machine's CPU time used by other processes while the context lasts; needs Linux's /proc/stat.

    with CpuLoad() as load:
        ...
    load.others  # 0..1, None if unknown
    """

    others: float | None = None

    def __enter__(self) -> Self:
        self._before = _read_times()
        self._own_before = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        own, after = time.process_time() - self._own_before, _read_times()
        if self._before is None or after is None or after[1] <= self._before[1]:
            return
        busy, total = (now - then for now, then in zip(after, self._before, strict=True))
        self.others = round(min(max((busy - own) / total, 0.0), 1.0), 3)


def _read_times() -> tuple[float, float] | None:
    """(seconds in which the CPUs were busy, all seconds), summed over the CPUs since the start; see proc(5)."""
    try:
        name, *ticks = _STAT.read_text().splitlines()[0].split()
        user, nice, system, idle, iowait, *rest = (int(one) / os.sysconf("SC_CLK_TCK") for one in ticks[:8])
    except (OSError, ValueError, IndexError, AttributeError):  # Windows has no sysconf
        return None
    if name != "cpu":
        return None
    busy = user + nice + system + sum(rest)
    return busy, busy + idle + iowait
