"""The process that looks at photos: the same numbers as a run's, and sentences for all that can go wrong."""

import io
import subprocess
import sys
import threading
import time

import pytest
from PIL import Image

import seglib
from dashboard.workers import predict_worker
from dashboard.workers.predictor import Predictor, receive, send
from seglib.data.resize import Resize
from seglib.errors import BadImage, SegError
from seglib.masks.png import decode_index_png
from seglib.masks.statistics import CONFIDENCE_COLUMNS
from seglib.models.registry import DEFAULT_MODEL, find_model_spec
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.conftest import ROOT, SAMPLE
from tests.seglib.pipeline.test_interruption import is_running

ECHO = """
import os, sys, time
from dashboard.workers.predictor import receive, send
out = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
while True:
    about, blobs = receive(sys.stdin.buffer)
    if about["task"] == "sleep":
        time.sleep(60)
    if about["task"] == "die":
        os._exit(9)
    send(out, (about | {"pid": os.getpid()}, blobs))
    if about["task"] == "last":
        os._exit(0)
"""


@pytest.fixture
def echo():
    made = []

    def make(seconds: float = 30) -> Predictor:
        made.append(Predictor([sys.executable, "-c", ECHO], seconds=seconds))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def real():
    one = Predictor()
    yield one
    one.close()


# --- messages ---


@pytest.mark.parametrize("blobs", [[], [b""], [b"\n\x00[", b"x" * 100_000]])
def test_what_is_sent_is_received(blobs):
    stream = io.BytesIO()
    send(stream, ({"name": "line\nbreak é"}, blobs))
    send(stream, ({}, []))
    stream.seek(0)
    assert receive(stream) == ({"name": "line\nbreak é"}, blobs)
    assert receive(stream) == ({}, [])
    with pytest.raises(EOFError):
        receive(stream)


def test_half_a_message_is_the_end():
    stream = io.BytesIO()
    send(stream, ({}, [b"12345678"]))
    with pytest.raises(EOFError):
        receive(io.BytesIO(stream.getvalue()[:-1]))


# --- the process ---


def test_one_process_answers_one_question_after_the_other(echo):
    predictor = echo()
    (first, _), (second, blobs) = predictor.ask("a", {"x": 1}), predictor.ask("b", {}, b"12", b"")
    assert first["pid"] == second["pid"]
    assert (first["x"], second["task"], blobs) == (1, "b", [b"12", b""])


def test_a_process_that_ended_between_two_questions_is_replaced(echo):
    predictor = echo()
    first, _ = predictor.ask("last", {})
    second, _ = predictor.ask("a", {})
    assert first["pid"] != second["pid"]


def test_a_question_that_kills_is_a_sentence_and_the_next_is_answered(echo):
    predictor = echo()
    predictor.ask("a", {})
    with pytest.raises(SegError, match="ended on this photo"):
        predictor.ask("die", {})
    assert predictor.ask("a", {})[0]["task"] == "a"


def test_a_question_that_takes_too_long_is_stopped(echo):
    predictor = echo(seconds=5)  # within which a busy machine starts the next process
    predictor.ask("a", {})
    with pytest.raises(SegError, match="longer than 5 s"):
        predictor.ask("sleep", {})
    assert predictor.ask("a", {})[0]["task"] == "a"


def test_who_waits_too_long_for_a_turn_is_told(echo):
    predictor = echo(seconds=0.1)
    with predictor._turn, pytest.raises(SegError, match="busy"):
        predictor.ask("a", {})


def test_many_at_once_get_their_own_answers(echo):
    predictor, found = echo(), {}

    def ask(number: int) -> None:
        found[number] = predictor.ask("a", {"number": number})[0]["number"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: number for number in range(20)}


def test_the_process_ends_with_a_server_that_was_killed():
    code = (
        "import os; from dashboard.workers.predictor import Predictor\n"
        "print(Predictor()._start_process().pid, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, stdout=subprocess.PIPE, timeout=60)
    deadline = time.monotonic() + 30
    while is_running(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


# --- what it says ---


@pytest.mark.slow
def test_the_numbers_are_those_of_a_run(real, tmp_path):
    photo = SAMPLE / "cats" / "chelsea.png"
    store = Store.create(tmp_path / "store")
    options = RunOptions(workers=0, names=("chelsea",))
    report = seglib.run(SAMPLE, store, find_model_spec(DEFAULT_MODEL), precision="fp32", options=options)
    kept = store.stats(store.run(report.run)).iloc[0]
    seen = real.predict(photo.read_bytes(), model=DEFAULT_MODEL, precision="fp32")
    assert (seen.run, seen.image_id) == (report.run, kept["image_id"])
    assert {n: v for n, v in seen.row.items() if n not in CONFIDENCE_COLUMNS} == {
        n: v for n, v in kept.items() if n not in (*CONFIDENCE_COLUMNS, "image_id")
    }
    assert [seen.row[n] for n in CONFIDENCE_COLUMNS] == pytest.approx(
        [float(kept[n]) for n in CONFIDENCE_COLUMNS], abs=1e-5
    )
    assert (decode_index_png(seen.mask) == store.mask(report.run, seen.image_id)).all()
    with Image.open(io.BytesIO(seen.picture)) as picture:
        assert picture.size == (seen.width, seen.height)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_of_the_store_is_followed_in_its_precision(real, tmp_path, precision):
    data = (SAMPLE / "cats" / "chelsea.png").read_bytes()
    store, options = Store.create(tmp_path / "store"), RunOptions(workers=0, names=("chelsea",))
    seglib.run(SAMPLE, store, find_model_spec(DEFAULT_MODEL), resize=Resize("64"), precision=precision, options=options)
    seen = real.predict(data, model=DEFAULT_MODEL, resize="64", like=(store.path, store.run()))
    assert (seen.precision, seen.run) == (precision, store.run().run)


@pytest.mark.slow
def test_a_run_that_cannot_be_made_again_is_not_followed(real, tmp_path):
    from tests.dashboard.conftest import fill_store

    run = fill_store(tmp_path / "store")
    data = (SAMPLE / "cats" / "chelsea.png").read_bytes()
    seen = real.predict(data, model=DEFAULT_MODEL, resize="64", precision="fp32", like=(tmp_path / "store", run))
    assert seen.run.startswith(f"{DEFAULT_MODEL}-64-")


@pytest.mark.slow
def test_a_photo_that_cannot_be_read_says_why(real):
    with pytest.raises(BadImage) as error:
        real.predict(b"no picture", model=DEFAULT_MODEL)
    assert error.value.reason == "not_an_image"


@pytest.mark.slow
def test_a_bomb_is_refused_before_it_is_decoded(real):
    buffer = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(buffer, "PNG")
    with pytest.raises(BadImage) as error:
        real.predict(buffer.getvalue(), model=DEFAULT_MODEL)
    assert error.value.reason == "too_large"


def jpeg_frame(size_wh: tuple[int, int] = (427, 320)) -> bytes:
    """The sample's cat, as a browser sends it."""
    buffer = io.BytesIO()
    with Image.open(SAMPLE / "cats" / "chelsea.png") as picture:
        picture.convert("RGB").resize(size_wh).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["fcn_mobilenet_v2", "unet_mobilenet_v2"])
def test_a_frame_of_the_live_view_has_the_mask_of_a_photo(real, model):
    frame, fields = jpeg_frame(), {"session": "a", "model": model}
    assert real.ask("open_live", fields) == ({"side": 320}, [])
    live, beside_others = (real.ask("segment_frame", fields | {"alone": alone}, frame)[1][0] for alone in (True, False))
    assert live == beside_others
    with Image.open(io.BytesIO(live)) as picture:
        assert picture.mode == "L"  # as browsers can read it
    mask = decode_index_png(live)
    assert (mask == decode_index_png(real.predict(frame, model=model).mask)).all()
    assert len(set(mask.flat)) > 1


def test_a_frame_is_a_small_jpeg():
    assert predict_worker._decode_frame(jpeg_frame()).size == (427, 320)
    buffer = io.BytesIO()
    Image.new("RGB", (2, 2)).save(buffer, "PNG")
    for data, reason in [
        (jpeg_frame((2000, 1200)), "too_large"),
        (jpeg_frame()[:-2000], "truncated"),
        (buffer.getvalue(), "not_an_image"),
        (b"\xff\xd8\xff nothing", "damaged"),
    ]:
        with pytest.raises(BadImage) as error:
            predict_worker._decode_frame(data)
        assert error.value.reason == reason


def test_the_model_of_a_live_view_is_found_once(monkeypatch):
    asked = []
    monkeypatch.setattr(predict_worker, "_resolve_model", asked.append)
    for session in ("x", "x", "y"):
        predict_worker._resolve_live_model({"session": session, "model": "m", "settings": {"a": "b"}})
    wanted = {"model": "m", "resize": "", "precision": "auto", "settings": {"a": "b"}}
    assert asked == [wanted, wanted]


@pytest.mark.slow
def test_a_resize_or_model_that_makes_no_sense_is_a_sentence(real):
    data = (SAMPLE / "cats" / "chelsea.png").read_bytes()
    with pytest.raises(SegError, match="A resize is"):
        real.predict(data, model=DEFAULT_MODEL, resize="huge")
    with pytest.raises(SegError, match="among those"):
        real.predict(data, model="gpt")


def test_weights_that_are_not_here_are_not_fetched(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    about, _ = predict_worker.answer_question({"task": "predict", "model": "fcn_resnet50", "resize": ""}, [b""])
    assert "are not here" in about["error"]


def test_any_other_fault_is_a_sentence_too(monkeypatch, capsys):
    def fail(*_: object) -> None:
        raise RuntimeError("inside /home/me")

    monkeypatch.setitem(predict_worker.TASKS, "fail", fail)
    about, _ = predict_worker.answer_question({"task": "fail"}, [])
    assert about["error"].startswith("The model failed on this photo (RuntimeError)")
    assert "/home/me" not in about["error"]
    assert "/home/me" in capsys.readouterr().err
