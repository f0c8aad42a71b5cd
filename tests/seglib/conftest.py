"""What several tests of the library set up."""

from pathlib import Path

import pytest

from seglib.models import registry
from seglib.store.store import Store
from tests.seglib.training.plain_training import TinyNet


@pytest.fixture
def tiny(monkeypatch):
    """`TinyNet`, trainable under the name "tiny"."""
    monkeypatch.setitem(registry.TRAINABLE, "tiny", TinyNet)


@pytest.fixture
def photos(paint, tmp_path) -> Path:
    """A folder of four photos that the fake model sees rightly."""
    paint("cats/a.png", cat=(0, 0, 32, 48))
    paint("cats/b.png", "cat", dog=(0, 0, 8, 8))
    paint("dogs/c.png", dog=(0, 0, 64, 24))
    paint("dogs/d.png")
    return tmp_path / "photos"


@pytest.fixture
def store(tmp_path) -> Store:
    """An empty store."""
    return Store.create(tmp_path / "store")
