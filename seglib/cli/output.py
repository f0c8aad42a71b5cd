"""What the commands print, and the lists that they read.

In: objects, sentences, counts of a run. Out: JSON lines on standard output; sentences and a progress bar on standard
error. Knows nothing of what the commands do.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglib.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from seglib.metrics.bootstrap import Figure
    from seglib.metrics.confusion import Counts


_HARMLESS = "\N{NO-BREAK SPACE}\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"  # families of emoji need the last one


def tell(sentence: str) -> None:
    """On standard error, so that standard output stays what was asked for."""
    print(f"seglib: {plain(sentence)}", file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """A name as a terminal may show it: line ends, terminal codes and what turns a line around are spelled out."""
    return "".join(
        sign if sign.isprintable() or sign in _HARMLESS else sign.encode("unicode_escape").decode() for sign in text
    )


class ProgressBar:
    """What is at work, photos/s and the time left on standard error; a bar on a terminal, silent elsewhere.

    `unit`: what is counted, if it is not photos.
    """

    def __init__(self, unit: str = "photos") -> None:
        self._bar: Any = None
        self._unit = unit

    def show(self, progress: Any) -> None:
        if self._bar is None:  # what is reused counts as done, but not for the speed
            from tqdm import tqdm

            self._bar = tqdm(
                desc=progress.title,
                total=progress.total,
                initial=progress.done,
                unit=f" {self._unit}",
                disable=None,
                dynamic_ncols=True,
            )
        self._bar.update(progress.done - self._bar.n)
        if progress.failed:
            self._bar.set_postfix(failed=progress.failed, refresh=False)

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()


def lines(file: Path | None) -> tuple[str, ...] | None:
    if file is None:
        return None
    try:
        return tuple(file.read_text("utf-8").splitlines())
    except (OSError, UnicodeDecodeError):
        raise UsageError(
            f"The list {str(file)!r} cannot be read: expected a text file with one relative path a line."
        ) from None


def print_json(*objects: object) -> None:
    for one in objects:
        print(json.dumps(one, ensure_ascii=False), flush=True)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"


def interval(ends: tuple[float, float] | None) -> str:
    return "" if ends is None else f"[{100 * ends[0]:.2f}, {100 * ends[1]:.2f}]"


def print_figures(figures: "Mapping[str, Figure]") -> None:
    """A line each, of those that are defined for at least one image."""
    print(f"  {'':<24}{'all pixels':>12}  {'95 %':<17}{'mean of images':>15}  {'95 %':<17}{'n':>7}")
    for name, one in figures.items():
        if one.n:
            print(
                f"  {plain(name):<24}{percent(one.value):>12}  {interval(one.interval):<17}"
                f"{percent(one.mean):>15}  {interval(one.mean_interval):<17}{one.n:>7}"
            )


def matrix(counts: "Counts") -> dict[str, object]:
    """As JSON: names of rows and columns, and whole numbers."""
    return {"rows": counts.classes_a, "columns": counts.classes_b, "pixels": counts.matrix().tolist()}


def records(frame: "pd.DataFrame") -> list[dict[str, Any]]:
    """As JSON: an object per row, null for no value."""
    rows = frame.astype("object").where(frame.notna(), None).to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in rows]
