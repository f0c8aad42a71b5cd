"""A table of numbers whose cells can be clicked, such as a confusion matrix, with a menu that saves it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dashboard.components.base import component_value, figure_menu, register_component
from seglib.query.export import csv_text

_matrix = register_component(
    "seglib_matrix",
    css=["figure_menu.css", "matrix.css"],
    js=["dom.js", "paper.js", "figure_menu.js", "matrix_picture.js", "matrix.js"],
)

_AXES = " \\ "
"""Separates what the rows are from what the columns are in the corner of a matrix."""


@dataclass(frozen=True, kw_only=True)
class MatrixCell:
    value: int
    text: str = ""
    """Displayed text; empty: the value itself."""
    tone: str = ""
    """`agrees`, `contradicts`, `differs` or empty."""
    level: float = 0.0
    """Strength of the tint, 0..1."""
    hint: str = ""
    chosen: bool | None = None
    """Whether its photos pass the matrix's own filter; None if the matrix filters nothing."""


def matrix(
    corner: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[MatrixCell]]],
    *,
    key: str,
    on_cell: Callable[[], None],
    table: str = "",
) -> None:
    """Draw a table of numbers; cells above 0 are buttons. `on_cell` is called after a click (see `read_cell`).

    `table`: its data as CSV (see `charts.tables.cells`); if empty, the values of its cells.
    """
    data = {
        "corner": corner,
        "columns": list(columns),
        "rows": [{"name": name, "cells": [vars(cell) for cell in cells]} for name, cells in rows],
        "menu": figure_menu() | {"table": table or _table_of_cells(corner, columns, rows)},
    }
    _matrix(key=key, data=data, on_cell_change=on_cell)


def _table_of_cells(corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[MatrixCell]]]) -> str:
    first, _, second = corner.partition(_AXES)
    return csv_text(
        {
            first or "row": [name for name, cells in rows for _ in cells],
            second or "column": [column for _, cells in rows for column, _ in zip(columns, cells, strict=True)],
            "number": [cell.value for _, cells in rows for cell in cells],
        }
    )


def read_cell(key: str, rows: int, columns: int) -> tuple[int, int] | None:
    """Return (row, column) of the cell clicked in the matrix `key` of this size, in a callback; None if it is
    malformed.
    """
    cell = component_value(key, "cell")
    try:
        row, column = int(cell["row"]), int(cell["column"])
    except (TypeError, KeyError, ValueError, OverflowError):
        return None
    return (row, column) if 0 <= row < rows and 0 <= column < columns else None
