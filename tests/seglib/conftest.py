"""What several tests of the library set up."""

import pytest

from seglib import models
from tests.seglib.plain_training import TinyNet


@pytest.fixture
def tiny(monkeypatch):
    """`TinyNet`, trainable under the name "tiny"."""
    monkeypatch.setitem(models.TRAINED, "tiny", TinyNet)
    models.builder.cache_clear()
    yield
    models.builder.cache_clear()
