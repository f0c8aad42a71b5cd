"""Neighbours: exact against a plain loop, nearly all of them in clusters."""

import numpy as np
import pytest

from seglib.similarity import neighbours
from seglib.similarity.neighbours import find_neighbours
from seglib.similarity.outliers import find_outliers
from tests.seglib.similarity.small_sets import at_angles, make_embeddings, numbers


def plain_neighbours(vectors, k):
    """Positions of the k nearest others of each row, one row after the other."""
    wide = vectors.astype(np.float64)
    found = []
    for row, vector in enumerate(wide):
        similarity = wide @ vector
        similarity[row] = -np.inf
        found.append(np.argsort(-similarity, kind="stable")[:k])
    return np.array(found)


def test_a_few_can_be_checked_by_eye():
    positions, similarity = find_neighbours(at_angles(0, 10, 30, 180).vectors, 2)
    assert positions.tolist() == [[1, 2], [0, 2], [1, 0], [2, 1]]
    assert similarity[3].tolist() == pytest.approx(np.cos(np.radians([150, 170])), abs=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_there_are_at_most_as_many_as_there_are_others(count):
    positions, similarity = find_neighbours(at_angles(*range(count)).vectors, 5)
    assert positions.shape == similarity.shape == (count, max(0, count - 1))


def test_blocks_give_what_a_plain_loop_gives(monkeypatch):
    vectors = make_embeddings(np.random.default_rng(1).normal(size=(60, 9))).vectors
    monkeypatch.setattr(neighbours, "_BLOCK_NUMBERS", 7 * 60)
    assert (find_neighbours(vectors, 4)[0] == plain_neighbours(vectors, 4)).all()


def test_clusters_find_nearly_all_and_repeatably(monkeypatch):
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(40, 16))[generator.integers(0, 40, 2000)] + generator.normal(size=(2000, 16)) / 2
    vectors = make_embeddings(rows).vectors
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 1000)
    shares = []
    positions, similarity = find_neighbours(vectors, 5, on_share=shares.append)
    exact = plain_neighbours(vectors, 5)
    recall = np.mean([len({*one} & {*other}) / 5 for one, other in zip(positions, exact, strict=True)])
    assert recall > 0.9
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert (np.diff(similarity, axis=1) <= 0).all()
    assert (find_neighbours(vectors, 5)[0] == positions).all()


def test_a_row_is_never_its_own_neighbour(monkeypatch):
    monkeypatch.setattr(neighbours, "EXACT_ROWS", 10)
    positions, _ = find_neighbours(make_embeddings(np.ones((50, 3))).vectors, 3)
    assert not (positions == np.arange(50)[:, None]).any()


def test_the_one_that_is_apart_is_the_first_outlier():
    found = find_outliers(at_angles(0, 1, 2, 90, 3), k=2)
    assert numbers(found["image_id"])[0] == 3
    near = 1 - np.cos(np.radians([87, 88])).mean()
    assert found["distance"].iloc[0] == pytest.approx(near, abs=1e-3)
    assert found["distance"].is_monotonic_decreasing


@pytest.mark.parametrize(("angles", "distances"), [((), []), ((5,), [0]), ((0, 180), [2, 2])])
def test_outliers_of_too_few(angles, distances):
    assert find_outliers(at_angles(*angles))["distance"].tolist() == pytest.approx(distances, abs=1e-3)
