"""Form that adds the columns of a file: it is read at once, shown with its types and matches, and added by a click."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import count, escape_markdown, photo_count, pluralize, user_message
from dashboard.queries.own_columns import files
from dashboard.queries.own_columns.files import Outcome
from dashboard.queries.source import error_message
from dashboard.state import session
from seglib.errors import SegError
from seglib.store.own_columns import adding
from seglib.store.own_columns.adding import ColumnsReport, ReadColumns
from seglib.store.own_columns.options import AUTO, DAY_ORDERS, DECIMALS, KEYS, TYPE_WORDS, ColumnOptions, ColumnType
from seglib.store.store import Store

_ROUND, _ADDED = "columns:round", "columns:added"
_SUFFIXES = ["csv", "tsv", "txt", "parquet"]
_AUTOMATIC = "automatic"
_KEY_NAMES = {"path": "path", "stem": "file name", "image_id": "image_id"}
_SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_ENCODINGS = ("utf-8", "cp1252", "latin-1", "mac-roman", "shift_jis", "gb18030")
_MOST_ROWS = 30
"""Of the preview; the others are counted."""


def show_added() -> None:
    """Say what was added by the last click."""
    if added := st.session_state.pop(_ADDED, ""):
        st.success(escape_markdown(added))


def render(store: Store, version: str, *, expanded: bool) -> None:
    number = st.session_state.setdefault(_ROUND, 0)
    with st.expander("Add columns from a file", expanded=expanded, key=f"columns:form:{number}"):
        file = st.file_uploader(
            f"CSV or Parquet with a header and a row for each photo, up to {files.MAX_BYTES / 1e6:.0f} MB",
            type=_SUFFIXES,
            key=f"columns:file:{number}",
            help="One column names the photos: path below the dataset's folder, file name, or image_id.",
        )
        if file is None:
            files.forget()
            return
        place = st.empty()  # above the options, which what is read depends on
        with st.expander("How it is read", key=f"columns:options:{number}"):
            options, names_place = _options(store, number), st.container()
        with st.spinner("Reading the file"):
            outcome = files.read_file(store, version, file.name, file.getvalue(), _with_names(options, number))
        with names_place:
            _choose_columns(outcome.names, number)
        with place.container():
            _show(store, outcome)


def _options(store: Store, number: int) -> ColumnOptions:
    """Draw the options that say how a file is read."""
    datasets = [dataset.name for dataset in store.datasets()]
    with st.container(horizontal=True):  # in one line where there is enough width
        key = _choice("Key", KEYS, number, names=_KEY_NAMES) or AUTO
        dataset = _choice("Dataset", datasets, number, none="all") if len(datasets) > 1 else None
        dates = _choice("Dates", DAY_ORDERS, number)
        decimal = _choice("Decimal", DECIMALS, number)
        separator = _choice("Separator", list(_SEPARATORS), number, names=_SEPARATORS)
        encoding = _choice("Encoding", _ENCODINGS, number)
    missing = st.text_input(
        "Missing",
        help="Words that stand for no value, with commas between them",
        max_chars=200,
        key=f"columns:m:{number}",
    )
    words = tuple(word.strip() for word in missing.split(",") if word.strip())
    return ColumnOptions(
        key=key, dataset=dataset, dates=dates, decimal=decimal, separator=separator, encoding=encoding, missing=words
    )


def _choice(
    label: str, values: Sequence[str], number: int, *, names: Mapping[str, str] | None = None, none: str = _AUTOMATIC
) -> str | None:
    """Draw a drop-down whose first entry leaves the choice to the file."""
    named = names or {}
    chosen: str = st.selectbox(
        label,
        ("", *values),
        format_func=lambda one: named.get(one, one) or none,
        key=f"columns:{label.lower()}:{number}",
        width=150,
    )
    return chosen or None


def _with_names(options: ColumnOptions, number: int) -> ColumnOptions:
    """Add what was chosen among the columns of the file, whose names are known only once it was read."""
    chosen = {
        part: tuple(st.session_state.get(f"columns:take:{part}:{number}", ())) for part in ("columns", "text", "names")
    }
    types = dict.fromkeys(chosen["text"], str(ColumnType.TEXT)) | dict.fromkeys(
        chosen["names"], str(ColumnType.CATEGORY)
    )
    key_column = st.session_state.get(f"columns:take:key:{number}") or None
    return replace(options, columns=chosen["columns"], types=types, key_column=key_column)


def _choose_columns(names: Sequence[str], number: int) -> None:
    if not names:
        return
    left, right = st.columns(2)
    with left:
        st.selectbox(
            "Key column", ("", *names), format_func=lambda one: one or _AUTOMATIC, key=f"columns:take:key:{number}"
        )
        st.multiselect("Columns", names, key=f"columns:take:columns:{number}", placeholder="all")
    with right:
        st.multiselect("As text", names, key=f"columns:take:text:{number}", placeholder="none")
        st.multiselect("As categories", names, key=f"columns:take:names:{number}", placeholder="none")


def _show(store: Store, outcome: Outcome) -> None:
    """Show what was read, with a button that adds it, or why it cannot be added."""
    if outcome.read is None:
        st.error(escape_markdown(outcome.problem))
        return
    report = outcome.read.report
    layout.remarks([_describe_match(report), *map(user_message, report.notes)])
    layout.html_table(
        [],
        ["column", "values", "different", "photos", "for example"],
        [
            [
                f"{one.name} (replaced)" if one.was_known else one.name,
                TYPE_WORDS[one.type],
                count(one.distinct),
                count(one.photos),
                ", ".join(one.examples),
            ]
            for one in report.columns[:_MOST_ROWS]
        ],
    )
    if len(report.columns) > _MOST_ROWS:
        layout.remark(f"and {count(len(report.columns) - _MOST_ROWS)} more columns")
    st.button(
        f"Add {pluralize(len(report.columns), 'column')} to {photo_count(report.photos)}",
        type="primary",
        key="columns:add",
        on_click=_add,
        args=(store, outcome.read),
    )


def _describe_match(report: ColumnsReport) -> str:
    text = (
        f"{pluralize(report.rows, 'row')} about {photo_count(report.photos)}, found by {_KEY_NAMES[report.key]} in the "
        f"column {report.key_column}."
    )
    if report.unmatched:
        examples = ", ".join(name or "an empty cell" for name in report.unmatched_examples)
        text += f" {pluralize(report.unmatched, 'row')} fit no photo and are left out: {examples}"
        text += " …" if report.unmatched > len(report.unmatched_examples) else "."
    return text


def _add(store: Store, read: ReadColumns) -> None:
    try:
        report = adding.keep_columns(store, read)
    except SegError as error:
        session.add_notes([error_message(error)])
        return
    except OSError as error:
        session.add_notes([f"The store cannot be written ({error.strerror}): nothing was added."])
        return
    st.session_state[_ROUND] += 1
    files.forget()
    st.session_state[_ADDED] = (
        f"{pluralize(len(report.columns), 'column')} of {photo_count(report.photos)} added: they are filters in the "
        "sidebar, under Your columns."
    )
