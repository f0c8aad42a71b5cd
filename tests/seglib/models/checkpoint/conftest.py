"""The model whose checkpoints are read."""

import pytest
import torch

from tests.seglib.models.checkpoint.saved_models import CLASSES, build


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return build(len(CLASSES))
