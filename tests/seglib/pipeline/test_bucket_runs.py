"""Runs over photos on object storage: a server of S3 on loopback, real requests."""

import contextlib
import http.server
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

import seglib
from seglib.compute.task import Job
from seglib.data.buckets import client, reading
from seglib.data.buckets.address import Bucket
from seglib.data.buckets.scan import scan_bucket
from seglib.errors import BadImage, DatasetError, StoreError, UsageError
from seglib.inference.config import InferenceConfig
from seglib.maintenance import status
from seglib.pipeline.session import RunOptions
from seglib.store.store import Store
from tests.buckets import ENVIRONMENT, SECRET
from tests.conftest import ROOT
from tests.seglib.small_runs import counts, run

ADDRESS = "s3://photos/sets/one"


@pytest.fixture
def uploaded(bucket, photos):
    """The four photos below `ADDRESS`, and what a scan leaves out."""
    bucket.upload(photos, "sets/one")
    for key in ("sets/one/notes.txt", "sets/one/.hidden/a.png", "sets/one2/cats/e.png"):
        bucket.put(key, (photos / "cats/a.png").read_bytes())
    bucket.put("sets/one/folder/", b"")
    return bucket


def picture(colour: str) -> bytes:
    buffer = BytesIO()
    Image.new("RGB", (64, 48), colour).save(buffer, "PNG")
    return buffer.getvalue()


def failures(store):
    return store.failures().set_index("path")["detail"].to_dict()


def test_masks_rows_and_the_run_are_those_of_a_folder(uploaded, photos, store, fake, tmp_path):
    report = run(ADDRESS, store, fake)
    assert counts(report) == (4, 4, 0, 0)
    assert report.left_out.kinds == {".txt": 1}
    local = Store.create(tmp_path / "local")
    assert run(photos, local, fake).run == report.run
    for image_id in local.table()["image_id"]:
        there, here = (one.mask_path(report.run, image_id).read_bytes() for one in (store, local))
        assert there == here
    assert store.table().drop(columns="dataset").equals(local.table().drop(columns="dataset"))
    assert store.table()["dataset"].unique().tolist() == ["one"]
    assert str(store.datasets()[0].root) == ADDRESS
    assert seglib.open(store.path).image("one", "cats/a.png").size == (64, 48)


def test_a_second_run_is_one_listing(uploaded, store, fake, monkeypatch):
    run(ADDRESS, store, fake)
    monkeypatch.setattr(reading, "read_object", pytest.fail)
    assert counts(run(ADDRESS + "/", store, fake)) == (4, 0, 4, 0)
    assert len(store.datasets()) == 1
    assert [drift.sentence for drift in status.find_drifts(store)] == [""]


def test_what_changes_in_the_bucket_is_found(uploaded, store, fake):
    run(ADDRESS, store, fake)
    uploaded.put("sets/one/cats/a.png", picture("red"))
    uploaded.delete("sets/one/cats/b.png")
    uploaded.put("sets/one/cats/new.png", picture("blue"))
    (drift,) = status.find_drifts(store)
    assert (drift.new, drift.changed + drift.touched, drift.vanished) == (1, 1, 1)
    with pytest.raises(StoreError, match="can no longer be read"):
        store.image("one", "cats/b.png")
    with pytest.raises(StoreError, match="can no longer be read"):  # asked for by the ETag of the scan
        store.image("one", "cats/a.png")
    report = run(ADDRESS, store, fake)
    assert (*counts(report), report.vanished) == (4, 2, 2, 0, 1)


def test_objects_that_cannot_be_had_are_rows_with_a_reason(uploaded, store, fake, monkeypatch):
    uploaded.put("sets/one/ice.png", picture("red"), StorageClass="GLACIER")
    uploaded.put("sets/one/empty.png", b"")
    uploaded.put("sets/one/large.png", bytes(300))
    uploaded.put("sets/one/torn.png", picture("blue")[:40])
    monkeypatch.setattr(reading, "MAX_BYTES", 250)
    assert counts(run(ADDRESS, store, fake)) == (8, 4, 0, 4)
    assert failures(store) == {
        "ice.png": "Its storage class is an archive: restore it first.",
        "empty.png": "The file has no bytes.",
        "large.png": "The file has 300 bytes, more than 250.",
        "torn.png": failures(store)["torn.png"],
    }
    uploaded.put("sets/one/ice.png", picture("red"))
    assert counts(run(ADDRESS, store, fake)) == (8, 1, 4, 3)


def test_objects_that_change_or_go_after_the_listing_are_rows_with_a_reason(uploaded, store, fake, monkeypatch):
    real = reading.read_object

    def late(bucket, path, size, etag):
        if path == "cats/a.png":
            uploaded.put("sets/one/cats/a.png", picture("red"))
        if path == "dogs/c.png":
            uploaded.delete("sets/one/dogs/c.png")
        return real(bucket, path, size, etag)

    monkeypatch.setattr(reading, "read_object", late)
    assert counts(run(ADDRESS, store, fake)) == (4, 2, 0, 2)
    assert failures(store) == {
        "cats/a.png": "It has changed since it was listed: run again.",
        "dogs/c.png": "It is gone.",
    }


@pytest.mark.parametrize("prefix", ["a%20b", "a b", "100%", "ä+ü", "x/[1]~*"])
def test_a_prefix_is_taken_literally(bucket, prefix):
    for key in {"a%20b", "a b", "a%2520b", prefix}:
        bucket.put(f"{key}/1.png", key.encode())
    root = Bucket.parse(f"s3://photos/{prefix}")
    (row,) = scan_bucket(root).records.itertuples()
    assert reading.read_object(root, row.path, row.bytes, row.etag).decode() == prefix


def test_an_object_of_another_size_than_listed_is_not_read(bucket):
    bucket.put("a.png", bytes(300))
    root = Bucket.parse("s3://photos")
    (row,) = scan_bucket(root).records.itertuples()
    with pytest.raises(BadImage, match="It has 300 bytes, and 5 in the listing"):
        reading.read_object(root, row.path, 5, row.etag)


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [
        (403, "AccessDenied", r"S3 denies access \(AccessDenied\): check the credentials"),
        (400, "ExpiredToken", "S3 answers ExpiredToken"),
        (503, "SlowDown", "S3 asks to slow down"),
    ],
)
def test_what_the_service_refuses_is_one_sentence(monkeypatch, status, code, why):
    class Refusal(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"<Error><Code>{code}</Code><Message>{SECRET}</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setattr(client, "_RETRIES", 0)
    client.connect.cache_clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(DatasetError, match=f"^s3://photos/a cannot be read: {why}") as refused:
            scan_bucket(Bucket.parse("s3://photos/a"))
        server.shutdown()
    client.connect.cache_clear()
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_service_that_goes_away_stops_the_run_and_loses_nothing(uploaded, store, fake, monkeypatch):
    real, asked = reading.connect, []

    def gone(bucket):
        asked.append(bucket)
        if len(asked) < 3:
            return real(bucket)
        with monkeypatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            return real.__wrapped__(bucket)

    monkeypatch.setattr(reading, "connect", gone)
    monkeypatch.setattr(reading, "READS_AHEAD", 1)
    with pytest.raises(DatasetError, match=r"S3 cannot be reached: .*\. What was computed is kept: the same command"):
        run(ADDRESS, store, fake, RunOptions(workers=0, batch_size=1))
    assert len(store.table()) == 2
    monkeypatch.setattr(reading, "connect", real)
    assert counts(run(ADDRESS, store, fake)) == (4, 2, 2, 0)


def test_a_bucket_that_is_not_there_leaves_no_store(bucket, fake, tmp_path):
    with pytest.raises(DatasetError, match="there is no bucket 'nowhere' at S3"):
        seglib.run("s3://nowhere/a", tmp_path / "store", fake)
    with pytest.raises(DatasetError, match="No photos below 's3://photos/none'"):
        seglib.run("s3://photos/none", tmp_path / "store", fake)
    bucket.put("odd/a//b.png", b"x")
    with pytest.raises(DatasetError, match="a key has an empty part"):
        seglib.run("s3://photos/odd", tmp_path / "store", fake)
    assert not (tmp_path / "store").exists()


def test_a_store_is_not_on_object_storage(photos, fake):
    for made in (Store, Store.create, seglib.open):
        with pytest.raises(UsageError, match="A store lies in a folder, not on object storage"):
            made("s3://photos/store")
    with pytest.raises(UsageError, match="A store lies in a folder"):
        seglib.run(photos, "s3://photos/store", fake)


def test_only_so_much_is_read_ahead(uploaded, monkeypatch):
    monkeypatch.setattr(reading, "BYTES_AHEAD", 100)
    root, most, held = Bucket.parse(ADDRESS), [0], [0]
    real = reading.read_object

    def counted(*asked):
        held[0] += 1
        most[0] = max(most[0], held[0])
        return real(*asked)

    monkeypatch.setattr(reading, "read_object", counted)
    photos = [(number, "cats/a.png", 60, None) for number in range(20)]
    numbers = []
    for number, content in reading.read_ahead(root, photos):
        assert isinstance(content, bytes)
        held[0] -= 1
        numbers.append(number)
    assert numbers == list(range(20))
    assert most[0] <= 2


def read_command_lines() -> str:
    """Of all processes, as `ps` shows them."""
    lines = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has ended
            lines.append(file.read_text("utf-8", "replace"))
    return "\n".join(lines)


def test_no_secret_is_in_a_traceback_with_all_local_variables(uploaded, monkeypatch):
    def explain(failing) -> str:
        with pytest.raises((DatasetError, BadImage)) as caught:
            failing()
        told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        return "".join(told.format())

    gone = explain(lambda: reading.read_object(Bucket.parse(ADDRESS), "cats/gone.png", 60, None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    unreachable = explain(lambda: scan_bucket(Bucket.parse("s3://photos/sets")))
    for told in (gone, unreachable):
        assert "root" in told or "bucket" in told  # the variables are among them
        assert SECRET not in told


@pytest.mark.slow
def test_no_secret_is_written_anywhere(uploaded, fake, tmp_path):
    job = Job(root=Bucket.parse(ADDRESS), model=fake, settings=InferenceConfig(resize=fake.resize))
    assert SECRET.encode() not in pickle.dumps(job)
    environment = os.environ | uploaded.environment

    def command(*arguments, **more):
        command = [sys.executable, "-m", "seglib", "run", *arguments, "--store", str(tmp_path / "store")]
        with subprocess.Popen(
            command, cwd=ROOT, env=environment | more, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            while process.poll() is None:
                assert SECRET not in read_command_lines() or SECRET in arguments[0]  # which this test has typed
                time.sleep(0.05)
            out, err = process.communicate()
        assert SECRET not in out + err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    assert command(ADDRESS, "--precision", "fp32", "--limit", "2").returncode == 0
    wrong = command("s3://photos/sets", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith("seglib: s3://photos/sets cannot be read: S3 cannot be reached")
    planted = command(f"s3://AKIAPLANTED:{SECRET}@photos/sets")
    assert planted.returncode == 2
    written = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert written
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]
