"""What several tests of the library set up."""

import pytest

from seglib.models import registry
from tests.seglib.training.plain_training import TinyNet


@pytest.fixture
def tiny(monkeypatch):
    """`TinyNet`, trainable under the name "tiny"."""
    monkeypatch.setitem(registry.TRAINABLE, "tiny", TinyNet)
    registry.get_model_builder.cache_clear()
    yield
    registry.get_model_builder.cache_clear()
