"""Decoding in processes; one of them is killed by its file."""

import os
import time
from pathlib import Path

import pytest
from PIL import Image

from seglib.data import decode_pool
from seglib.data.image import DecodedImage, Extras
from seglib.data.resize import Resize
from seglib.errors import BadImage, SegError


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{index:02}.png" for index in range(40)]
    for index, path in enumerate(paths):
        Image.new("RGB", (40 + index, 32), (index, 0, 0)).save(path)
    return paths


@pytest.mark.parametrize("count", [0, 2])
def test_photos_come_back_in_order_and_failures_are_values(files, count):
    files[7].write_bytes(b"")
    with decode_pool.DecodePool(count, Resize("32x32")) as decoders:
        decoders.wait_until_ready()
        outcomes = list(decoders.decode((path.name, path, Extras(thumbnail=True)) for path in files))
    assert [tag for tag, _ in outcomes] == [path.name for path in files]
    assert [o.width if isinstance(o, DecodedImage) else o.reason for _, o in outcomes[6:9]] == [46, "empty", 48]


def die(_: object) -> None:
    os._exit(1)


def test_workers_that_cannot_start_are_no_fault_of_the_photos(monkeypatch):
    monkeypatch.setattr(decode_pool, "_init_worker", die)
    with decode_pool.DecodePool(2, Resize("32x32")) as decoders, pytest.raises(SegError, match="end as soon as they"):
        decoders.wait_until_ready()


def test_workers_that_take_forever_to_start_are_a_sentence(monkeypatch):
    monkeypatch.setattr(decode_pool, "_START_SECONDS", 0)
    with decode_pool.DecodePool(1, Resize("32x32")) as decoders, pytest.raises(SegError, match="do not start"):
        decoders.wait_until_ready()


@pytest.mark.slow
@pytest.mark.parametrize("resize", [Resize("32x32"), None], ids=["pixels", "thumbnails, several a call"])
def test_a_file_that_kills_its_worker_costs_that_file_alone(files, monkeypatch, resize):
    monkeypatch.setattr(decode_pool, "decode_file", read_or_die)
    files[3].rename(files[3].with_name("killer.png"))
    files[3] = files[3].with_name("killer.png")
    with decode_pool.DecodePool(2, resize) as decoders:
        outcomes = dict(decoders.decode((path.name, path, Extras()) for path in files))
    assert list(outcomes) == [path.name for path in files]
    failed = {name: o for name, o in outcomes.items() if isinstance(o, BadImage)}
    assert list(failed) == ["killer.png"]
    assert failed["killer.png"].reason == "damaged"


def read_or_die(path: Path, resize: Resize, extras: Extras):
    if path.name == "killer.png":
        os._exit(1)
    from seglib.data.decode_pool import decode_file

    return decode_file(path, resize, extras)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "setpriority"), reason="this system limits no processor time")
@pytest.mark.parametrize("how", ["in Python", "where no signal is heard"])
def test_a_file_that_takes_too_long_costs_that_file_alone(files, monkeypatch, how):
    monkeypatch.setattr(decode_pool, "decode_file", read_or_hang)
    slow = files[3].with_name(f"{how}.png")
    files[3].rename(slow)
    files[3] = slow
    with decode_pool.DecodePool(2, Resize("32x32"), decode_pool.Limits(seconds=0.3)) as decoders:
        outcomes = dict(decoders.decode((path.name, path, Extras()) for path in files))
    assert len(outcomes) == 40
    (name,) = [name for name, outcome in outcomes.items() if isinstance(outcome, BadImage)]
    assert (name, outcomes[name].reason) == (slow.name, "too_slow")


def read_or_hang(path: Path, resize: Resize, extras: Extras):
    from seglib.data.decode_pool import decode_file

    if path.name == "in Python.png":
        while True:
            time.monotonic()
    if path.name == "where no signal is heard.png":
        sum(range(10**12))  # C code that never returns to the interpreter
    return decode_file(path, resize, extras)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="this system limits no memory")
def test_a_file_that_takes_too_much_memory_costs_that_file_alone(files):
    Image.new("L", (9000, 9000)).save(files[3])
    with decode_pool.DecodePool(1, Resize("32x32"), decode_pool.Limits(memory=200_000_000)) as decoders:
        outcomes = dict(decoders.decode((path.name, path, Extras()) for path in files))
    failed = {name: o.reason for name, o in outcomes.items() if isinstance(o, BadImage)}
    assert failed == {files[3].name: "too_large"}


def test_decoders_do_not_write_to_the_terminal(files, capfd):
    Image.new("RGB", (64, 64)).save(files[0], "TIFF", compression="tiff_lzw")
    data = files[0].read_bytes()
    files[0].write_bytes(data[:8] + b"\xff" * 40 + data[48:])
    with decode_pool.DecodePool(1, Resize("32x32")) as decoders:
        ((_, outcome),) = decoders.decode([("a", files[0], Extras())])
    assert isinstance(outcome, BadImage)
    assert capfd.readouterr().err == ""
