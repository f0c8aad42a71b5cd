"""A choice of several values of a filter: buttons with counts, or a searchable list if there are many."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from dashboard.formatting import count, escape_markdown
from dashboard.state import session

MAX_PILLS = 6
"""With more choices than this, a searchable list replaces the buttons."""


def choose_values(
    key: str,
    label: str,
    values: Sequence[str],
    chosen: Sequence[str],
    photos_of: Mapping[str, int],
    *,
    name_of: Callable[[str], str],
    apply: Callable[[Any], None],
) -> None:
    """Draw the widget `key`; `name_of` returns plain text, `apply` takes the values chosen."""
    key = session.sync_widget(key, [*chosen])
    changed = session.widget_callback(key, apply)
    if len(values) <= MAX_PILLS:
        st.pills(
            label,
            values,
            selection_mode="multi",
            format_func=lambda value: escape_markdown(name_of(value)),
            key=key,
            on_change=changed,
        )
        _append_counts(key, [photos_of.get(value, 0) for value in values])
    else:
        st.multiselect(
            label,
            values,
            format_func=lambda value: f"{name_of(value)} · {count(photos_of.get(value, 0))}",
            key=key,
            placeholder="Any",
            on_change=changed,
        )


def _append_counts(key: str, numbers: Sequence[int]) -> None:
    """Write a number behind each button of the pills `key`.

    As generated content and not in the buttons' own texts, by which Streamlit recognises a button: a click would be
    lost while the texts change.
    """
    name = re.sub(r"[^\w-]", "-", key, flags=re.ASCII)  # as Streamlit names the class
    buttons = f".st-key-{name} [data-testid='stButtonGroup'] button"
    rules = (
        f"{buttons}:nth-of-type({place}) p::after {{ content: ' {count(number)}' }}"
        for place, number in enumerate(numbers, start=1)
    )
    st.html(f"<style>{' '.join(rules)}</style>")
