"""Read dates and times: 2024-03-31, 2024-03-31T12:00:05+02:00, 2024:03:31 12:00:05 (EXIF), 31.03.2024, 31/03/2024.

A column must be written in one way. 03/04/2024 is the 3rd of April or the 4th of March: another date of the column
decides (31/03/2024), or the user does.
"""

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from seglib.errors import UsageError
from seglib.store.own_columns.options import DAY_ORDERS

_TIME = (
    r"(?:[T ] ?(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,](?P<fraction>\d{1,9}))?)?"
    r" ?(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?)?$"
)
_STYLES = {
    "year-month-day": r"^(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})",
    "year/month/day": r"^(?P<year>\d{4})/(?P<month>\d{1,2})/(?P<day>\d{1,2})",
    "year:month:day": r"^(?P<year>\d{4}):(?P<month>\d{2}):(?P<day>\d{2})",
    "day.month.year": r"^(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",
    "a/b/year": r"^(?P<first>\d{1,2})/(?P<second_>\d{1,2})/(?P<year>\d{4})",
    "a-b-year": r"^(?P<first>\d{1,2})-(?P<second_>\d{1,2})-(?P<year>\d{4})",
}
_PATTERNS = {name: pattern + _TIME for name, pattern in _STYLES.items()}


def find_styles(texts: pa.Array) -> dict[str, NDArray[np.bool_]]:
    """Style -> bool per text, for those that any text has."""
    found = {
        name: pc.match_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
        for name, pattern in _PATTERNS.items()
    }
    return {name: matches for name, matches in found.items() if matches.any()}


def parse_dates(name: str, texts: pa.Array, order: str | None) -> tuple[NDArray[np.datetime64], bool]:
    """(datetime64[us] of texts that each have one of the styles, NaT where there is no such day or time; whether they
    have a time zone, and were converted to UTC).

    `order` is one of `DAY_ORDERS`, if it is known. Raises `UsageError` if the column `name` is written in several ways,
    or fits both orders.
    """
    styles = find_styles(texts)
    if len(styles) > 1:
        examples = [texts[int(np.argmax(matches))].as_py() for matches in list(styles.values())[:2]]
        raise UsageError(
            f"The dates of the column {name!r} are written in several ways, such as {examples[0]!r} and "
            f"{examples[1]!r}: write them alike, or take the column as text with `types`."
        )
    (style,) = styles
    parts = pc.extract_regex(texts, _PATTERNS[style])
    numbers = {field.name: _part(parts, field.name) for field in parts.type if field.name != "zone"}
    if "first" in numbers:
        numbers["day"], numbers["month"] = _order_day_and_month(name, texts, numbers, order)
    zones = pc.struct_field(parts, "zone")
    zoned = pc.not_equal(zones, "").to_numpy(zero_copy_only=False)
    if zoned.any() and not zoned.all():
        raise UsageError(
            f"Some values of the column {name!r} have a time zone, such as {texts[int(np.argmax(zoned))].as_py()!r}, "
            f"and others have none, such as {texts[int(np.argmin(zoned))].as_py()!r}: write them alike."
        )
    dates = _assemble(numbers, pc.struct_field(parts, "fraction"))
    return (dates - _offsets(zones) if zoned.all() else dates), bool(zoned.all())


def parse_format(texts: pa.Array, form: str) -> tuple[NDArray[np.datetime64], bool]:
    """`parse_dates` with a format such as `%d.%m.%y`; NaT where a text does not have it. Raises `UsageError`."""
    try:
        parsed = pd.to_datetime(pd.Series(texts.to_pylist(), dtype="object"), format=form, errors="coerce", utc=True)
    except (ValueError, TypeError, re.error) as error:
        raise UsageError(f"{form!r} is no format of dates ({error}): write one such as %d.%m.%Y.") from None
    zoned = "%z" in form or "%Z" in form
    return parsed.dt.tz_localize(None).to_numpy("datetime64[us]"), zoned


def _order_day_and_month(
    name: str, texts: pa.Array, numbers: dict[str, NDArray[np.float64]], order: str | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = numbers.pop("first"), numbers.pop("second_")
    if order is None:
        day_first, month_first = bool((first > 12).any()), bool((second > 12).any())
        example = texts[0].as_py()
        if day_first and month_first:
            raise UsageError(
                f"In the column {name!r}, {texts[int(np.argmax(first > 12))].as_py()!r} begins with the day and "
                f"{texts[int(np.argmax(second > 12))].as_py()!r} with the month: write the dates alike."
            )
        if not day_first and not month_first:
            raise UsageError(
                f"Dates such as {example!r} in the column {name!r} may begin with the day or with the month: say "
                f"`dates` {DAY_ORDERS[0]} or `dates` {DAY_ORDERS[1]}."
            )
        order = DAY_ORDERS[0] if day_first else DAY_ORDERS[1]
    return (first, second) if order == DAY_ORDERS[0] else (second, first)


def _part(parts: pa.StructArray, name: str) -> NDArray[np.float64]:
    """float64 of a captured group; 0 where the text has none."""
    texts = pc.struct_field(parts, name)
    numbers: NDArray[np.float64] = (
        pc.if_else(pc.equal(texts, ""), "0", texts).cast(pa.float64()).to_numpy(zero_copy_only=False)
    )
    return numbers


def _assemble(numbers: dict[str, NDArray[np.float64]], fractions: pa.Array) -> NDArray[np.datetime64]:
    days = pd.to_datetime(
        pd.DataFrame({part: numbers[part].astype(np.int64) for part in ("year", "month", "day")}), errors="coerce"
    ).to_numpy("datetime64[us]")
    hour, minute, second = (numbers[part] for part in ("hour", "minute", "second"))
    micros = pc.utf8_slice_codeunits(pc.utf8_rpad(fractions, 6, "0"), 0, 6).cast(pa.float64())
    seconds = hour * 3600 + minute * 60 + second
    time = (seconds * 1e6 + micros.to_numpy(zero_copy_only=False)).astype(np.int64)
    dates: NDArray[np.datetime64] = days + time.astype("timedelta64[us]")
    dates[(hour > 23) | (minute > 59) | (second > 59)] = np.datetime64("NaT")
    return dates


def _offsets(zones: pa.Array) -> NDArray[np.timedelta64]:
    """timedelta64[us] of `Z`, `+02:00` and `-0330`."""
    plain = pc.replace_substring(zones, ":", "")
    minutes = np.zeros(len(zones), np.int64)
    for zone in pc.unique(plain).to_pylist():
        if zone not in ("Z", "UTC"):
            sign = -1 if zone[0] == "-" else 1
            here = pc.equal(plain, zone).to_numpy(zero_copy_only=False)
            minutes[here] = sign * (int(zone[1:3]) * 60 + int(zone[3:]))
    return (minutes * 60_000_000).astype("timedelta64[us]")
