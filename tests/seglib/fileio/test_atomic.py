import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from seglib.errors import StoreError
from seglib.fileio import atomic
from seglib.fileio.lock import RegisteredWriter, _remove_stale, lock
from seglib.fileio.process import host_and_boot


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    """Here a write does wait until it is flushed."""


@pytest.fixture
def scratch(tmp_path):
    return RegisteredWriter(tmp_path)


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_file_appears_whole_or_not_at_all(tmp_path, scratch):
    scratch.write(tmp_path / "a" / "file", b"old", durable=True)

    class Unwritable(bytes):
        pass

    with pytest.raises(TypeError):
        scratch.write(tmp_path / "a" / "file", "text is no bytes")  # type: ignore[arg-type]
    assert (tmp_path / "a" / "file").read_bytes() == b"old"
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file"]


def test_what_a_dead_process_left_is_swept_and_a_living_ones_is_not(tmp_path, scratch):
    host, boot = host_and_boot()
    for pid in (dead_process(), os.getppid()):
        (tmp_path / "tmp" / f"{host}.{boot}.{pid}").mkdir(parents=True)
        (tmp_path / "tmp" / f"{host}.{boot}.{pid}" / "half").write_bytes(b"x")
    assert scratch.has_other_writers()
    assert scratch.sweep() == 1
    assert [p.name for p in (tmp_path / "tmp").iterdir()] == [f"{host}.{boot}.{os.getppid()}"]


def test_closing_leaves_nothing(tmp_path, scratch):
    scratch.write(tmp_path / "file", b"x")
    scratch.close()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


# --- the lock ---


def test_a_lock_keeps_others_out_and_is_gone_afterwards(tmp_path):
    refused = pytest.raises(StoreError, match=f"process {os.getpid()}")
    with lock(tmp_path), refused, lock(tmp_path, wait_seconds=0.1):
        pass
    assert not (tmp_path / "lock").exists()


def test_a_dead_holders_lock_is_taken_over(tmp_path):
    host, boot = host_and_boot()
    (tmp_path / "lock").write_text(json.dumps({"pid": dead_process(), "host": host, "boot": boot}))
    with lock(tmp_path, wait_seconds=1):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_lock_from_another_host_is_respected_until_it_falls_silent(tmp_path):
    path = tmp_path / "lock"
    path.write_text(json.dumps({"pid": 1, "host": "ffffffff", "boot": "ffffffff"}))
    with pytest.raises(StoreError), lock(tmp_path, wait_seconds=0.1):
        pass
    os.utime(path, (time.time() - 61,) * 2)
    with lock(tmp_path, wait_seconds=1):
        pass


def test_only_one_of_many_holds_it(tmp_path):
    inside, most = [0], [0]

    def work() -> None:
        for _ in range(10):
            with lock(tmp_path):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                inside[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_lock_without_a_word_in_it_does_not_last(tmp_path):
    """As a kill between making and writing it leaves, on a file system without hard links."""
    for content in (b"", b'{"pid": 1'):
        (tmp_path / "lock").write_bytes(content)
        os.utime(tmp_path / "lock", (time.time() - 3,) * 2)
        with lock(tmp_path, wait_seconds=1):
            pass


def test_a_lock_is_there_with_its_holder_or_not_at_all(tmp_path, monkeypatch):
    def killed(*_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", killed)
    with pytest.raises(KeyboardInterrupt), lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("code", ["EXDEV", "EINVAL", "EPERM", "EACCES", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK"])
def test_a_lock_needs_no_hard_links(tmp_path, monkeypatch, code):
    """As on overlays, network disks, memory cards and phones."""

    def refuse(*_) -> None:
        number = getattr(errno, code)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with lock(tmp_path):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
        with pytest.raises(StoreError), lock(tmp_path, wait_seconds=0):
            pass
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_lock(tmp_path, monkeypatch):
    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space"), lock(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_another_has_taken_over_is_not_taken_away(tmp_path):
    """Both saw the dead holder; the slower one must not remove the lock of the quicker one."""
    host, boot = host_and_boot()
    dead = json.dumps({"pid": dead_process(), "host": host, "boot": boot})
    (tmp_path / "lock").write_text(dead)
    with (tmp_path / "lock").open("rb"), lock(tmp_path):
        holder = (tmp_path / "lock").read_text()
        _remove_stale(tmp_path / "lock")
        assert (tmp_path / "lock").read_text() == holder


def test_who_fell_silent_does_not_end_the_lock_of_who_took_over(tmp_path):
    with lock(tmp_path):
        (tmp_path / "lock").write_text("{}")  # somebody else's by now
    assert (tmp_path / "lock").exists()


def test_another_process_of_the_same_number_is_not_the_writer(tmp_path, scratch):
    host, boot = host_and_boot()
    (tmp_path / "tmp" / f"{host}.{boot}.{os.getpid()}.1-abcd").mkdir(parents=True)
    assert not scratch.has_other_writers()
    assert scratch.sweep() == 0
    assert list(tmp_path.iterdir()) == []


# --- what others see ---


def test_who_wrote_once_is_no_writer_any_more(tmp_path, scratch):
    """A server that has tagged photos must not keep everybody from pruning."""
    scratch.write(tmp_path / "rows" / "a", b"1")
    assert not RegisteredWriter(tmp_path).has_other_writers()
    assert [p.name for p in tmp_path.iterdir()] == ["rows"]
    with scratch.register_writer():
        scratch.write(tmp_path / "rows" / "a", b"1")
        assert RegisteredWriter(tmp_path).has_other_writers()


def test_who_wants_to_write_waits_until_pruning_is_done(tmp_path, scratch):
    begun = threading.Event()

    def write() -> None:
        with scratch.register_writer():
            begun.set()

    writer = threading.Thread(target=write)
    with lock(tmp_path):
        writer.start()
        assert not begun.wait(0.3)
    writer.join()
    assert begun.is_set()


def test_all_is_on_the_disk_when_it_is_settled(scratch, tmp_path, monkeypatch):
    if sys.platform == "linux":
        scratch.sync()
        monkeypatch.setattr(atomic, "_syncfs", lambda: lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            scratch.sync()


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_outside_a_store_is_replaced_whole_or_not_at_all(tmp_path, durable):
    path = tmp_path / "out.csv"
    atomic.replace_file(path, b"old", durable=durable)
    with contextlib.suppress(InterruptedError), atomic.replacing(path, durable=durable) as temporary:
        temporary.write_bytes(b"half")
        raise InterruptedError
    assert path.read_bytes() == b"old"
    with atomic.replacing(path, durable=durable) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_replacing_does_not_bring_back_a_folder_that_was_removed(tmp_path):
    with pytest.raises(FileNotFoundError):
        atomic.replace_file(tmp_path / "gone" / "state.json", b"{}")
    assert not (tmp_path / "gone").exists()
