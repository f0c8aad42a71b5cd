"""What the commands print, and the lists that they read.

In: objects, sentences, counts of a run. Out: JSON lines on standard output; sentences and a progress bar on standard
error. Knows nothing of what the commands do.
"""

import json
import sys
from pathlib import Path
from typing import Any

from seglib.errors import UsageError


def tell(sentence: str) -> None:
    """On standard error, so that standard output stays what was asked for."""
    print(f"seglib: {sentence}", file=sys.stderr, flush=True)


class ProgressBar:
    """Run, precision, photos/s and the time left on standard error; a bar on a terminal, silent elsewhere."""

    def __init__(self) -> None:
        self._bar: Any = None

    def show(self, progress: Any) -> None:
        if self._bar is None:  # what is reused counts as done, but not for the speed
            from tqdm import tqdm

            self._bar = tqdm(
                desc=f"{progress.run} {progress.precision}",
                total=progress.total,
                initial=progress.done,
                unit=" photos",
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
