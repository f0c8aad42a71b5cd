"""Several machines on one disk: here they are containers, or other names in the files that they leave."""

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from seglib.errors import StoreError
from seglib.fileio import atomic, lock, process, shared_disk
from seglib.fileio.lock import RegisteredWriter
from tests.conftest import ROOT

NEW_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


@pytest.fixture
def quick(monkeypatch):
    """A heart beats every 20 ms, and who is silent for 0.3 s is dead."""
    monkeypatch.setattr(shared_disk, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr(atomic, "SILENT_SECONDS", 0.3)
    monkeypatch.setattr(lock, "SILENT_SECONDS", 0.3)


@pytest.fixture
def elsewhere(monkeypatch):
    """`elsewhere()` moves this process to another machine; so it cannot look up what it left before."""

    def move(name: str = "another") -> None:
        monkeypatch.setattr(process.platform, "node", lambda: name)

    return move


def fall_silent(folder: Path, seconds: float) -> None:
    for path in (*folder.iterdir(), folder):
        os.utime(path, (time.time() - seconds,) * 2)


# --- containers ---


WRITER = """
import sys
from pathlib import Path
from seglib.fileio.lock import RegisteredWriter, lock
writer = RegisteredWriter(Path(sys.argv[1]))
with writer.register_writer():
    writer.claim_run("a-run")
    with lock(Path(sys.argv[1])):
        print("ready", flush=True)
        sys.stdin.read()
"""


@pytest.mark.slow
def test_a_writer_in_another_container_of_this_host_is_let_alone(tmp_path):
    """It has our name and our kernel, but process numbers of its own."""
    if subprocess.run([*NEW_CONTAINER, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system makes no containers here")
    command = [*NEW_CONTAINER, sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout.readline() == b"ready\n"
        here = RegisteredWriter(tmp_path)
        assert here.sweep() == 0
        assert here.has_other_writers()
        assert here.is_run_claimed("a-run")
        with pytest.raises(StoreError, match="another machine"), lock.lock(tmp_path, wait_seconds=0.2):
            pass
        assert (tmp_path / "lock").exists()
        writer.stdin.close()
        assert writer.wait(30) == 0
    assert list(tmp_path.iterdir()) == []


def test_outside_containers_a_host_is_called_as_it_always_was(monkeypatch):
    """A store that another version of this program is using is not swept."""
    monkeypatch.setattr(process.platform, "node", lambda: "name")
    monkeypatch.setattr(process, "_pid_namespace", lambda: 4026531836)
    assert process.host_and_boot()[0] == "82a3537f"  # the first digits of the SHA-256 of its name
    monkeypatch.setattr(process, "_pid_namespace", lambda: 4026532179)
    assert process.host_and_boot()[0] != "82a3537f"


def test_where_proc_shows_other_process_numbers_a_living_process_is_not_dead(monkeypatch):
    """As in a container that shows the /proc of its host."""
    monkeypatch.setattr(process.os, "readlink", lambda _: "1")
    host, boot = process.host_and_boot()
    assert not process.is_dead(host, boot, os.getppid(), "a time of another process")


# --- writers on another machine ---


@pytest.mark.usefixtures("quick")
def test_a_writer_elsewhere_is_alive_as_long_as_its_heart_beats(tmp_path, elsewhere):
    with RegisteredWriter(tmp_path).register_writer():
        elsewhere()
        here = RegisteredWriter(tmp_path)
        time.sleep(0.5)
        assert here.has_other_writers()
        assert here.sweep() == 0


def test_a_writer_elsewhere_that_is_silent_for_a_minute_is_dead(tmp_path, elsewhere):
    folder = tmp_path / "tmp" / "ffffffff.ffffffff.7.9-abcd"
    folder.mkdir(parents=True)
    (folder / "run.a-run").touch()
    here = RegisteredWriter(tmp_path)
    for seconds, alive in ((50, True), (70, False)):
        fall_silent(folder, seconds)
        assert (here.has_other_writers(), here.is_run_claimed("a-run")) == (alive, alive)
    assert here.sweep() == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("seconds", [50, 70])
def test_a_long_write_elsewhere_is_a_sign_of_life(tmp_path, seconds):
    """Also by a process that is no registered writer: its file grows, though its folder is as it was."""
    folder = tmp_path / "tmp" / "ffffffff.ffffffff.7.9-abcd"
    folder.mkdir(parents=True)
    (folder / "growing").write_bytes(b"x")
    os.utime(folder, (time.time() - 3600,) * 2)
    os.utime(folder / "growing", (time.time() - seconds,) * 2)
    assert RegisteredWriter(tmp_path).has_other_writers() == (seconds < 60)


@pytest.mark.usefixtures("quick")
def test_a_writer_that_was_taken_for_dead_claims_again_when_it_wakes(tmp_path, elsewhere):
    (tmp_path / "store").mkdir()
    writer = RegisteredWriter(tmp_path / "store")
    with writer.register_writer():
        writer.claim_run("a-run")
        (tmp_path / "store" / "tmp").rename(tmp_path / "swept")  # by another machine
        deadline = time.monotonic() + 10
        elsewhere()
        while not RegisteredWriter(tmp_path / "store").is_run_claimed("a-run"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert list((tmp_path / "store").iterdir()) == []


def test_machines_need_not_agree_on_the_time(tmp_path, elsewhere, monkeypatch):
    """Only the disk's clock counts."""
    with RegisteredWriter(tmp_path).register_writer(), lock.lock(tmp_path):
        elsewhere()
        for seconds in (-7200, 7200):
            monkeypatch.setattr(time, "time", lambda shift=seconds: time.time_ns() / 1e9 + shift)
            assert RegisteredWriter(tmp_path).has_other_writers()
            with pytest.raises(StoreError, match="another machine"), lock.lock(tmp_path, wait_seconds=0):
                pass


def test_on_a_disk_that_may_not_be_written_this_machines_clock_counts(tmp_path, monkeypatch):
    def refuse(*_) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    (tmp_path / "file").touch()
    os.utime(tmp_path / "file", (time.time() - 100,) * 2)
    monkeypatch.setattr(os, "utime", refuse)
    assert shared_disk.silent_seconds(tmp_path / "file", tmp_path) == pytest.approx(100, abs=30)


# --- the lock ---


@pytest.mark.usefixtures("quick")
def test_the_lock_of_a_dead_process_elsewhere_ends_while_others_wait_for_it(tmp_path):
    """Not after they have given up."""
    assert lock.LOCK_WAIT_SECONDS > shared_disk.SILENT_SECONDS
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "ffffffff", "boot": "ffffffff"}))
    with pytest.raises(StoreError), lock.lock(tmp_path, wait_seconds=0):
        pass
    with lock.lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


@pytest.mark.usefixtures("quick")
def test_a_lock_is_kept_as_long_as_its_holders_heart_beats(tmp_path, elsewhere):
    with lock.lock(tmp_path):
        elsewhere()
        with pytest.raises(StoreError, match="another machine"), lock.lock(tmp_path, wait_seconds=0.6):
            pass


@pytest.mark.parametrize("code", ["ENOSYS", "ENOLCK", "EOPNOTSUPP", "EINVAL"])
def test_a_stale_lock_ends_also_where_flock_does_not_exist(tmp_path, monkeypatch, code):
    def refuse(*_) -> None:
        raise OSError(getattr(errno, code), code)

    monkeypatch.setattr(fcntl, "flock", refuse)
    (tmp_path / "lock").write_text(json.dumps({"pid": 1, "host": "ffffffff", "boot": "ffffffff"}))
    os.utime(tmp_path / "lock", (time.time() - 61,) * 2)
    with lock.lock(tmp_path, wait_seconds=0):
        pass


def test_a_lock_whose_making_was_answered_twice_is_held(tmp_path, monkeypatch):
    """NFS repeats a request whose reply was lost, and then finds what it made itself."""
    link = os.link

    def twice(source, target) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    monkeypatch.setattr(os, "link", twice)
    with lock.lock(tmp_path, wait_seconds=0):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()


# --- files that another machine replaces ---


def stale(times: int, result: bytes = b"content"):
    """A reading that fails so many times because the file was replaced while it was open."""
    left = [times]

    def read() -> bytes:
        if left[0]:
            left[0] -= 1
            raise OSError(errno.ESTALE, "Stale file handle")
        return result

    return read


def test_a_stale_handle_is_opened_again_a_few_times():
    assert shared_disk.retry_stale(stale(4)) == b"content"
    with pytest.raises(OSError, match="Stale"):
        shared_disk.retry_stale(stale(100))


def test_other_errors_are_raised_at_once():
    calls = []

    def read() -> None:
        calls.append(1)
        raise PermissionError(errno.EACCES, "Permission denied")

    with pytest.raises(PermissionError):
        shared_disk.retry_stale(read)
    assert calls == [1]
