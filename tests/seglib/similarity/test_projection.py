"""Projections: PCA against numpy's own decomposition, the cache, and a sentence without the extra."""

import numpy as np
import pytest

from seglib.errors import SegError, UnknownName
from seglib.similarity import projection
from seglib.similarity.projection import find_projection, keep_projection, project
from tests.seglib.similarity.small_sets import at_angles, make_embeddings


def test_pca_is_that_of_the_singular_value_decomposition():
    vectors = make_embeddings(np.random.default_rng(0).normal(size=(300, 12)) * np.arange(1, 13)).vectors
    points = project(vectors)
    centred = vectors.astype(np.float64) - vectors.astype(np.float64).mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    exact = left[:, :2] * values[:2]
    assert points.dtype == np.float32
    assert np.abs(points) == pytest.approx(np.abs(exact), abs=1e-4)
    assert points.mean(axis=0) == pytest.approx([0, 0], abs=1e-5)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images_have_points_too(count):
    points = project(at_angles(*range(count)).vectors)
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()


def test_a_projection_is_computed_once_and_again_for_other_images(store, monkeypatch):
    embeddings = at_angles(0, 20, 90, 140)
    assert find_projection(store, embeddings) is None
    points = keep_projection(store, embeddings)
    monkeypatch.setattr(projection, "project", pytest.fail)
    assert (find_projection(store, embeddings) == points).all()
    assert (keep_projection(store, embeddings) == points).all()
    fewer = embeddings.only(embeddings.ids[:3])
    assert find_projection(store, fewer) is None
    monkeypatch.undo()
    assert len(keep_projection(store, fewer)) == 3
    assert find_projection(store, embeddings) is None  # replaced
    assert len(list(store.projections_folder("set").iterdir())) == 1


@pytest.mark.parametrize("data", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_a_damaged_cache_is_computed_again(store, data):
    embeddings = at_angles(0, 20, 90)
    points = keep_projection(store, embeddings)
    (file,) = store.projections_folder("set").iterdir()
    file.write_bytes(data)
    assert find_projection(store, embeddings) is None
    assert (keep_projection(store, embeddings) == points).all()


def test_what_is_missing_or_unknown_is_a_sentence(monkeypatch):
    monkeypatch.setattr(projection, "find_spec", lambda _: None)
    assert projection.available_methods() == ("pca",)
    with pytest.raises(SegError, match=r"UMAP needs the package umap.*pip install '\.\[map\]'"):
        project(at_angles(0, 1, 2, 3).vectors, "umap")
    with pytest.raises(UnknownName, match="no projection 'tsne'"):
        project(at_angles(0).vectors, "tsne")
