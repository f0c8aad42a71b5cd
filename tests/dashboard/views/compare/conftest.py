"""Stores of two and three runs for the tests of Compare."""

import os
import signal

import pytest

from dashboard.workers import jobs
from dashboard.workers.jobs import Jobs
from seglib.evaluation import comparison
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.queries.test_comparison_stats import SEEN_BY_B
from tests.dashboard.views.test_runs import _init_quiet

A, B, C = (make_run_config(schema).run_name for schema in (1, 2, 3))


@pytest.fixture
def uncounted(full, monkeypatch):
    """Two runs of six photos, nothing counted, and workers that do nothing."""
    fill_store(full, code_schema=2, pixels=SEEN_BY_B)
    monkeypatch.setattr(Jobs, "__init__", _init_quiet(Jobs.__init__))
    yield full
    for process in jobs._children:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def two(uncounted):
    comparison.update_counts(Store(uncounted), [A, B])
    return uncounted


@pytest.fixture
def three(two):
    fill_store(two, code_schema=3)
    comparison.update_counts(Store(two), [A, B, C])
    return two
