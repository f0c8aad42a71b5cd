"""What jobs compute from embeddings is kept as long as it fits the store's parts."""

import pytest

from dashboard.workers import similarity
from dashboard.workers.requests import SimilarityRequest, from_record, to_record
from seglib.errors import SegError
from seglib.similarity.embeddings import read_embeddings
from seglib.similarity.projection import find_projection
from seglib.store.store import Store
from tests.dashboard.conftest import fill_store, make_run_config
from tests.dashboard.views.test_similar import add_vectors

RUN = make_run_config().run_name


@pytest.fixture
def store(full) -> Store:
    add_vectors(full)
    return Store(full)


def compute(store: Store, task: str) -> list[tuple[int, int]]:
    shares: list[tuple[int, int]] = []
    total = similarity.compute(
        store, task, RUN, source="clip", kind="global", on_share=lambda done, of: shares.append((done, of))
    )
    assert total == 6
    return shares


def path_of(store: Store, task: str):
    return similarity.result_path(store, task, RUN, source="clip", kind="global")


def test_unusual_photos_are_kept_until_the_store_has_others(store):
    assert compute(store, "outliers")[-1] == (6, 6)
    kept = similarity.find_result(path_of(store, "outliers"))
    assert kept is not None
    assert len(kept) == 6
    assert kept["distance"].is_monotonic_decreasing
    before = path_of(store, "outliers")
    fill_store(store.path, code_schema=2)  # another scan of the same files
    assert path_of(store, "outliers") != before
    compute(store, "outliers")
    assert not before.exists()


def test_groups_of_duplicates_are_kept(store):
    compute(store, "duplicates")
    kept = similarity.find_result(path_of(store, "duplicates"))
    assert kept is not None
    assert {"group", "path", "across", "similarity"} <= set(kept.columns)


def test_a_projection_is_where_the_library_looks_for_it(store):
    compute(store, "pca")
    assert find_projection(store, read_embeddings(store, "clip"), "pca") is not None


def test_a_damaged_result_is_none(store):
    path = path_of(store, "outliers")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"PAR1 not really")
    assert similarity.find_result(path) is None


@pytest.mark.parametrize(
    "parts",
    [{"task": "x"}, {"run": "gone"}, {"source": "gone"}, {"vectors": "class"}, {"vectors": "x"}],
)
def test_a_request_that_makes_no_sense_is_refused(store, parts, serve):
    from dashboard.settings import ServerSettings

    serve(store.path)
    good = {"task": "outliers", "run": RUN, "source": "clip"}
    SimilarityRequest(**good).check(ServerSettings.read())
    with pytest.raises(SegError):
        SimilarityRequest(**good | parts).check(ServerSettings.read())


def test_a_request_is_read_as_it_was_written():
    request = SimilarityRequest(task="umap", run="r", source="clip", title="clip")
    assert from_record(to_record(request)) == request
