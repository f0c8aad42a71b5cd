"""What several tests of the library set up."""

import pytest

from seglib.models import registry
from tests.seglib.training.plain_training import TinyNet


@pytest.fixture
def tiny(monkeypatch):
    """`TinyNet`, trainable under the name "tiny"."""
    monkeypatch.setitem(registry.TRAINED, "tiny", TinyNet)
    registry.builder.cache_clear()
    yield
    registry.builder.cache_clear()
