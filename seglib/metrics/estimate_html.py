"""Figures with their intervals as an HTML table, as a notebook shows them."""

import html
from collections.abc import Iterable, Mapping

from seglib.metrics.bootstrap import Estimate, Interval


def to_html(title: str, rows: Iterable[tuple[str, Mapping[str, Estimate]]], notes: Iterable[str] = ()) -> str:
    """One row per (name, figures), one column per figure that every row has; shares (0..1) in per cent."""
    named = list(rows)
    figures = [name for name in (named[0][1] if named else {}) if all(name in row for _, row in named)]
    head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", *figures))
    body = "".join(
        f"<tr><th>{html.escape(name)}</th>{''.join(f'<td>{_write(row[figure])}</td>' for figure in figures)}</tr>"
        for name, row in named
    )
    said = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<p>{html.escape(title)}</p><table><tr>{head}</tr>{body}</table>{said}"


def _write(estimate: Estimate) -> str:
    if estimate.value is None:
        return "undefined"
    interval = f"<br><small>{_write_interval(estimate.interval)}</small>" if estimate.interval else ""
    return f"{_per_cent(estimate.value)}{interval}"


def _write_interval(interval: Interval) -> str:
    low, high = interval
    return f"[{_per_cent(low)}, {_per_cent(high)}]"


def _per_cent(share: float) -> str:
    return f"{100 * share:.2f} %"
