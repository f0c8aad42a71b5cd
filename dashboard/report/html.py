"""HTML building blocks of a report: headings, figures, tables with bars, matrices, scatter plots, image stacks.

Takes text and numbers and returns HTML as text with all names escaped. The output uses no scripts and loads nothing:
charts are tables with bars or SVG, and images are data URIs.
"""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboard.formatting import DASH, escape_html

_STYLE = Path(__file__).with_name("report.css")
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Content Security Policy: allows only embedded images and inline styles, whatever a name tries to inject."""

_LONG_TEXT = 18
"""Length in characters from which a bar's label gets a wider slot, so that the bars of a column stay aligned."""


@dataclass(frozen=True)
class SafeHtml:
    """Text that is already HTML and must not be escaped."""

    text: str


TableCell = str | SafeHtml


def page(title: str, body: Sequence[str]) -> bytes:
    head = (
        '<meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{escape_html(title)}</title><style>{_STYLE.read_text('utf-8')}</style>"
    )
    text = "\n".join(body)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body><main>\n{text}\n</main></body></html>\n'.encode()


def header(title: str, answers: Sequence[str], notes: Sequence[str]) -> str:
    together = [escape_html(sentence).replace(" · ", "\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}") for sentence in answers]
    sentences = "".join(f"<p class='answer'>{sentence}</p>" for sentence in together)
    return f"<header><h1>{escape_html(title)}</h1>{sentences}{remarks(notes)}</header>"


def section(title: str, note: str, *parts: str) -> str:
    note_html = f"<p class='note'>{escape_html(note)}</p>" if note else ""
    return f"<section><h2>{escape_html(title)}</h2>{note_html}{''.join(parts)}</section>"


def subtitle(text: str) -> str:
    return f"<h3>{escape_html(text)}</h3>"


def remarks(texts: Sequence[str]) -> str:
    return "".join(f"<p class='note'>{escape_html(text)}</p>" for text in texts)


def key_numbers(values: Sequence[tuple[str, str, str]]) -> str:
    """Render large numbers from (value, meaning, interval or n)."""
    cards = "".join(
        f"<div><dt>{escape_html(meaning)}<span>{escape_html(note)}</span></dt><dd>{escape_html(value)}</dd></div>"
        for value, meaning, note in values
    )
    return f"<dl class='figures'>{cards}</dl>"


def bar(share: float | None, text: str, colour: str = "", *, pale: float | None = None) -> SafeHtml:
    """Render a bar for a share (0..1) and its label; `pale` is the share of a second bar behind it."""
    if share is None:
        return SafeHtml(f"<span class='none'>{DASH}</span>")
    behind = f"<i class='pale' style='width:{_width(pale)}'></i>" if pale is not None else ""
    tint = f"--c:{colour};" if colour else ""
    marks = f"{behind}<i style='width:{_width(share)}'></i>"
    long = " long" if len(text) > _LONG_TEXT else ""
    return SafeHtml(f"<span class='bar{long}' style='{tint}'><b>{marks}</b><em>{escape_html(text)}</em></span>")


def _width(share: float | None) -> str:
    return f"{100 * min(1.0, max(0.0, share or 0.0)):.1f}%"


def table(head: Sequence[str], rows: Sequence[Sequence[TableCell]], *, caption: str = "", wide: bool = False) -> str:
    """Render a table whose first column holds the row headers."""
    columns = "".join(f"<th scope='col'>{escape_html(title)}</th>" if title else "<td></td>" for title in head)
    lines = "".join(
        f"<tr><th scope='row'>{_cell(first)}</th>{''.join(f'<td>{_cell(one)}</td>' for one in rest)}</tr>"
        for first, *rest in rows
    )
    named = f"<caption>{escape_html(caption)}</caption>" if caption else ""
    kind = "frame wide" if wide else "frame"
    top = f"<thead><tr>{columns}</tr></thead>" if any(head) else ""
    table_ = f"<table>{named}{top}<tbody>{lines}</tbody></table>"
    return (
        f"<div class='{kind}' tabindex='0' role='region' aria-label='{escape_html(caption or head[-1])}'>{table_}</div>"
    )


def matrix(
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, float, str]]]],
    *,
    caption: str,
) -> str:
    """Render a matrix with (text, strength 0..1, tone) per cell; tone is `agrees`, `differs` or empty."""
    body: list[list[TableCell]] = [[name, *(SafeHtml(_tinted_cell(*one)) for one in cells)] for name, cells in rows]
    return table([corner, *columns], body, caption=caption).replace("class='frame", "class='matrix frame", 1)


def _tinted_cell(text: str, level: float, tone: str) -> str:
    return f"<span class='cell {tone}' style='--level:{_width(level)}'>{escape_html(text)}</span>"


def _cell(cell: TableCell) -> str:
    return cell.text if isinstance(cell, SafeHtml) else escape_html(cell)


def strong(text: str) -> SafeHtml:
    return SafeHtml(f"<strong>{escape_html(text)}</strong>")


def scatter(points: Sequence[tuple[str, float, float, str]], x_title: str, y_title: str) -> str:
    """Plot (name, x, share y, description of both) as numbered dots with a key; the x axis starts at 0."""
    width, height, left, bottom = 560, 270, 78, 44
    x_ticks = nice_ticks(0.0, max(x for _, x, _, _ in points))
    y_ticks = nice_ticks(min(y for _, _, y, _ in points), max(y for _, _, y, _ in points))
    low, high, largest = y_ticks[0], y_ticks[-1], x_ticks[-1]

    def to_pixels(x: float, y: float) -> tuple[float, float]:
        across = left + (width - left - 22) * x / largest
        return across, height - bottom - (height - bottom - 16) * (y - low) / (high - low)

    parts = []
    for y in y_ticks:
        (x0, up), (x1, _) = to_pixels(0, y), to_pixels(largest, y)
        parts.append(f"<path class='grid' d='M{x0:.1f} {up:.1f}H{x1:.1f}'/>")
        text = f"{y * 100:.{_decimals(y_ticks, 100)}f}\N{NO-BREAK SPACE}%"
        parts.append(f"<text x='{x0 - 6:.1f}' y='{up + 4:.1f}' text-anchor='end'>{text}</text>")
    for x in x_ticks:
        across, down = to_pixels(x, low)
        label = f"{x:,.{_decimals(x_ticks)}f}"
        parts.append(f"<text x='{across:.1f}' y='{down + 17:.1f}' text-anchor='middle'>{label}</text>")
    for number, (name, x, y, words) in enumerate(points, 1):
        across, up = to_pixels(x, y)
        mark = f"<circle cx='{across:.1f}' cy='{up:.1f}' r='8'/>"
        text = f"<text class='mark' x='{across:.1f}' y='{up + 4:.1f}' text-anchor='middle'>{number}</text>"
        parts.append(f"<g><title>{escape_html(f'{name}: {words}')}</title>{mark}{text}</g>")
    titles = (
        f"<text x='{(left + width) / 2:.0f}' y='{height - 6}' text-anchor='middle'>{escape_html(x_title)}</text>"
        f"<text transform='translate(13 {(height - bottom) / 2:.0f}) rotate(-90)' text-anchor='middle'>"
        f"{escape_html(y_title)}</text>"
    )
    description = escape_html("; ".join(f"{name}: {words}" for name, _, _, words in points))
    drawing = (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{description}'>{''.join(parts)}{titles}</svg>"
    )
    listed = "".join(f"<li>{escape_html(name)} <span>{escape_html(words)}</span></li>" for name, _, _, words in points)
    return f"<figure class='scatter'>{drawing}<figcaption><ol>{listed}</ol></figcaption></figure>"


def nice_ticks(low: float, high: float) -> list[float]:
    """Return two to seven ticks at 1, 2 or 5 times a power of ten that enclose these values."""
    span = max(high - low, abs(high) / 100, 0.001)
    power = 10.0 ** math.floor(math.log10(span / 4))
    step = next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [round(place * step, 12) for place in range(first, last + 1)]


def _decimals(ticks: Sequence[float], factor: float = 1) -> int:
    """Return the decimals that ticks need which are written `factor` times as large."""
    return max(0, -math.floor(math.log10((ticks[1] - ticks[0]) * factor) + 1e-9))


@dataclass(frozen=True)
class ReportTile:
    layers: Sequence[tuple[str, bytes]]
    """(media type, bytes) of the stacked images, bottom layer first."""
    aspect: float
    """Width divided by height."""
    alt: str
    title: str
    lines: Sequence[str]


def tiles(tiles_: Sequence[ReportTile]) -> str:
    return f"<div class='tiles'>{''.join(map(_tile, tiles_))}</div>"


def _tile(tile: ReportTile) -> str:
    addresses = [f"data:{kind};base64,{base64.b64encode(data).decode()}" for kind, data in tile.layers]
    alts = [escape_html(tile.alt), *[""] * len(addresses)]
    pictures = "".join(f"<img alt='{alt}' src='{address}'>" for alt, address in zip(alts, addresses, strict=False))
    lines = "".join(f"<span>{escape_html(line)}</span>" for line in tile.lines)
    return (
        f"<figure class='tile'><div style='aspect-ratio:{tile.aspect:.4f}'>{pictures}</div>"
        f"<figcaption><strong>{escape_html(tile.title)}</strong>{lines}</figcaption></figure>"
    )


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Render a legend from (name, colour) pairs."""
    marks = "".join(f"<li><i style='background:{colour}'></i>{escape_html(name)}</li>" for name, colour in entries)
    return f"<ul class='legend'>{marks}</ul>"
