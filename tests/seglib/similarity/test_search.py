"""The most similar images: by the cosine, in order, without those asked for, in blocks as at once."""

import numpy as np
import pytest

from seglib.cli import main
from seglib.errors import UsageError
from seglib.similarity import search
from seglib.similarity.search import find_similar, similarities
from tests.seglib.similarity.small_sets import at_angles, image_id, make_embeddings, numbers
from tests.seglib.small_runs import run


def test_the_nearest_come_first_and_the_image_itself_is_left_out():
    found = find_similar(at_angles(0, 60, 30, 180, 90), [image_id(0)], 3)
    assert numbers(found["image_id"]) == [2, 1, 4]
    assert found["similarity"].tolist() == pytest.approx(np.cos(np.radians([30, 60, 90])), abs=1e-3)


def test_of_several_the_direction_between_them_is_searched_for():
    found = find_similar(at_angles(0, 90, 45, 100, -10), [image_id(0), image_id(1)], 1)
    assert numbers(found["image_id"]) == [2]


def test_a_vector_finds_its_own_image_too():
    found = find_similar(at_angles(0, 60, 30), np.array([7.0, 0.0]), 2)
    assert numbers(found["image_id"]) == [0, 2]
    assert found["similarity"].iloc[0] == 1


def test_some_are_excluded_and_others_not_considered():
    embeddings = at_angles(0, 10, 20, 30, 40)
    assert numbers(find_similar(embeddings, [image_id(0)], exclude=[image_id(1)])["image_id"]) == [2, 3, 4]
    among = [image_id(4), image_id(2), image_id(0), "f" * 32]
    assert numbers(find_similar(embeddings, [image_id(0)], among=among)["image_id"]) == [2, 4]
    assert find_similar(embeddings, [image_id(0)], among=[]).empty


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (["f" * 32], "1 of the photos searched for has no embedding in set"),
        (["f" * 32, "e" * 32], "2 of the photos searched for have no embedding"),
        ([], "No of the photos"),
        (np.array([1.0, 0.0, 0.0]), "have 2 dimensions, and the vector searched for has 3"),
        (np.array([0.0, 0.0]), "zero or not finite"),
        (np.array([np.nan, 1.0]), "zero or not finite"),
        ([image_id(0), image_id(1)], "no direction"),
    ],
)
def test_what_cannot_be_searched_for_is_a_sentence(query, sentence):
    with pytest.raises(UsageError, match=sentence):
        find_similar(at_angles(0, 180), query)


def test_blocks_give_what_a_plain_product_gives(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(101, 7))
    embeddings = make_embeddings(rows)
    monkeypatch.setattr(search, "_BLOCK_NUMBERS", 70)
    query = rows[3] / np.linalg.norm(rows[3])
    exact = rows @ query / np.linalg.norm(rows, axis=1)
    assert similarities(embeddings, query.astype(np.float32)) == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize("count", [1, 5, 100])
def test_positions_of_few_and_of_many_images(count):
    embeddings = at_angles(*range(40))
    wanted = np.random.default_rng(count).integers(0, 50, count)  # some repeated, some unknown
    found = embeddings.positions([image_id(number) for number in wanted])
    assert found.tolist() == np.where(wanted < 40, wanted, -1).tolist()
    assert embeddings.positions([]).tolist() == []


def test_of_no_images_nothing_is_similar():
    empty = make_embeddings(np.empty((0, 2)))
    assert find_similar(empty, np.array([1.0, 0.0])).empty


def test_the_command_says_if_there_is_no_other_photo(store, paint, fake, tmp_path, capsys):
    paint("cats/a.png", cat=(0, 0, 8, 8))
    name = run(tmp_path / "photos", store, fake).run
    assert main.main(["similar", "cats/a.png", "--store", str(store.path)]) == 0
    shown = capsys.readouterr()
    assert (shown.out, f"No other photo of this store has a vector in {name}." in shown.err) == ("", True)
