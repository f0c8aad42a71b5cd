"""A table of photos: one row per photo with its thumbnail, opened by a click or Enter and sorted by its headings.

Takes plain data and reports the visitor's actions through callbacks. The script inserts names as text, never as HTML.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from dashboard.components.base import as_image_id, component_value, register_component

_table = register_component("seglib_photo_table", css=["photos/table.css"], js=["dom.js", "photos/table.js"])


@dataclass(frozen=True, kw_only=True)
class TableColumn:
    title: str
    number: bool = False
    """Align the cells at the right."""
    hint: str = ""
    """Empty, or what the column means."""
    sortable: bool = False
    order: str = ""
    """`ascending` or `descending` if the rows are sorted by this column."""


@dataclass(frozen=True, kw_only=True)
class TableRow:
    """One photo; texts are shown as plain text."""

    id: str
    """Sent back by the browser when the row is opened."""
    href: str
    """URL of the photo's page."""
    photo: str | None
    """URL of the thumbnail."""
    mask: str | None
    """URL of the coloured mask drawn over it."""
    name: str
    alt: str
    cells: list[str]
    """One text per column."""
    warning: str
    """Empty, or why the photo deserves a look."""
    tags: list[str]


def photo_table(
    columns: Sequence[TableColumn],
    rows: Sequence[TableRow],
    *,
    name: str,
    opacity: float,
    key: str,
    on_open: Callable[[], None],
    on_sort: Callable[[], None],
) -> None:
    """Draw a table of photos, the first column being the photo itself.

    `name`: accessible name; `opacity`: of the masks, 0..1. `on_open` is called after a click on a row (see
    `read_opened_id`), `on_sort` after a click on the heading of a sortable column (see `read_sorted_column`).
    """
    data = {
        "name": name,
        "columns": [asdict(column) for column in columns],
        "rows": [asdict(row) for row in rows],
        "opacity": opacity,
    }
    _table(key=key, data=data, on_open_change=on_open, on_sort_change=on_sort)


def read_opened_id(key: str) -> str | None:
    """Return the id of the row clicked in the table `key`, in a callback."""
    return as_image_id(component_value(key, "open"))


def read_sorted_column(key: str, columns: int) -> int | None:
    """Return the number of the column whose heading was clicked, of this many; None if it is malformed."""
    column = component_value(key, "sort")
    return column if type(column) is int and 0 <= column < columns else None
