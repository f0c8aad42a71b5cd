"""The store of these tests."""

import pytest

from seglib.store.store import Store
from tests.seglib.store.own_columns.plain_store import PATHS, add_dataset, add_run


@pytest.fixture
def known(store, tmp_path) -> Store:
    """A store with four photos and one run."""
    add_dataset(store, tmp_path / "photos", PATHS)
    add_run(store, "fake-8-00000000", PATHS)
    return store
