"""Files of columns that visitors bring: read and checked as they lie in the browser, before anything is added.

What was read is kept in the visitor's session until the file, its options or the store change.
"""

import hashlib
from dataclasses import dataclass

import streamlit as st

from dashboard.queries.source import error_message
from seglib.errors import SegError, UsageError
from seglib.store.own_columns import adding, reading
from seglib.store.own_columns.adding import ReadColumns
from seglib.store.own_columns.options import ColumnOptions
from seglib.store.store import Store

MAX_BYTES = 50_000_000
"""Maximum size of a file that a page takes; the command line takes larger ones."""

_OUTCOME = "_columns_outcome"


@dataclass(frozen=True)
class Outcome:
    """What became of reading a file."""

    key: str
    names: tuple[str, ...] = ()
    """Its columns, also if reading their values failed."""
    read: ReadColumns | None = None
    problem: str = ""
    """Why it cannot be added; empty if it can."""


def read_file(store: Store, version: str, name: str, data: bytes, options: ColumnOptions) -> Outcome:
    """Return what the file adds to the store in this version, or why it cannot."""
    digest = hashlib.sha256(data).hexdigest()
    key = repr((str(store.path), version, name, digest, options))
    known: Outcome | None = st.session_state.get(_OUTCOME)
    if known is None or known.key != key:
        known = _read(store, name, data, options, key)
        st.session_state[_OUTCOME] = known
    return known


def forget() -> None:
    """Forget what was read; usable in a callback."""
    st.session_state.pop(_OUTCOME, None)


def _read(store: Store, name: str, data: bytes, options: ColumnOptions, key: str) -> Outcome:
    names: tuple[str, ...] = ()
    try:
        if len(data) > MAX_BYTES:
            raise UsageError(
                f"The file has {len(data) / 1e6:.0f} MB, and this page takes {MAX_BYTES / 1e6:.0f} MB: use python -m "
                "seglib columns add on the server, or a Parquet file."
            )
        raw = reading.read_raw(data, options)
        names = tuple(raw.columns)
        return Outcome(key, names, adding.match_columns(store, raw, name, options))
    except SegError as error:
        return Outcome(key, names, problem=error_message(error))
