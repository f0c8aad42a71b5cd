"""Results that come twice, in any order and from any thread, are stored once and counted as what they are."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from seglib.compute.task import PhotoFailure, PhotoResult
from seglib.compute.worker import compute
from seglib.data.image_ids import ImageIds
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.inference.config import InferenceConfig, make_run_config
from seglib.pipeline.planning import PlannedFiles, RunPlan
from seglib.pipeline.result_writer import ResultWriter, RunProgress
from seglib.pipeline.run import describe_run
from seglib.store.writer import RunWriter
from tests.seglib.compute.test_task import make_task


@pytest.fixture
def results(photos, fake):
    """Those of four photos, the last of which is a copy of the first under another name."""
    task = make_task(photos, fake)
    three = compute(task)[:3]
    record = three[0].record | {"path": "dogs/copy.png"}
    return [*three, three[0]._replace(record=record, mask=None)]


@pytest.fixture
def kept(photos, store, fake):
    """A writer into an empty run, its counts, and a function that ends it."""
    settings = InferenceConfig(resize=fake.resize)
    data_set = store.register_dataset(photos)
    run = store.keep_run(describe_run(make_run_config(fake, settings), parameters=None, versions={}))
    plan = RunPlan(PlannedFiles.none(), PlannedFiles.none(), ImageIds(), reused=0, failed=0)
    progress, writer = RunProgress(total=4), RunWriter(store, data_set, run, 1)
    return ResultWriter(store, writer, plan, progress, None, gps=GpsPrecision.ROUNDED, verify=False), progress, writer


def counts(progress: RunProgress) -> tuple[int, int, int]:
    return progress.computed, progress.reused, progress.failed


def test_a_result_that_comes_twice_is_stored_once(store, kept, results):
    writer, progress, rows = kept
    for result in [*results, results[0], results[1]]:  # as after a lost worker
        writer.keep(result)
    rows.commit()
    assert counts(progress) == (3, 3, 0)
    assert sorted(store.table()["path"]) == ["cats/a.png", "cats/b.png", "dogs/c.png", "dogs/copy.png"]
    assert store.count_rows(store.run()) == 3
    assert writer.is_stored(results[0].image_id)


def test_a_copy_that_comes_first_waits_for_its_mask(store, kept, results):
    writer, progress, rows = kept
    *_, copy = results
    writer.keep(copy)
    rows.commit()
    assert (counts(progress), len(store.files(store.datasets()[0]))) == ((0, 0, 0), 0)
    assert not writer.is_stored(copy.image_id)
    writer.keep(results[0])
    rows.commit()
    assert counts(progress) == (1, 1, 0)
    assert set(store.table()["path"]) == {"cats/a.png", "dogs/copy.png"}
    assert store.thumbnail_path(copy.image_id).exists()


def test_failures_are_rows_with_a_reason(store, kept, results):
    writer, progress, rows = kept
    writer.keep(PhotoFailure(results[0].record, "empty", "The file has no bytes."))
    rows.commit()
    assert counts(progress) == (0, 0, 1)
    assert store.failures()[["path", "reason", "detail"]].values.tolist() == [
        ["cats/a.png", "empty", "The file has no bytes."]
    ]


def test_threads_that_keep_the_same_results_store_each_once(store, kept, results):
    writer, progress, rows = kept
    start = threading.Barrier(8)

    def keep_all(seed: int) -> None:
        start.wait()
        for index in np.random.default_rng(seed).permutation(len(results)):
            writer.keep(results[index])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep_all, range(8)))
    rows.commit()
    assert counts(progress) == (3, 8 * 4 - 3, 0)
    assert store.count_rows(store.run()) == 3
    assert len(store.table()) == 4


def test_measures_and_thumbnails_that_the_store_has_are_not_asked_for(kept, results):
    writer, *_ = kept
    known = results[0].record | {"image_id": results[0].image_id}
    assert writer.missing_extras(known).thumbnail
    writer.keep(results[0])
    extras = writer.missing_extras(known)
    assert (extras.thumbnail, extras.measures) == (False, None)
    assert isinstance(results[0], PhotoResult)
