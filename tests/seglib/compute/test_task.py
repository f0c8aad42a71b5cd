"""Tasks: what they give is what a run keeps, here and in another process, with a model of every kind."""

import importlib.util
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from seglib.compute.task import Job, Photo, PhotoFailure, PhotoResult, Task
from seglib.compute.worker import compute, start_worker
from seglib.data.image import Extras
from seglib.data.photo_measures.exif import GpsPrecision
from seglib.data.scan import scan
from seglib.inference import predictor
from seglib.inference.config import InferenceConfig
from seglib.models.registry import ModelSpec
from tests.conftest import ROOT
from tests.seglib.compute.any_model import KINDS, KINDS_OF_EXTRAS, make
from tests.seglib.small_runs import run

COMPUTE = """
import pickle, sys
from pathlib import Path
from seglib.compute.worker import compute
if __name__ == "__main__":
    for task in sys.argv[1:]:
        results = compute(pickle.loads(Path(task).read_bytes()))
        Path(task + ".results").write_bytes(pickle.dumps(results))
"""


def make_task(photos: Path, model: ModelSpec, *, workers: int = 0, **more) -> Task:
    """All photos of a folder, with everything that can be made of them."""
    extras = Extras(thumbnail=True, measures=GpsPrecision.ROUNDED)
    records = [record | {"image_id": None} for record in pa.Table.from_pandas(scan(photos)).to_pylist()]
    settings = InferenceConfig(resize=model.resize, device="cpu")
    job = Job(root=photos, model=model, settings=settings, workers=workers, **more)
    return Task(job, tuple(Photo(record, extras) for record in records))


def as_bytes(results) -> list[tuple]:
    """Every value of the results, arrays as their bytes."""
    return [
        result
        if isinstance(result, PhotoFailure) or result.mask is None or result.mask.embedding is None
        else result._replace(mask=(*result.mask[:2], *(one.tobytes() for one in result.mask.embedding)))
        for result in results
    ]


def test_a_task_gives_what_a_run_keeps_in_the_order_of_its_photos(photos, store, fake):
    shutil.copy(photos / "cats" / "a.png", photos / "cats" / "copy.png")
    (photos / "dogs" / "empty.jpg").write_bytes(b"")
    report = run(photos, store, fake)
    stats = store.stats(store.run(report.run)).set_index("image_id")
    results = compute(make_task(photos, fake, batch_size=3))
    assert [one.record["path"] for one in results] == list(scan(photos)["path"])
    assert [(one.reason, one.detail) for one in results if isinstance(one, PhotoFailure)] == [
        ("empty", "The file has no bytes.")
    ]
    computed = [one for one in results if isinstance(one, PhotoResult) and one.mask is not None]
    assert [one.record["path"] for one in results if one not in computed] == ["cats/copy.png", "dogs/empty.jpg"]
    for one in computed:
        assert one.mask.png == store.mask_path(report.run, one.image_id).read_bytes()
        assert one.thumbnail == store.thumbnail_path(one.image_id).read_bytes()
        assert one.measures is not None
        kept = stats.loc[one.image_id]
        assert {name: kept[name] for name in ("dominant", "animal", "px:cat", "grid_width")} == {
            name: one.mask.row[name] for name in ("dominant", "animal", "px:cat", "grid_width")
        }
    copy = results[2]
    assert (copy.image_id, copy.mask) == (results[0].image_id, None)


def test_what_computes_imports_no_store_and_no_torch_before_it_is_needed():
    code = """
import sys, seglib.compute.worker
assert not [name for name in sys.modules if name.partition(".")[0] == "torch" or name.startswith("seglib.store")]
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_images_that_are_known_get_no_mask_and_nothing_is_asked_twice(photos, fake):
    task = make_task(photos, fake)
    known = compute(task)[1].image_id
    results = []
    with start_worker(task.job, len(task.photos), {known}) as worker:
        worker.stream(task.photos, results.append)
        worker.stream(task.photos, results.append)
    assert len(results) == 2 * len(task.photos)
    assert {one.image_id for one in results if one.mask is None} >= {known}
    assert len([one for one in results if one.mask is not None]) == len(task.photos) - 1


@pytest.mark.parametrize("kind", [*KINDS, *KINDS_OF_EXTRAS])
def test_a_pickled_model_of_any_kind_is_loaded_once(kind, tmp_path):
    spec = make(kind, tmp_path)
    copied = pickle.loads(pickle.dumps(spec))
    settings = InferenceConfig(resize=spec.resize, device="cpu")
    assert (copied, hash(copied), copied.request) == (spec, hash(spec), spec.request)
    assert predictor.load_backend(copied, settings) is predictor.load_backend(spec, settings)


@pytest.mark.slow
def test_tasks_with_models_of_every_kind_are_computed_alike_in_another_process(photos, tmp_path):
    (photos / "cats" / "damaged.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(40))
    kinds = [*KINDS, *(kind for kind, package in KINDS_OF_EXTRAS.items() if importlib.util.find_spec(package))]
    tasks = {}
    for kind in kinds:
        (tmp_path / kind).mkdir()
        tasks[kind] = make_task(photos, make(kind, tmp_path / kind), workers=2 if kind == "embedded" else 0)
        (tmp_path / f"{kind}.task").write_bytes(pickle.dumps(tasks[kind]))
    (tmp_path / "compute.py").write_text(COMPUTE)
    command = [sys.executable, str(tmp_path / "compute.py"), *(str(tmp_path / f"{kind}.task") for kind in kinds)]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for kind, task in tasks.items():
        found, expected = pickle.loads((tmp_path / f"{kind}.task.results").read_bytes()), compute(task)
        assert len(expected) == 5
        assert sum(isinstance(one, PhotoResult) and one.mask is not None for one in expected) == 4
        assert as_bytes(found) == as_bytes(expected), kind
