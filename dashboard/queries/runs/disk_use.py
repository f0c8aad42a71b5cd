"""How much disk each run takes, measured again when the run has grown."""

import streamlit as st

from seglib.maintenance import disk_use
from seglib.maintenance.disk_use import DiskUse
from seglib.store.records import Run
from seglib.store.store import Store


def run_disk_use(store: Store, run: Run) -> DiskUse:
    """Return the run's disk use, an estimate if it holds many masks; must not be modified."""
    parts = sorted(path.name for path in store.stats_folder(run).glob("*.parquet"))
    return _measure((str(store.path), run.run, *parts))


@st.cache_data(max_entries=512, show_spinner=False)
def _measure(key: tuple[str, ...]) -> DiskUse:
    """`key`: the store's path, the run, and the names of its parts, which change when it grows."""
    return disk_use.measure_run(Store(key[0]), key[1])
