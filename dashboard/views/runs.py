"""Runs: what networks have been run over which photos, in this store.

In: the server's settings. Out: the page; it needs no run, and no store.
"""

from typing import Any

import streamlit as st

from dashboard import data, session, ui
from dashboard.formats import NOTHING, count, moment
from dashboard.settings import Settings
from seglib.dataset import STORE_MARKER
from seglib.query import Filters
from seglib.store import Run, Store

TITLE = "Runs"
EXPLORE = "Explore"


def render(settings: Settings) -> None:
    there = (settings.store / STORE_MARKER).is_file()
    found = data.stored(settings.store) if there else None
    with ui.heading(TITLE):
        pass
    if found is None:
        st.info("There is no store yet: the first run makes it.")
        return
    store, _, runs = found
    if not runs:
        st.info("This store holds no run yet.")
    for run in reversed(runs):
        _run(store, run)


def _run(store: Store, run: Run) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"run:{run.run}"):
        with st.container(width="stretch"):
            ui.facts(f"{run.model} · {run.resize}", run.run, _facts(store, run))
        st.button("Explore", key=f"explore:{run.run}", on_click=_explore, args=(run.run,))


def _facts(store: Store, run: Run) -> list[tuple[str, str]]:
    last: dict[str, Any] = run.invocations[-1] if run.invocations else {}
    speeds = [i["computed"] / i["seconds"] for i in run.invocations if i["computed"] and i["seconds"]]
    return [
        (count(store.row_count(run)), "photos"),
        (count(last["failed"]) if last else NOTHING, "unreadable files, last time"),
        (f"{speeds[-1]:.1f}" if speeds else NOTHING, f"photos/s on {last['device']}" if speeds else "photos/s"),
        (run.precision or NOTHING, "precision"),
        (moment(run.last_used), "last used, UTC"),
    ]


def _explore(run: str) -> None:
    session.change(run=run)
    session.open_page(EXPLORE, Filters())
