"""The table of Explore: one page of the selected photos, with their figures and a column per class seen on the page.

Takes a `Selection` and the rows of one page, whatever the number of selected photos.
"""

from dataclasses import dataclass
from functools import partial

import pandas as pd

from dashboard.components.photos import table as table_component
from dashboard.components.photos.table import TableColumn, TableRow
from dashboard.formatting import DASH, count, display_name, percent, score
from dashboard.queries import photos as photo_queries
from dashboard.queries.own_columns.values import column_texts, split_columns
from dashboard.queries.photos import Selection
from dashboard.state import session
from dashboard.state.own_columns import TYPE_WORDS
from dashboard.views.shared import controls
from dashboard.views.shared.tiles import make_tiles
from seglib.classes import BACKGROUND, PRESENT_SHARE
from seglib.query.columns import class_share, classes_of
from seglib.query.fields import Kind
from seglib.store.content import NO_CONTENT

KEY = "table"

MAX_CLASSES = 12
"""Maximum number of class columns: the classes of this page that are present in most photos of the run."""

MAX_OWN_COLUMNS = 12

_MEASURES = {
    "confidence": ("Confidence", "Mean winning probability of the pixels, 0 to 1"),
    "entropy": ("Entropy", "Mean over pixels, 0 to 1"),
    "low_margin": ("Undecided pixels", "Share of pixels whose two best classes are close"),
}


@dataclass(frozen=True)
class _Column:
    """A column of the table, its texts, and the two orders between which its heading switches."""

    title: str
    texts: list[str]
    orders: tuple[str, ...] = ()
    focus: str = ""
    """The class that the orders refer to."""
    number: bool = False
    hint: str = ""

    def heading(self, selection: Selection) -> TableColumn:
        view = selection.view
        sorted_by = view.sort in self.orders and self.focus in ("", selection.focus)
        return TableColumn(
            title=self.title,
            number=self.number,
            hint=self.hint,
            sortable=bool(self.orders),
            order=("descending" if view.sort.startswith("-") else "ascending") if sorted_by else "",
        )


def photo_table(selection: Selection, rows: pd.DataFrame, total: int) -> None:
    """Draw one page of `total` photos."""
    columns = _columns(selection, rows)
    link = controls.image_link(selection.view)
    tiles = make_tiles(rows, selection.store, selection.run.run, selection.view.palette, link=link)
    cells = list(zip(*(column.texts for column in columns), strict=True))
    table_component.photo_table(
        [column.heading(selection) for column in columns],
        [
            TableRow(
                id=tile.id,
                href=tile.href,
                photo=tile.photo,
                mask=tile.mask if selection.view.overlay else None,
                name=tile.name,
                alt=tile.alt,
                cells=list(texts),
                warning=tile.warning,
                tags=tile.tags,
            )
            for tile, texts in zip(tiles, cells, strict=True)
        ],
        name=f"{count(len(rows))} of {count(total)} photos",
        opacity=selection.view.opacity / 100,
        key=KEY,
        on_open=_open,
        on_sort=partial(_sort, columns),
    )


def _columns(selection: Selection, rows: pd.DataFrame) -> list[_Column]:
    shown = [_Column("Data set", rows["dataset"].astype("str").tolist())]
    shown.append(_Column("Folder", _names(rows["label"])))
    if rows["split"].notna().any():
        shown.append(_Column("Split", _names(rows["split"])))
    contents = ["nothing seen" if name == NO_CONTENT else name for name in _names(rows["content"])]
    shown.append(_Column("Content", contents, hint="The class with most pixels, of those that folders name"))
    shown += _own_columns(selection, rows)
    for key, (title, hint) in _MEASURES.items():
        if key == "confidence" or selection.view.sort.removeprefix("-") == key:
            write = percent if key == "low_margin" else score
            texts = [write(None if pd.isna(value) else float(value)) for value in rows[key]]
            shown.append(_Column(title, texts, (key, f"-{key}"), number=True, hint=hint))
    for name in _page_classes(selection, rows):
        texts = [percent(float(share)) for share in class_share(rows, name)]
        shown.append(_Column(name, texts, ("-share", "share"), name, number=True, hint=f"Share of the photo: {name}"))
    sizes = [f"{count(int(w))} × {count(int(h))}" for w, h in zip(rows["width"], rows["height"], strict=True)]
    return [*shown, _Column("Pixels", sizes, number=True)]


def _own_columns(selection: Selection, rows: pd.DataFrame) -> list[_Column]:
    """Return the first own columns, and before them those and the measures that photos are sorted or filtered by."""
    in_use = {*selection.view.filters, selection.view.sort.removeprefix("-")}
    own, measures = split_columns(selection.source)
    fields = [field for field in (*own, *measures) if field.name in in_use]
    fields += [field for field in own if field.name not in in_use]
    return [
        _Column(
            field.label,
            column_texts(rows, field),
            (field.name, f"-{field.name}"),
            number=field.kind in (Kind.NUMBER, Kind.INTEGER, Kind.DATE),
            hint=f"{'Your column' if field in own else 'Measured from the photo'}: {TYPE_WORDS[field.kind]}",
        )
        for field in fields[:MAX_OWN_COLUMNS]
    ]


def _names(column: pd.Series) -> list[str]:
    return [DASH if pd.isna(value) else display_name(str(value)) for value in column]


def _page_classes(selection: Selection, rows: pd.DataFrame) -> list[str]:
    """Return the class in focus and the classes present on this page, those of most photos of the run first."""
    photos_of = photo_queries.options(selection.source, "present")
    present = [
        name
        for name in classes_of(rows)
        if name != BACKGROUND and (name == selection.focus or (class_share(rows, name) >= PRESENT_SHARE).any())
    ]
    return sorted(present, key=lambda name: (name != selection.focus, -photos_of.get(name, 0)))[:MAX_CLASSES]


def _sort(columns: list[_Column]) -> None:
    """Callback: sort by the column whose heading was clicked; a second click reverses the order."""
    at = table_component.read_sorted_column(KEY, len(columns))
    if at is None or not (orders := columns[at].orders):
        return
    view, focus = session.view(), columns[at].focus
    again = view.sort == orders[0] and focus in ("", view.focus)
    parts = {"focus": focus} if focus else {}
    session.update_from_first_page(sort=orders[1] if again else orders[0], **parts)


def _open() -> None:
    if image_id := table_component.read_opened_id(KEY):
        session.open_photo(image_id, origin="")
