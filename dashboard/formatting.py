"""Format numbers and names for display on the pages.

Also escapes untrusted names (files, folders, datasets) for Markdown and HTML.
"""

import contextlib
import html
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from seglib.query.columns import AGREEMENT_WORDS
from seglib.store.records import Run

DASH = "–"
NO_VALUE = "(none)"
"""Display text of an empty label, split or animal; in a URL it is the empty string."""

CHOICE_NAMES: dict[str, dict[str, str]] = {"agreement": AGREEMENT_WORDS}
"""Filter -> value in the URL -> display text; other values are shown as they are."""

MEASURE_NAMES: dict[str, str] = {
    "pixel_accuracy": "pixel accuracy",
    "miou": "mIoU",
    "miou_truth": "mIoU of the classes in the truth",
    "mdice": "Dice",
    "boundary_f": "boundary F-score",
    "ece": "calibration error of pixels",
    "image_ece": "calibration error of photos",
}
"""Measure of an evaluation -> display name, in page order."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

_MAX_SLUG_BYTES = 120
"""Maximum length of a part of a file name; file systems allow 255 bytes."""

_SEPARATOR = " · "
"""Separates the parts of a run's label."""

_ABSOLUTE_PATH = re.compile(r"(?<![\w.])(?:/|[A-Za-z]:[\\/])(?:[^\s'\"<>|]*[\\/])?([^\s'\"<>|/\\]*)")
"""An absolute path; the group is its last component."""

_LONG_ENUMERATION = re.compile(r"(?:[^,;:()]+, ){12,}[^,;:().]+")

_MARKDOWN_SIGNS = re.compile(r"([!-/:-@\[-^`{-~]|_(?![^\W_])|(?<![^\W_])_)")
"""ASCII punctuation, the only characters that Markdown allows to escape with a backslash.

An `_` within a word has no meaning in Markdown and is not escaped.
"""


def percent(share: float | None) -> str:
    """0.36 -> `36 %`; below a tenth one decimal: 0.004 -> `0.4 %`, 0.0001 -> `<0.1 %`; None -> a dash."""
    if share is None or math.isnan(share):
        return DASH
    hundredths = round(share * 100, 6)
    if 0 < hundredths < 0.05:
        text = "<0.1"
    else:
        text = f"{hundredths:.1f}" if 0 < hundredths < 9.95 and hundredths % 1 else f"{hundredths:.0f}"
    return f"{text}\N{NO-BREAK SPACE}%"


def percent_fixed(share: float | None) -> str:
    """0.9234 -> `92.3 %`, for figures that are compared with each other; None -> a dash."""
    return DASH if share is None or math.isnan(share) else f"{share * 100:.1f}\N{NO-BREAK SPACE}%"


def percent_in_cell(share: float) -> str:
    """0.123 -> `12.3`, 0.0004 -> `0.04`: with more digits where there would be none, so that small cells differ."""
    if not share:
        return "0"
    hundredths = share * 100
    return "<0.01" if hundredths < 0.005 else f"{hundredths:.2f}" if hundredths < 0.095 else f"{hundredths:.1f}"


def percentage_points(difference: float | None) -> str:
    """Difference of two shares in percentage points: -0.0123 gives `−1.2`, 0.0123 `+1.2`, None a dash.

    What would round to 0.0 keeps up to three decimals: 0.0003 gives `+0.03`; only 0 is `0`.
    """
    if difference is None or math.isnan(difference):
        return DASH
    for decimals in (1, 2, 3):
        text = f"{abs(difference) * 100:.{decimals}f}"
        if float(text):
            return ("+" if difference > 0 else "\N{MINUS SIGN}") + text
    return "0"


def interval(ends: tuple[float, float] | None) -> str:
    """0.899, 0.944 -> `89.9 to 94.4 %`; None -> `no interval`."""
    return "no interval" if ends is None else f"{ends[0] * 100:.1f} to {percent_fixed(ends[1])}"


def percent_with_interval(share: float | None, ends: tuple[float, float] | None) -> str:
    """`92.3 % [89.9 to 94.4 %]`; without an interval the share alone."""
    return f"{percent_fixed(share)} [{interval(ends)}]" if ends else percent_fixed(share)


def score(value: float | None) -> str:
    """Format a score in 0..1, such as a confidence, with two decimals."""
    return DASH if value is None or math.isnan(value) else f"{value:.2f}"


def count(number: int) -> str:
    return f"{number:,}"


def photo_count(number: int) -> str:
    return pluralize(number, "photo")


def pluralize(number: int, name: str) -> str:
    """`1 photo`, `1,000 photos`."""
    return f"{count(number)} {name}" + ("" if number == 1 else "s")


def shorten_enumerations(text: str) -> str:
    """Shorten each list of more than 12 names in a sentence: its first 8, and how many more there are."""
    return _LONG_ENUMERATION.sub(_shorten_enumeration, text)


def _shorten_enumeration(match: re.Match[str]) -> str:
    names = match[0].split(", ")
    return f"{', '.join(names[:8])} and {count(len(names) - 8)} more"


def matrix_caption(left_out: int) -> str:
    """Return the caption of a matrix that shows the classes with most pixels and omits `left_out` others."""
    text = "A click on a cell shows its photos in the gallery above; all figures stay."
    if left_out == 0:
        return text
    rest = "1 class with fewer pixels is" if left_out == 1 else f"{count(left_out)} classes with fewer pixels are"
    return f"{text} {rest} not shown."


def duration(seconds: float) -> str:
    """Format a duration estimate in one unit, rounded up: `12 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{math.ceil(seconds / 60)} min" if seconds < 5400 else f"{math.ceil(seconds / 360) / 10:.1f} h"


def local_time(utc: str, zone: str | None) -> str:
    """Format an ISO 8601 time in a time zone such as `Europe/Zurich`: `27 Nov 2026, 18:45`.

    If the zone is unknown, in UTC, and it says so; a dash for what is no time.
    """
    try:
        moment = datetime.fromisoformat(utc)
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return DASH
    suffix = " UTC"
    if zone:
        with contextlib.suppress(ValueError, OSError, KeyError, OverflowError):  # a browser may send anything
            moment, suffix = moment.astimezone(ZoneInfo(zone)), ""
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}{suffix}"


def parameter_count(number: float | None) -> str:
    """3078021 -> `3.1 M`, 516 -> `516`; None -> a dash."""
    if number is None or math.isnan(number):
        return DASH
    return f"{number / 1e6:.1f} M" if number >= 1e5 else count(int(number))


def byte_size(number: float) -> str:
    """Format bytes in powers of ten: `28 kB`, `1.4 MB`, `130 MB`, `2.1 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            return f"{number / factor:.1f} {unit}" if number < 9.95 * factor else f"{number / factor:.0f} {unit}"
    return f"{math.ceil(number / 1e3)} kB"


def display_name(value: str) -> str:
    return value or NO_VALUE


def choice_name(key: str, value: str) -> str:
    """Return what pages call one choice of a filter."""
    return CHOICE_NAMES.get(key, {}).get(value) or display_name(value)


def slug(text: str) -> str:
    """Make a text a part of a file name: `My class/photos: 12 %` -> `my-class-photos-12`; empty if nothing is left."""
    joined = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", text).lower())
    return joined.encode("utf-8", "ignore")[:_MAX_SLUG_BYTES].decode("utf-8", "ignore").strip("-")


def escape_markdown(text: str) -> str:
    """Escape a text for Markdown, so that a file name cannot produce links, images, icons or formulas."""
    return _MARKDOWN_SIGNS.sub(r"\\\1", " ".join(text.split()))


def escape_html(text: str) -> str:
    return html.escape(text, quote=True)


def redact_paths(text: str) -> str:
    """Reduce each absolute path in a sentence to its last component."""
    return _ABSOLUTE_PATH.sub(lambda match: match[1] or "...", text)


def user_message(text: str) -> str:
    """Adapt a message of the library for a page: strip paths and the marks of parameters, and mention our button."""
    text = redact_paths(text).replace("run again with `verify`", "run again with --verify (here: Verify on Runs)", 1)
    return re.sub(r"`(\w+)`", r"\1", text)


def run_labels(runs: Sequence[Run]) -> dict[str, str]:
    """Return run -> `title · resize`, with precision and digest added where two labels would be equal."""
    labels = {run.run: f"{run.display_title}{_SEPARATOR}{run.resize}" for run in runs}
    repeated = _repeated(labels)
    labels |= {
        run.run: _SEPARATOR.join((labels[run.run], run.precision or "masks", run.run[-8:]))
        for run in runs
        if labels[run.run] in repeated
    }
    repeated = _repeated(labels)  # a title may be like another's label
    return {name: name if label in repeated else label for name, label in labels.items()}


def _repeated(labels: Mapping[str, str]) -> set[str]:
    return {label for label, number in Counter(labels.values()).items() if number > 1}


def shorten_labels(names: Sequence[str], labels: Mapping[str, str]) -> dict[str, str]:
    """Remove the parts at either end that all labels share: `net · 224`, `net · 512x512` -> `224`, `512x512`.

    At least one part of each label is kept.
    """
    parts = {name: labels[name].split(_SEPARATOR) for name in names}
    for end, rest in ((0, slice(1, None)), (-1, slice(None, -1))):
        while all(len(one) > 1 for one in parts.values()) and len({one[end] for one in parts.values()}) == 1:
            parts = {name: one[rest] for name, one in parts.items()}
    return {name: _SEPARATOR.join(one) for name, one in parts.items()}
