"""Exception hierarchy of seglib; each message is one sentence written for the user.

    SegError                    base of all expected errors: exit code 1
    ├── UsageError              the request is invalid: exit code 2
    │   ├── UnknownName         a model, class, run or palette that does not exist; lists the known ones
    │   └── FilterError         a filter expression that cannot be parsed
    ├── DatasetError            the image folder is missing, empty or not a folder
    ├── WeightsError            a checkpoint is missing, damaged, or made for another model
    ├── StoreError              the store is missing, locked, or newer than this program
    │   └── Damaged             a file in the store is corrupt
    └── TooManyFailures         more images failed than the caller allows
    BadImage                    one image cannot be decoded; recorded as a row with a reason, never ends a run
    Terminated                  SIGTERM received: stop cleanly, exit code 143

A message says what was expected, what was found, and what to do. It names parameters of the library in backquotes, as
in "run again with `verify`"; the command line prints them as its options (`cli.common.name_options`).
"""

from collections.abc import Iterable

_MAX_NAME_LENGTH = 100  # characters of a name shown in a message


def shorten(text: str) -> str:
    """The text as a message quotes it: its beginning, if it is long."""
    return text if len(text) <= _MAX_NAME_LENGTH else text[:_MAX_NAME_LENGTH] + "…"


class SegError(Exception):
    """Base of all errors shown as one sentence, without a traceback."""

    exit_code = 1


class UsageError(SegError):
    exit_code = 2


class UnknownName(UsageError):
    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        short_name = shorten(name)
        super().__init__(f"There is no {kind} {short_name!r}; known are: {', '.join(known) or 'none yet'}.")


class FilterError(UsageError):
    pass


class DatasetError(SegError):
    pass


class WeightsError(SegError):
    pass


class StoreError(SegError):
    pass


class DamagedFileError(StoreError):
    pass


class TooManyFailures(SegError):
    pass


class BadImage(Exception):
    """An image that cannot be used. `reason` is a key of `data.image.FAILURE_REASONS`, `detail` one sentence without
    paths.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)  # both arguments, so that it can be unpickled from a worker process
        self.reason = reason
        self.detail = detail


class Terminated(KeyboardInterrupt):
    """Raised in the main thread on SIGTERM, so that it unwinds exactly like Ctrl-C."""
