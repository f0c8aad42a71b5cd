"""Runs page: start, watch, stop and delete runs, and list what failed or has changed on disk.

Reads the server's settings; works without a run and without a store.
"""

import streamlit as st

from dashboard.components import layout
from dashboard.formatting import pluralize, user_message
from dashboard.queries.source import RunSource, open_store
from dashboard.settings import ServerSettings
from dashboard.state import pages
from dashboard.views import datasets, run_form
from dashboard.views.own_columns import card as own_columns
from dashboard.views.runs import actions, changes, job_cards, table
from dashboard.workers.jobs import Jobs
from seglib.data.scan import STORE_MARKER
from seglib.similarity import embeddings
from seglib.store import content, scans
from seglib.store.photo_measures import rows as photo_measures
from seglib.store.store import Store


def render(settings: ServerSettings) -> None:
    has_store = (settings.store / STORE_MARKER).is_file()
    damaged = Store(settings.store).damaged_runs() if has_store else {}
    opened = open_store(settings.store) if has_store else None
    runs = opened[2] if opened else []
    jobs = Jobs(settings).all()
    with layout.heading(pages.RUNS):
        pass
    job_cards.render(settings, jobs)
    if damaged:
        _damaged_runs(Store(settings.store), damaged)
    run_form.render(settings, runs)
    if opened is None:
        layout.remark("There is no store yet: the first run creates it.")
        return
    if not runs:
        layout.remark("This store holds no other run." if damaged else "This store holds no run yet.")
        return
    store, version, _ = opened
    damaged_files = (
        store.damaged_datasets(),
        scans.find_damaged(store),
        content.find_damaged(store),
        photo_measures.find_damaged(store),
        embeddings.find_damaged(store),
    )
    layout.remarks([user_message(why) for reasons in damaged_files for why in reasons.values()])
    table.render(settings, store, version, runs, jobs)
    datasets.render(store, version)
    own_columns.render(store, version)
    changes.unreadable(RunSource(str(settings.store), version, runs[-1].run))
    changes.left_out(store)
    changes.changes_on_disk(store)


def _damaged_runs(store: Store, damaged: dict[str, str]) -> None:
    note = f"{pluralize(len(damaged), 'run')}; the others are shown without them"
    with layout.card("Runs that cannot be read", note, stretch=False):
        for name, why in damaged.items():
            with layout.entry(f"entry:{name}", gap="xsmall") as text:
                with text:
                    layout.entry_title(name)
                    layout.remark(user_message(why))
                if st.button("Delete", key=f"delete:{name}"):
                    actions.confirm_delete(store, name)
