"""Layout elements shared by the pages: style, headings, chips, key figures, cards, captions.

All names are escaped before they become Markdown or HTML.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from dashboard.components.base import inside_card
from dashboard.formatting import escape_html, escape_markdown
from dashboard.state import session
from dashboard.state.view import describe_filter
from seglib.query.filters import Filters

PRODUCT = "Segmentation dashboard"

_STYLE = Path(__file__).parents[1] / "style.css"


def load_style() -> None:
    st.html(_STYLE)


def page_title(*parts: str) -> str:
    """Return the title of the browser's tab: `cat.41.jpg · Image · Segmentation dashboard`."""
    return " · ".join([*parts, PRODUCT])


def document_title(*parts: str) -> None:
    """Replace the title of the browser's tab by one with these parts."""
    st.set_page_config(page_title=page_title(*parts))


def failure_page(title: str, sentence: str, to: str = "") -> None:
    """Show why a page cannot be shown, or not completely, with a button to the page where that can be fixed."""
    if not session.heading_drawn():
        with heading(title):
            pass
    st.error(escape_markdown(sentence))
    if to:
        _page_button(to)


def empty_page(title: str, sentence: str, to: str) -> None:
    """Show an empty page with what to do next and a button to the page where it is done."""
    with heading(title):
        pass
    st.info(escape_markdown(sentence))
    _page_button(to)


def _page_button(to: str) -> None:
    st.button(f"Go to {to}", key="go", type="primary", on_click=session.open_page, args=(to, Filters()))


def show_notes(notes: Sequence[str]) -> None:
    """Show notes, such as which parts of a link were ignored, as a warning."""
    if notes:
        st.warning("  \n".join(escape_markdown(note) for note in notes))


@contextmanager
def heading(title: str) -> Iterator[None]:
    """Row with the page's title; elements drawn inside are placed to its right."""
    with st.container(horizontal=True, vertical_alignment="center", key="heading"):
        st.title(title, anchor=False, width="stretch")
        if note := session.partial_note():
            st.html(f"<p class='partial-note'>{escape_html(note)}</p>", width="content")
        session.mark_heading_drawn()
        yield


def chips(filters: Filters) -> None:
    """Draw one button per filter that removes it, and one that clears all.

    Without filters an invisible placeholder is kept: otherwise the first filter would shift all that follows in the
    page's tree, and the browser would rebuild it.
    """
    with st.container(horizontal=True, vertical_alignment="center", gap="small", key="chips"):
        for key, value in filters.items():
            st.button(
                f"{escape_markdown(describe_filter(key, value))} :material/close:",
                key=f"chip:{key}",
                help="Remove this filter",
                on_click=session.set_filters,
                args=(filters.replace(key, None),),
            )
        if filters:
            st.button("Clear all", key="clear", type="tertiary", on_click=session.set_filters, args=(Filters(),))


class KeyFigure(NamedTuple):
    """A number with a short label; what it means exactly is shown on hover or focus."""

    value: str
    label: str
    detail: str
    of: str = ""
    """The whole that the value is a part of: `of 513`."""


def key_figures(figures: Sequence[KeyFigure]) -> None:
    """Draw figures in one line, the first of them largest."""
    items = "".join(
        f"<div><dt>{escape_html(figure.label)}</dt><dd tabindex='0'><b>{escape_html(figure.value)}</b>"
        f"{f' {escape_html(figure.of)}' if figure.of else ''}"
        f"<span role='tooltip'>{escape_html(figure.detail)}</span></dd></div>"
        for figure in figures
    )
    st.html(f"<dl class='figures line'>{items}</dl>")


def facts(title: str, note: str, values: Sequence[tuple[str, str]]) -> None:
    """Draw a list entry: its title, and small figures aligned in columns across entries."""
    cells = "".join(f"<div><dd>{escape_html(value)}</dd><dt>{escape_html(word)}</dt></div>" for value, word in values)
    note_html = f"<span>{escape_html(note)}</span>" if note else ""
    st.html(f"<div class='facts'><h3>{escape_html(title)}{note_html}</h3><dl>{cells}</dl></div>")


def answer(sentence: str, notes: Sequence[str]) -> None:
    """Draw the sentence with which a page begins, and below it what it rests on."""
    small = "".join(f"<p>{escape_html(note)}</p>" for note in notes)
    text = escape_html(sentence).replace(" · ", "\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}")  # a run's label stays together
    st.html(f"<div class='answer'><p role='status'>{text}</p>{small}</div>")


def html_table(
    groups: Sequence[tuple[str, int]],
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    best: Collection[tuple[int, int]] = (),
) -> None:
    """Draw a small table whose first column holds row headers. `groups`: (title, column span) of header groups, or
    empty. `best`: (row, column), the first without its header, of cells in bold.
    """
    above = "".join(_head_cell("colgroup", title, wide) for title, wide in groups)
    below = "".join(_head_cell("col", title) for title in head)
    lines = "".join(
        f"<tr><th scope='row'>{escape_html(first)}</th>"
        + "".join(_table_cell(text, strong=(row, column) in best) for column, text in enumerate(rest))
        + "</tr>"
        for row, (first, *rest) in enumerate(rows)
    )
    tops = "".join(f"<tr>{cells}</tr>" for cells in (above, below) if cells)
    name = escape_html(f"Table: {', '.join(filter(None, head)) or 'figures'}")
    table = f"<table><thead>{tops}</thead><tbody>{lines}</tbody></table>"
    st.html(f"<div class='grid' tabindex='0' role='group' aria-label='{name}'>{table}</div>")  # it may scroll sideways


def _head_cell(scope: str, title: str, columns: int = 1) -> str:
    """Return a header cell; one without a title is no header."""
    if not title:
        return f"<td colspan='{columns}'></td>"
    return f"<th scope='{scope}' colspan='{columns}'>{escape_html(title)}</th>"


def _table_cell(text: str, *, strong: bool) -> str:
    text = escape_html(text)
    return f"<td><strong>{text}</strong></td>" if strong else f"<td>{text}</td>"


@contextmanager
def card(title: str, note: str = "", *, stretch: bool = True) -> Iterator[None]:
    """Framed section with a title and, below it, a note; pictures of its charts have both."""
    with st.container(border=True, height="stretch" if stretch else "content"), inside_card(title, note):
        note_html = f"<p class='card-note'>{escape_html(note)}</p>" if note else ""
        st.html(f"<h2 class='card-title'>{escape_html(title)}</h2>{note_html}")
        yield


def card_rows(key: str) -> DeltaGenerator:
    """Return the place of `st.columns` that hold cards; the style lets fewer stand side by side on a narrow page."""
    return st.container(key=f"cards-{key}")


def download_link(title: str, url: str) -> None:
    """Draw a button that downloads a URL of this server."""
    st.html(f"<a class='download' href='{escape_html(url)}' download>{escape_html(title)}</a>")


def remark(text: str) -> None:
    st.caption(escape_markdown(text))


def remarks(texts: Sequence[str]) -> None:
    """Draw several captions, one per line; nothing if there are none."""
    if texts:
        st.caption("  \n".join(escape_markdown(text) for text in texts))


@contextmanager
def entry(key: str, gap: Literal["small", "xsmall"] = "small") -> Iterator[DeltaGenerator]:
    """Row of a list: yields the place of its text; buttons that are drawn within lie at the right."""
    with st.container(horizontal=True, vertical_alignment="center", key=key):
        yield st.container(width="stretch", gap=gap)


def entry_title(text: str) -> None:
    """Draw the name of a list entry."""
    st.markdown(f"**{escape_markdown(text)}**")
