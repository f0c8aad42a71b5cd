"""The data behind a chart or a matrix as CSV: tidy columns with their units, numbers as they are, names as they are.

A figure carries its table as `layout.meta`, from which the browser offers it as a file (`components/figure_menu.js`).
"""

import html
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard.formatting import percent
from seglib.classes import PRESENT_SHARE
from seglib.metrics.bootstrap import Estimate
from seglib.query.export import csv_text

UNIT = "(0 to 1)"
_TAG = re.compile(r"<[^>]*>")
_INTERVAL = ("95 % interval from", "95 % interval to")


def class_distribution(rows: pd.DataFrame) -> str:
    """In: rows of `query.class_distribution`."""
    present = f"photos with at least {percent(PRESENT_SHARE)} of it".replace("\N{NO-BREAK SPACE}", " ")
    return csv_text(
        {
            "class": _names(rows.index),
            f"mean share {UNIT}": rows["mean_share"].tolist(),
            present: rows["present"].tolist(),
            f"share of photos {UNIT}": rows["presence"].tolist(),
            "photos": rows["n"].tolist(),
        }
    )


def share_by_label(parts: Mapping[str, "pd.Series[float]"], photos: "pd.Series[int]") -> str:
    """In: class -> mean share per folder label, and the number of photos per folder label."""
    labels = _names(photos.index)
    return csv_text(
        {
            "folder": labels * len(parts),
            "class": [name for name in parts for _ in labels],
            f"mean share {UNIT}": [share for part in parts.values() for share in part.tolist()],
            "photos": photos.tolist() * len(parts),
        }
    )


def share_spread(spread: pd.DataFrame) -> str:
    """In: the frame of `query.share_spread_by_label`."""
    quantiles = {"low": "5 %", "q1": "25 %", "median": "median", "q3": "75 %", "high": "95 %", "mean": "mean"}
    return csv_text(
        {
            "folder": _names(spread.index),
            **{f"share: {name} {UNIT}": spread[column].tolist() for column, name in quantiles.items()},
            "photos": spread["n"].tolist(),
        }
    )


def histogram(bins: pd.DataFrame, key: str) -> str:
    """In: the frame of `query.histogram` and the filter that it is of. A bin holds its lower end; the last one both."""
    return csv_text({**_range(key, bins["low"], bins["high"]), "photos": bins["count"].tolist()})


def regions(counts: pd.DataFrame) -> str:
    """In: the frame of `query.blob_counts`. The last number of regions has no upper end."""
    numbers, last = counts.index.tolist(), int(counts.index[-1])
    return csv_text(
        {
            "class": [str(name) for name in counts.columns for _ in numbers],
            "regions from": numbers * len(counts.columns),
            "regions to": [None if number == last else number for number in numbers] * len(counts.columns),
            "photos": [number for name in counts.columns for number in counts[name].tolist()],
        }
    )


def squares(frame: pd.DataFrame, keys: tuple[str, str]) -> str:
    """In: the frame of `query.density` or `query.image_sizes`, and the filters of its two axes."""
    x, y = keys
    return csv_text(
        {
            **_range(x, frame["x_low"], frame["x_high"]),
            **_range(y, frame["y_low"], frame["y_high"]),
            "photos": frame["count"].tolist(),
        }
    )


def compared_shares(frame: pd.DataFrame, name: str) -> str:
    """In: the frame of `comparison_stats.shares`: photos, or squares of photos."""
    if "x" in frame:
        shares = {f"share of {name} in {run} {UNIT}": frame[axis].tolist() for run, axis in (("A", "x"), ("B", "y"))}
        return csv_text({"path": frame["path"].tolist(), **shares})
    return csv_text(
        {
            **_ends(f"share of {name} in A", frame["x_low"], frame["x_high"], UNIT),
            **_ends(f"share of {name} in B", frame["y_low"], frame["y_high"], UNIT),
            "photos": frame["count"].tolist(),
        }
    )


def estimates(title: str, names: Sequence[str], quantity: str, figures: Sequence[Estimate], **more: Any) -> str:
    """One row per figure over all pixels, with its interval; `title` says what the names are, `more` are columns."""
    return csv_text(
        {
            title: list(names),
            **more,
            quantity: [figure.value for figure in figures],
            **{
                end: [figure.interval[place] if figure.interval else None for figure in figures]
                for place, end in enumerate(_INTERVAL)
            },
        }
    )


def series(
    titles: tuple[str, str], names: Sequence[str], figures: Mapping[str, Sequence[Estimate]], quantity: str
) -> str:
    """One row per series and name, with its interval. `titles`: what the names and what the series are."""
    named = {titles[1]: [title for title in figures for _ in names]}
    every = [figure for of_series in figures.values() for figure in of_series]
    return estimates(titles[0], [*names] * len(figures), f"{quantity} {UNIT}", every, **named)


def reliability(bins: pd.DataFrame, unit: str) -> str:
    """In: the bins of a calibration curve that hold anything; `unit` is what they count."""
    ends = _ends("confidence", bins["low"], bins["high"], UNIT)
    confidence, accuracy = bins["confidence"].tolist(), bins["accuracy"].tolist()
    means = {f"mean confidence {UNIT}": confidence, f"accuracy {UNIT}": accuracy}
    return csv_text({**ends, **means, unit: [int(number) for number in bins["n"]]})


def cells(titles: tuple[str, str], quantities: Mapping[str, pd.DataFrame]) -> str:
    """One row per cell of a matrix. `titles`: what rows and columns are; `quantities`: name -> the matrix of it."""
    first = next(iter(quantities.values()))
    return csv_text(
        {
            titles[0]: [name for name in _names(first.index) for _ in first.columns],
            titles[1]: _names(first.columns) * len(first),
            **{name: frame.to_numpy().ravel().tolist() for name, frame in quantities.items()},
        }
    )


def traces(shown: Sequence[Mapping[str, Any]], x_title: str, y_title: str) -> str:
    """The values of a chart that brings no table of its own: one row per mark, with its interval if it has one."""
    columns: dict[str, list[object]] = {"series": [], x_title or "x": [], (y_title or "y"): []}
    if x_title == y_title:
        columns = {"series": [], "x": [], "y": []}
    lows, highs = [], []
    for trace in shown:
        bar = trace.get("error_x") or trace.get("error_y") or {}
        values = list(trace.get("x" if "error_x" in trace else "y", ()))
        for place, (x, y) in enumerate(zip(trace.get("x", ()), trace.get("y", ()), strict=False)):
            row = (html.unescape(str(trace.get("name", ""))), _plain(x), _plain(y))
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            lows.append(values[place] - bar["arrayminus"][place] if "arrayminus" in bar else None)
            highs.append(values[place] + bar["array"][place] if "array" in bar else None)
    if not any(columns["series"]):
        del columns["series"]
    if any(low is not None for low in lows):
        columns |= dict(zip(_INTERVAL, (lows, highs), strict=True))
    return csv_text(columns)


def _plain(value: Any) -> object:
    """Return a value without the tags of bold text and line breaks; the signs of names are escaped."""
    return html.unescape(_TAG.sub(" ", value)).strip() if isinstance(value, str) else value


def _range(key: str, low: "pd.Series[float]", high: "pd.Series[float]") -> dict[str, Sequence[object]]:
    """The columns of a range of the filter `key`."""
    kind, _, name = key.partition(".")
    if kind in ("width", "height"):
        return _ends(kind, low, high, "(px)")
    return _ends(f"{kind} of {name}" if name else kind.replace("_", " "), low, high, UNIT)


def _ends(title: str, low: "pd.Series[float]", high: "pd.Series[float]", unit: str) -> dict[str, Sequence[object]]:
    return {f"{title} from {unit}": low.tolist(), f"{title} to {unit}": high.tolist()}


def _names(index: "pd.Index[Any]") -> list[str]:
    return [str(name) for name in index]
