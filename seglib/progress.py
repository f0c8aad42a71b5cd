"""Progress of a long task: the record that callbacks receive, and a bar that shows it."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(kw_only=True)
class Progress:
    title: str
    total: int
    done: int = 0
    failed: int = 0


OnProgress = Callable[[Progress], None]

OnNote = Callable[[str], None]
"""Called with one sentence for the user."""


class _Shown(Protocol):
    """What a bar shows: a `Progress`, or that of a run."""

    @property
    def title(self) -> str: ...
    @property
    def total(self) -> int: ...
    @property
    def done(self) -> int: ...
    @property
    def failed(self) -> int: ...


class ProgressBar:
    """Progress bar with rate and remaining time, for any `on_progress`.

    Drawn in a notebook, and on standard error if that is a terminal; else nothing is shown. Each task has its own bar.

    Args:
        unit: What is counted, if not photos.

    Example:
        run = seglib.run("photos", on_progress=seglib.ProgressBar())
    """

    def __init__(self, unit: str = "photos") -> None:
        self._bar: Any = None
        self._unit = unit
        self._title = ""

    def __call__(self, progress: _Shown) -> None:
        if self._bar is None or self._title != progress.title:
            self.close()
            self._title, self._bar = progress.title, self._draw(progress)
        self._bar.total = progress.total
        self._bar.update(progress.done - self._bar.n)
        if progress.failed:
            self._bar.set_postfix(failed=progress.failed, refresh=False)
        if progress.done >= progress.total:
            self.close()

    def _draw(self, progress: _Shown) -> Any:
        from tqdm.auto import tqdm

        return tqdm(
            desc=progress.title,
            total=progress.total,
            initial=progress.done,  # reused items count as done but not towards the rate
            unit=f" {self._unit}",
            disable=False if "ipykernel" in sys.modules else None,  # None: unless stderr is a terminal
            dynamic_ncols=True,
        )

    def close(self) -> None:
        """Leave the bar as it is; the next call draws another."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
