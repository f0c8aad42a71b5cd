"""The runs of the store as a table, most recently used first, with what can be done with each.

Reads the store, its jobs and the server's settings; the actions themselves are in `actions`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.components import layout
from dashboard.components.run_table import RunAction, RunRow, run_table
from dashboard.formatting import DASH, count, local_time, pluralize
from dashboard.queries.runs import pending
from dashboard.queries.runs.disk_use import run_disk_use
from dashboard.queries.runs.pending import StoreCounts, StoreKey
from dashboard.queries.source import error_message
from dashboard.settings import ServerSettings
from dashboard.views.runs import actions
from dashboard.views.runs.states import RunState, is_superseded, newest_job, run_state
from dashboard.workers.jobs import Job
from seglib.errors import SegError
from seglib.maintenance.datasets import find_missing_folders
from seglib.store.records import Run
from seglib.store.store import Store

UNREPEATABLE = "Its model cannot be identified by a digest, so no later run continues this one."

TABLE = "runs:table"


@dataclass(frozen=True, kw_only=True)
class _Context:
    """What all rows of the table are made from."""

    settings: ServerSettings
    store: Store
    counts: Mapping[str, StoreCounts | None]
    runs: Sequence[Run]
    jobs: Sequence[Job]
    """Newest first."""
    missing: frozenset[str]
    """Ids of the datasets whose folders are gone."""


def render(settings: ServerSettings, store: Store, version: str, runs: Sequence[Run], jobs: Sequence[Job]) -> None:
    key = pending.StoreKey(store.path, version.partition("-")[0])
    context = _Context(
        settings=settings,
        store=store,
        counts=pending.count_store(key, runs),
        runs=runs,
        jobs=jobs,
        missing=frozenset(dataset.id for dataset in find_missing_folders(store)),
    )
    with layout.card("Runs in this store", f"{pluralize(len(runs), 'run')}, newest first", stretch=False):
        if None in context.counts.values():
            st.fragment(lambda: _await_counts(key, runs), run_every=1.0)()
        chosen = run_table([_row(context, run) for run in reversed(runs)], key=TABLE)
    if chosen is not None:
        name, action = chosen
        run = next(run for run in runs if run.run == name)
        actions.do(run, action, settings=settings, store=store, runs=runs, job=newest_job(jobs, name))


def _await_counts(key: StoreKey, runs: Sequence[Run]) -> None:
    """Draw the page again when all runs are counted."""
    if None not in pending.count_store(key, runs).values():
        st.rerun()


def _row(context: _Context, run: Run) -> RunRow:
    store, job = context.store, newest_job(context.jobs, run.run)
    rows, state = _rows_and_state(context, run, job)
    notes = [state.note] if state.note else []
    if run.untrained_classes:
        notes.append(f"Its model was never trained on {', '.join(run.untrained_classes)}.")
    if not run.repeatable:
        notes.append(UNREPEATABLE)
    return RunRow(
        run=run.run,
        title=run.display_title,
        model=run.model,
        size=f"{run.resize} · {run.precision or 'imported masks'}",
        photos=DASH if rows is None else count(rows),
        datasets=_datasets(context, run),
        used=local_time(run.last_used, st.context.timezone),
        speed=_speed(run),
        disk=actions.disk_size(run_disk_use(store, run)),
        state=state.text,
        tone=state.tone,
        note=" ".join(notes),
        actions=_menu(context, run, rows, job),
    )


def _rows_and_state(context: _Context, run: Run, job: Job | None) -> tuple[int | None, RunState]:
    """Return the number of photos in the run, None if it cannot be determined, and the run's state."""
    try:
        rows = context.store.count_rows(run)
    except SegError as error:
        return None, run_state(None, job, wrong=error_message(error))
    if job is not None and not job.live and is_superseded(job, run):
        job = None
    missing = [one.name for one in pending.datasets_of(context.store, run) if one.id in context.missing]
    return rows, run_state(context.counts[run.run], job, missing)


def _datasets(context: _Context, run: Run) -> str:
    """Name the run's datasets, and say how many of their files could not be read the last time."""
    names = [dataset.name for dataset in pending.datasets_of(context.store, run)]
    failed = run.invocations[-1].get("failed", 0) if run.invocations else 0
    return " · ".join(filter(None, [", ".join(names), f"{count(failed)} unreadable" if failed else ""]))


def _speed(run: Run) -> str:
    timed: list[dict[str, Any]] = [one for one in run.invocations if one.get("computed") and one.get("seconds")]
    if not timed:
        return ""
    last = timed[-1]
    device = f" on {last['device']}" if last.get("device") else ""
    return f"{last['computed'] / last['seconds']:.1f} photos/s{device}"


def _menu(context: _Context, run: Run, rows: int | None, job: Job | None) -> list[RunAction]:
    _, why_not = actions.rerun_requests(context.settings, context.store, run)
    others = len(context.runs) - 1
    live = job is not None and job.live
    return [
        RunAction(
            id=actions.EXPLORE,
            label="Explore",
            why_not="" if rows else "It cannot be read." if rows is None else "It holds no photos yet.",
        ),
        RunAction(
            id=actions.COMPARE,
            label="Compare with …",
            why_not="" if others else "There is no other run in this store.",
        ),
        RunAction(
            id=actions.AGAIN,
            label="Run again",
            why_not=why_not,
            hint="Computes what is new or has changed in its folders",
        ),
        RunAction(
            id=actions.VERIFY,
            label="Verify",
            why_not=why_not,
            hint="Reads every photo and mask again and recomputes what is damaged",
        ),
        RunAction(id=actions.RENAME, label="Rename"),
        RunAction(
            id=actions.LOG,
            label="Log",
            why_not="" if job is not None else "No job that is still listed here worked on it.",
        ),
        RunAction(
            id=actions.DELETE, label="Delete", why_not="It is being computed: cancel that first." if live else ""
        ),
    ]
