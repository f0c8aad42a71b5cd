"""Addresses, what is refused before anything is computed, and what a cluster that we start opens."""

import json
import os
import socket
import subprocess
import sys
from importlib.util import find_spec
from shutil import which

import pytest

from seglib.cli import main
from seglib.cluster import connection
from seglib.cluster.address import parse_address
from seglib.errors import SegError, UsageError
from seglib.pipeline import quantization
from seglib.pipeline.session import RunOptions
from tests.conftest import ROOT

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="the extra ray is not installed")


def test_addresses():
    assert parse_address("ray") is None
    assert parse_address("ray://10.0.0.5:6379") == "10.0.0.5:6379"
    assert parse_address("ray://head.example.org:65535") == "head.example.org:65535"
    assert parse_address("ray://[::1]:6379") == "[::1]:6379"


@pytest.mark.parametrize(
    "text",
    [
        *("", "Ray", "ray:", "ray://", "ray://host", "ray://host:", "ray://host:0", "ray://host:65536", "ray\n"),
        *("ray://host:1/x", "ray://host:6379?x", "ray://user:secret@host:6379", "ray://a b:1"),
        *("10.0.0.5:6379", "spark://host:7077"),
    ],
)
def test_other_addresses_are_refused(text):
    with pytest.raises(UsageError, match="`on` is ray, or ray://HOST:PORT"):
        RunOptions(on=text)


def test_what_contradicts_a_cluster_is_refused():
    with pytest.raises(UsageError, match="leave out `part`, or `on`"):
        RunOptions(on="ray", part=(1, 2))
    with pytest.raises(UsageError, match="leave out `workers` 0"):
        RunOptions(on="ray", workers=0)


def test_int8_is_calibrated_before(store, fake):
    with pytest.raises(UsageError, match="run once without `on`, with `limit` 1"):
        quantization.require(store, fake, fake.resize)


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.data", None)
    with pytest.raises(SegError, match=r"pip install '\.\[ray\]'"):
        connection.import_ray()


@needs_ray
def test_a_cluster_that_does_not_answer_is_one_sentence_and_leaves_no_store(photos, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(connection, "_HEALTH_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(SegError, match="is no head of a Ray cluster"):
            connection._check_health(f"127.0.0.1:{port}", "it")
    options = ["--store", str(tmp_path / "store"), "--on", f"ray://127.0.0.1:{port}"]
    assert main.main(["run", str(photos), *options]) == 1
    assert f"No Ray cluster answers at 127.0.0.1:{port} (Connection refused)" in capsys.readouterr().err
    assert not list((tmp_path / "store").glob("*/*"))


LISTENING = """
import json, os, re, subprocess, sys
import ray  # before, as in a notebook
from seglib.cluster import connection

def read(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()

notes = []
with connection.connect(None, notes.append) as ray:
    print("as a library would", flush=True)
    os.write(1, b"as C++ code would")
    assert ray.get(ray.remote(lambda: 1).remote()) == 1
    parents = dict(line.split() for line in read("ps", "-eo", "pid=,ppid="))
    ours = {str(os.getpid())}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    sockets = read("ss", "-Htlnp")
print(json.dumps([notes, [line.split()[3] for line in sockets if ours & set(re.findall(r"pid=([0-9]+)", line))]]))
"""


@needs_ray
@pytest.mark.slow
@pytest.mark.skipif(which("ss") is None, reason="no ss at hand")
def test_a_cluster_that_we_start_listens_on_the_loopback_address_and_standard_output_stays_ours():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", LISTENING],
        cwd=ROOT,
        env=environment | {"RAY_ADDRESS": "local", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "as a library would\nas C++ code would" in done.stderr
    (note,), listening = json.loads(done.stdout)
    assert "starting one on this machine" in note
    assert len(listening) > 3
    assert [one for one in listening if "127.0.0.1" not in one] == []
