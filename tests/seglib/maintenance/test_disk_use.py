"""The disk use of a run: exact where there are few masks, else estimated from some of its subfolders."""

import os
from pathlib import Path

import pytest

from seglib.maintenance.disk_use import measure_run
from seglib.maintenance.status import run_size_bytes
from seglib.store.store import Store


@pytest.fixture
def store(tmp_path):
    """256 subfolders of 4 masks of 1000 to 1003 bytes, and 500 bytes of statistics."""
    store = Store.create(tmp_path / "store")
    for shard in range(256):
        folder = store.masks("r").folder / f"{shard:02x}"
        folder.mkdir(parents=True)
        for number in range(4):
            (folder / f"{number}.png").write_bytes(b"x" * (1000 + number))
    stats = store.run_folder("r") / "stats"
    stats.mkdir()
    (stats / "part-0.parquet").write_bytes(b"x" * 500)
    return store


def test_few_masks_are_all_measured(store):
    use = measure_run(store, "r")
    assert (use.bytes, use.exact) == (run_size_bytes(store, "r"), True)


def test_many_masks_are_estimated_from_some_subfolders(store, monkeypatch):
    for mask in (store.masks("r").folder / "00").iterdir():
        mask.write_bytes(b"x" * 1101)
    looked = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: looked.append(folder) or real(folder))
    use = measure_run(store, "r", max_masks=40)
    assert not use.exact
    assert len([folder for folder in looked if Path(folder).parent.name == "masks"]) <= 20
    assert use.bytes == pytest.approx(run_size_bytes(store, "r"), rel=0.02)


def test_links_and_missing_folders_count_nothing(store, tmp_path):
    big = tmp_path / "big"
    big.write_bytes(b"x" * 10**6)
    (store.run_folder("r") / "link").symlink_to(big)
    (store.masks("r").folder / "zz").symlink_to(tmp_path, target_is_directory=True)
    assert measure_run(store, "r").bytes == 256 * 4006 + 500
    assert measure_run(store, "none").bytes == 0
