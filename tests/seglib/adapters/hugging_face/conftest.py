"""The folder of a small SegFormer."""

import shutil
from pathlib import Path

import pytest

from tests.seglib.adapters.hugging_face import tiny_models


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """One that no test changes."""
    return tiny_models.save(tmp_path_factory.mktemp("hf") / "tiny-segformer", tiny_models.segformer)


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy, to be changed."""
    return shutil.copytree(saved, tmp_path / "tiny-segformer")
