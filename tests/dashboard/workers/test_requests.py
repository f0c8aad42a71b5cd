"""What can be asked for beside a run: comparisons, evaluations, calibrations, each checked, counted and resumed."""

import json
from dataclasses import fields, replace

import pytest

from dashboard.offers.photo_folders import find_folders
from dashboard.workers import jobs
from dashboard.workers.requests import CalibrateRequest, CompareRequest, EvaluateRequest
from seglib.errors import SegError
from seglib.evaluation import comparison, evaluation
from seglib.store import ground_truth
from seglib.store.store import Store
from tests.dashboard.conftest import PIXELS, draw_truth, fill_store, id_of, make_run_config
from tests.dashboard.workers.conftest import has_ended, is_running, until


@pytest.fixture
def pair(settings) -> CompareRequest:
    """Two runs of the same six photos, of which one mask is missing."""
    fill_store(settings.store)
    fill_store(settings.store, code_schema=2, pixels=PIXELS | {"cats/a.jpg": {"dog": 50}})
    Store(settings.store).mask_path(make_run_config().run_name, id_of("dogs/e.jpg")).unlink()
    return CompareRequest(runs=(make_run_config().run_name, make_run_config(2).run_name))


@pytest.mark.slow
def test_a_comparison_is_counted_by_the_same_machinery(made, pair, settings):
    assert comparison.count_pending(Store(settings.store), pair.runs) == (6, 6)
    made(None).start(pair)
    job = until(made(None), has_ended)
    assert (job.state, job.request) == ("finished", pair)
    assert (job.total, job.computed, job.reused, job.failed) == (6, 5, 0, 1)
    assert comparison.count_pending(Store(settings.store), pair.runs) == (6, 1)
    made(None).resume(job.id)
    again = until(made(None), has_ended)
    assert (again.computed, again.reused, again.failed) == (0, 5, 1)


@pytest.mark.slow
def test_it_waits_for_its_own_kind_and_not_for_a_network(made, pair, request_):
    busy = made()
    busy.start(request_)
    until(busy, is_running)
    made(None).start(pair)
    assert until(busy, has_ended).request == pair
    assert [job.live for job in busy.all()] == [False, True]
    busy.start(pair)
    until(busy, is_running)
    Store.create(busy.settings.store)
    fill_store(busy.settings.store, code_schema=3)
    made(None).start(CompareRequest(runs=(make_run_config().run_name, make_run_config(3).run_name)))
    assert until(busy, lambda job: job.state == "waiting").request.runs[1] == make_run_config(3).run_name


def test_only_runs_of_the_store_can_be_compared_and_only_once_at_a_time(made, pair):
    some = made()
    for runs, said in (
        (pair.runs[:1], "2 to 6 different runs"),
        (pair.runs[:1] * 2, "2 to 6 different runs"),
        ((*pair.runs, "../../etc"), "no run"),
    ):
        with pytest.raises(SegError, match=said):
            some.start(CompareRequest(runs=runs))
    some.start(pair)
    with pytest.raises(SegError, match="running already"):
        some.start(CompareRequest(runs=pair.runs[::-1]))


@pytest.mark.slow
def test_runs_without_a_common_photo_are_said_to_have_none(made, settings):
    fill_store(settings.store)
    fill_store(settings.store, code_schema=2, pixels={"cats/other.jpg": {"cat": 5}})
    made(None).start(CompareRequest(runs=(make_run_config().run_name, make_run_config(2).run_name)))
    job = until(made(None), has_ended)
    assert (job.state, job.sentence) == ("failed", "There is no photo that all of these runs have computed.")


def test_a_store_that_cannot_be_written_is_a_sentence(made, pair, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(jobs, "write_json", refuse)
    with pytest.raises(SegError, match=r"The store cannot be written \(Read-only file system\)"):
        made().start(pair)


def test_a_record_of_a_kind_that_is_not_known_is_not_shown(made, pair, settings):
    some = made()
    job = some.start(pair)
    file = settings.store / "jobs" / job.id / "request.json"
    about = json.loads(file.read_text())
    for changed in (about | {"kind": "dance"}, {name: about[name] for name in ("kind", "asked")}):
        file.write_text(json.dumps(changed))
        assert some.all() == []
    file.write_text(json.dumps(about))


@pytest.fixture
def grading(tmp_path, settings) -> EvaluateRequest:
    """A run of six photos, three of which have a mask in an offered folder."""
    fill_store(settings.store)
    draw_truth(settings.photo_folders[0] / "masks")
    (folder,) = [f for f in find_folders(settings.photo_folders) if f.path.name == "masks"]
    return EvaluateRequest(folder=folder.id, title=folder.title, format="auto", runs=(make_run_config().run_name,))


@pytest.mark.slow
def test_an_evaluation_is_counted_by_the_same_machinery(made, grading, settings):
    made(None).start(grading)
    job = until(made(None), has_ended)
    assert (job.state, job.sentence, job.request) == ("finished", "", grading)
    assert (job.total, job.computed, job.failed) == (3, 3, 0)
    store = Store(settings.store)
    (about,) = ground_truth.list_truths(store)
    assert (about.name, about.format) == ("masks", "voc")
    found = evaluation.load_evaluation(store, about, make_run_config().run_name)
    assert found.measures["pixel_accuracy"].overall() == pytest.approx(260 / 300)
    record = (settings.store / "jobs" / job.id / "request.json").read_text()
    assert str(settings.photo_folders[0]) not in record
    fill_store(settings.store, code_schema=2)
    asked = replace(grading, runs=(make_run_config().run_name, make_run_config(2).run_name))
    made(None).start(asked)
    job = until(made(None), lambda job: has_ended(job) and job.request == asked)
    assert (job.total, job.computed, job.reused, job.failed) == (6, 3, 3, 0)  # each photo once per run


def test_only_offered_folders_known_formats_and_runs_are_evaluated(made, grading):
    some = made()
    for changed, said in (
        ({"folder": "00000000"}, "not, or no longer, among"),
        ({"format": "jpeg"}, "no mask format 'jpeg'; known are: auto, index"),
        ({"runs": ()}, "1 to 6 different runs"),
        ({"runs": ("nobody",)}, "no run"),
    ):
        with pytest.raises(SegError, match=said):
            some.start(replace(grading, **changed))
    some.start(grading)
    with pytest.raises(SegError, match="running already"):
        some.start(grading)


@pytest.mark.slow
def test_why_an_evaluation_failed_is_told(made, grading, settings):
    made(None).start(replace(grading, format="trimap"))
    job = until(made(None), has_ended)
    assert job.state == "failed"
    assert (
        "Trimaps hold 1 for the pet, 2 for background and 3 for its border, and these masks hold 0, 8, 12."
        in job.sentence
    )
    asked = CalibrateRequest(**{f.name: getattr(grading, f.name) for f in fields(grading)})
    made(None).start(asked)
    job = until(made(None), lambda job: has_ended(job) and job.request == asked)
    assert (job.state, job.request) == ("failed", asked)
    assert "which this program does not know" in job.sentence


@pytest.mark.slow
def test_masks_that_are_left_out_are_part_of_the_result(made, grading, settings):
    draw_truth(settings.photo_folders[0] / "masks", {"cats/b.jpg": {"cat": 30}}, size_wh=(40, 31))
    made(None).start(grading)
    job = until(made(None), has_ended)
    assert (job.state, job.total, job.left_out) == ("finished", 2, 1)
    (reason,) = job.left_out_reasons
    assert reason.startswith("The mask 'cats/b.png' is 40 x 31 pixels and its photo 40 x 30")


@pytest.mark.slow
def test_a_calibration_against_masks_that_are_read_otherwise_is_refused(made, grading):
    asked = CalibrateRequest(**{f.name: getattr(grading, f.name) for f in fields(grading)}, truth="0" * 8)
    made(None).start(asked)
    job = until(made(None), has_ended)
    assert (job.state, job.request) == ("failed", asked)
    assert "The masks in 'data/masks' are now read in another way" in job.sentence


def test_requests_that_read_masks_differently_are_different_work(grading):
    others = [{"suffix": "_gt"}, {"offset": 1}, {"ignore": (3,)}, {"classes": ("a", "b")}, {"format": "voc"}]
    assert len({replace(grading, **changed).key for changed in ({}, *others)}) == 6
    assert replace(grading, suffix="_gt").options.suffix == "_gt"
    assert grading.options.suffix is None
