"""Which runs of which store a caller means: a store and names of runs, or what `seglib.run` has returned."""

import os
from collections.abc import Sequence

from seglib.errors import UsageError
from seglib.pipeline.report import RunReport
from seglib.store.store import Store, as_store

StoreOrRun = Store | RunReport | str | os.PathLike[str]
Runs = Sequence[str | RunReport] | RunReport | None


def open_store(first: StoreOrRun, runs: Runs) -> tuple[Store, list[str] | None]:
    """The store, and the names of the runs; None if none was named.

    Raises `UsageError` if two runs are in different stores.
    """
    given = [runs] if isinstance(runs, RunReport | str) else list(runs or ())
    if isinstance(first, RunReport):
        given.insert(0, first)
    reports = [one for one in given if isinstance(one, RunReport)]
    store = reports[0].store if isinstance(first, RunReport) else as_store(first)
    if any(one.store.path != store.path for one in reports):
        raise UsageError("These runs are in different stores: run both models into one store.")
    names = [one.run if isinstance(one, RunReport) else one for one in given]
    return store, names or (None if runs is None else [])
