"""The exceptions that seglib raises on purpose; each carries one sentence for the person at the keyboard.

    SegError                    anything we can explain: exit code 1
    ├── UsageError              the request itself makes no sense: exit code 2
    │   ├── UnknownName         a model, class, run or palette that does not exist; lists the known ones
    │   └── FilterError         a filter expression that cannot be read
    ├── DatasetError            the folder of photos is missing, empty or not a folder
    ├── WeightsError            a checkpoint is missing, damaged, or made for another net
    ├── StoreError              the store is missing, locked, or newer than this program
    │   └── Damaged             a file of the store is not what was written
    └── TooManyFailures         more photos failed than --max-failure-rate allows
    BadImage                    one photo cannot be decoded; becomes a row with a reason, never ends a run
    Terminated                  SIGTERM arrived: stop cleanly, exit code 143

A sentence says what was expected, what came, and what to do. Knows nothing of the rest of the library.
"""

from collections.abc import Iterable

_LONGEST = 100  # characters of a name that is told


class SegError(Exception):
    """Base of all errors that are shown as one sentence, without a traceback."""

    exit_code = 1


class UsageError(SegError):
    exit_code = 2


class UnknownName(UsageError):
    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        shown = name if len(name) <= _LONGEST else name[:_LONGEST] + "…"
        super().__init__(f"There is no {kind} {shown!r}; known are: {', '.join(known) or 'none yet'}.")


class FilterError(UsageError):
    pass


class DatasetError(SegError):
    pass


class WeightsError(SegError):
    pass


class StoreError(SegError):
    pass


class Damaged(StoreError):
    pass


class TooManyFailures(SegError):
    pass


class BadImage(Exception):
    """A photo that cannot be used. `reason` is one of `preprocess.REASONS`, `detail` one sentence without paths."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # its own arguments, so that it survives the way back from a worker process
        self.reason = reason
        self.detail = detail


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised in the main thread so that it unwinds exactly like Ctrl-C."""
