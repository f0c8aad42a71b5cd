"""The table of runs, with a menu in each row."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial

import streamlit as st

from dashboard.components.base import component_value, register_component

_table = register_component("seglib_run_table", css=["run_table.css"], js=["dom.js", "run_table.js"])


@dataclass(frozen=True, kw_only=True)
class RunAction:
    """An entry of a run's menu."""

    id: str
    label: str
    why_not: str = ""
    """Why it cannot be chosen, shown below its label; empty if it can."""
    hint: str = ""
    """What it does, shown below its label."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """A run as the table shows it; all texts are plain."""

    run: str
    title: str
    model: str
    size: str
    """Resize and precision."""
    photos: str
    datasets: str
    used: str
    """When it was last used, in the visitor's time."""
    speed: str
    disk: str
    state: str
    tone: str = ""
    """`running`, `partial`, `problem` or empty."""
    note: str = ""
    """A sentence about the state."""
    actions: Sequence[RunAction] = ()
    """The first one is also what a click on the title does."""


def run_table(rows: Sequence[RunRow], *, key: str) -> tuple[str, str] | None:
    """Draw the table; return the run and the action that was just chosen in it, once, if it can be chosen."""
    _table(key=key, data={"runs": [asdict(row) for row in rows]}, on_action_change=partial(_keep_action, key))
    return read_action(st.session_state.pop(_chosen(key), None), rows)


def _keep_action(key: str) -> None:
    """Callback: keep the choice until the script draws the table, which may then draw a dialog."""
    st.session_state[_chosen(key)] = component_value(key, "action")


def _chosen(key: str) -> str:
    return f"{key}:chosen"


def read_action(sent: object, rows: Sequence[RunRow]) -> tuple[str, str] | None:
    """Return the run and the action of a message, which comes from the browser; None if the table offers no such."""
    if not isinstance(sent, dict):
        return None
    for row in rows:
        for action in row.actions:
            if not action.why_not and (row.run, action.id) == (sent.get("run"), sent.get("action")):
                return row.run, action.id
    return None
