"""Decoding in processes; one of them is killed by its file."""

import os
from pathlib import Path

import pytest
from PIL import Image

from seglib import workers
from seglib.errors import BadImage
from seglib.preprocess import Photo, Resize


@pytest.fixture
def files(tmp_path) -> list[Path]:
    paths = [tmp_path / f"{index:02}.png" for index in range(40)]
    for index, path in enumerate(paths):
        Image.new("RGB", (40 + index, 32), (index, 0, 0)).save(path)
    return paths


@pytest.mark.parametrize("count", [0, 2])
def test_photos_come_back_in_order_and_failures_are_values(files, count):
    files[7].write_bytes(b"")
    with workers.Decoders(count, Resize("32x32")) as decoders:
        decoders.wait_until_up()
        outcomes = list(decoders.decode((path.name, path, True) for path in files))
    assert [tag for tag, _ in outcomes] == [path.name for path in files]
    assert [o.width if isinstance(o, Photo) else o.reason for _, o in outcomes[6:9]] == [46, "empty", 48]


def test_a_file_that_kills_its_worker_costs_that_file_alone(files, monkeypatch):
    monkeypatch.setattr(workers, "read", read_or_die)
    files[3].rename(files[3].with_name("killer.png"))
    files[3] = files[3].with_name("killer.png")
    with workers.Decoders(2, Resize("32x32")) as decoders:
        outcomes = dict(decoders.decode((path.name, path, False) for path in files))
    assert len(outcomes) == 40
    failed = {name: o for name, o in outcomes.items() if isinstance(o, BadImage)}
    assert list(failed) == ["killer.png"]
    assert failed["killer.png"].reason == "damaged"


def read_or_die(path: Path, resize: Resize, wants_thumbnail: bool):
    if path.name == "killer.png":
        os._exit(1)
    from seglib.workers import read

    return read(path, resize, wants_thumbnail)
