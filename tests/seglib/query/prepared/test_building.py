"""The prepared table of a store equals `Store.table`, is made in pieces that stay, and survives what may happen."""

import hashlib
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pandas.testing import assert_frame_equal

from seglib.cli.main import main
from seglib.errors import StoreError
from seglib.fileio import parquet_parts
from seglib.masks.statistics import CONFIDENCE_COLUMNS, blobs_column, pixels_column
from seglib.pipeline.run import describe_run
from seglib.query.columns import to_float64
from seglib.query.filters import Filters
from seglib.query.prepared import building
from seglib.query.prepared.building import prepare
from seglib.query.prepared.manifest import read_manifest
from seglib.query.prepared.table import open_table
from seglib.store import content, tags
from seglib.store.own_columns.adding import add_columns
from seglib.store.records import Run
from seglib.store.schemas import FILES_SCHEMA, stats_schema
from seglib.store.store import Store
from tests.dashboard.conftest import make_run_config

pytest.importorskip("duckdb", reason="the extra `large` is not installed")

CLASSES = ("background", "cat", "dog", "a'b")


def image_id(content_of: str) -> str:
    return hashlib.sha256(content_of.encode()).hexdigest()[:32]


def add_files(store: Store, folder: str, names: list[str], *, scan: int = 1, **changes: object) -> None:
    dataset = store.register_dataset(store.path.parent / folder)
    rows = pd.DataFrame(
        {
            "path": names,
            "bytes": 10,
            "mtime_ns": 1,
            "image_id": [image_id(name.partition("#")[0]) for name in names],
            "width": 40,
            "height": [30 + len(name) for name in names],
            "split": None,
            "label": [name.partition("/")[0] for name in names],
            "reason": None,
            "detail": None,
            "scan": scan,
        }
    ).assign(**changes)
    rows = rows.reindex(columns=FILES_SCHEMA.names).astype("object").where(lambda frame: frame.notna(), None)
    table = pa.Table.from_pandas(rows, FILES_SCHEMA, preserve_index=False)
    parquet_parts.append(store.atomic, store.files_folder(dataset), table)


def add_stats(store: Store, run: Run, names: list[str], seed: int = 0) -> None:
    rng, n = np.random.default_rng(seed), len(names)
    pixels = rng.multinomial(100, [0.7, 0.1, 0.1, 0.1], n).astype(np.int32)
    columns: dict[str, object] = {"image_id": [image_id(name) for name in names], "grid_width": 10, "grid_height": 10}
    columns |= {pixels_column(name): pixels[:, i] for i, name in enumerate(CLASSES)}
    columns |= {blobs_column(name): rng.integers(0, 3, n).astype(np.uint16) for name in CLASSES}
    columns |= {name: rng.random(n).astype(np.float32) for name in CONFIDENCE_COLUMNS}
    columns |= {"dominant": "cat", "animal": rng.choice(["cat", "dog", "none"], n)}
    table = pa.Table.from_pandas(pd.DataFrame(columns), stats_schema(CLASSES), preserve_index=False)
    parquet_parts.append(store.atomic, store.stats_folder(run), table)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two datasets of 20 photos, of which some are copies and some not computed, in pieces of about eight rows."""
    monkeypatch.setattr(building, "MOST_ROWS", 8)
    store = Store.create(tmp_path / "store")
    run = store.keep_run(describe_run(make_run_config(1, CLASSES), parameters=1, versions={}))
    names = [f"{'cats' if i % 3 else 'dogs'}/ä{i:02}.jpg" for i in range(20)]
    add_files(store, "b", names[::-1])
    add_files(store, "a", [f"{name}#copy" for name in names[:6]] + ["x.jpg"])
    add_stats(store, run, names[:9], seed=1)
    add_stats(store, run, names[5:17], seed=2)  # the newest row of an image counts
    return store


def assert_is_table(store: Store) -> None:
    prepared = open_table(store, store.run().run)
    assert prepared is not None
    expected = store.table([store.run().run], with_scan=True)
    found = prepared.rows_at(np.arange(prepared.rows))
    assert list(found.columns) == list(expected.columns)
    for name, values in expected.items():
        if values.dtype == np.float32:
            expected[name], found[name] = to_float64(values), to_float64(found[name])
    assert_frame_equal(found, expected, check_categorical=False)
    assert prepared.sorted_rows(Filters(), "path").tolist() == list(range(len(expected)))


def test_it_is_the_table_of_the_store(store):
    tags.tag(store, [image_id("dogs/ä00.jpg")], "good")
    report = prepare(store, store.run())
    assert report.pieces == 3
    assert report.rows == len(store.table())
    assert_is_table(store)


def test_pieces_stay_and_only_what_changed_is_made_again(store):
    prepare(store, store.run())
    assert prepare(store, store.run()).reused == 3
    add_files(store, "b", ["dogs/ä00.jpg"], scan=2, width=41)
    report = prepare(store, store.run())
    assert (report.pieces, report.reused) == (3, 2)
    assert_is_table(store)
    add_files(store, "b", ["cats/ä19.jpg", "zebras/new.jpg"], scan=3)
    add_stats(store, store.run(), ["zebras/new.jpg"])
    assert prepare(store, store.run()).reused < 3  # a new label may be the name of a class
    assert_is_table(store)


def test_files_that_vanish_and_come_back(store):
    prepare(store, store.run())
    names = [f"{'cats' if i % 3 else 'dogs'}/ä{i:02}.jpg" for i in range(20)]
    add_files(store, "b", names, scan=2, reason="vanished")
    prepare(store, store.run())
    assert_is_table(store)
    add_files(store, "a", [f"{name}#copy" for name in names[:6]], scan=2, reason="vanished")
    assert prepare(store, store.run()).rows == 0
    add_files(store, "b", names, scan=3)
    prepare(store, store.run())
    assert_is_table(store)


def test_label_maps_and_own_columns_change_it(store, tmp_path):
    prepare(store, store.run())
    content.keep_label_map(store, store.dataset("b"), {"dogs": "a'b"})
    prepare(store, store.run())
    assert_is_table(store)
    (tmp_path / "own.csv").write_text("image_id,iso,camera\n" + f"{image_id('dogs/ä00.jpg')},100,Cänon\n")
    add_columns(store, tmp_path / "own.csv")
    prepare(store, store.run())
    assert_is_table(store)


def test_merged_parts_give_the_same_table(store):
    prepare(store, store.run())
    folder = store.stats_folder(store.run())
    parquet_parts.merge(store.atomic, folder, stats_schema(CLASSES), ["image_id"])
    assert len(parquet_parts.list_parts(folder)) == 1
    prepare(store, store.run())
    assert_is_table(store)


def test_parts_merged_meanwhile_begin_it_again(store, monkeypatch):
    folder, begun = store.stats_folder(store.run()), []

    def merge_once(progress) -> None:
        if not begun:
            begun.append(progress)
            parquet_parts.merge(store.atomic, folder, stats_schema(CLASSES), ["image_id"])

    monkeypatch.setattr("seglib.query.prepared.stats_index._KEPT_PARTS", 1)
    prepare(store, store.run(), merge_once)
    assert begun
    assert_is_table(store)


def test_the_command_prints_what_it_made(store, capsys):
    assert main(["prepare", "--store", str(store.path), "--run", store.run().run, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["run"], report["rows"], report["pieces"], report["reused"]) == (store.run().run, 23, 3, 0)
    assert main(["prepare", "--store", str(store.path), "--run", "nothing"]) == 2


def test_an_empty_run(store):
    for part in store.stats_folder(store.run()).glob("*"):
        part.unlink()
    assert prepare(store, store.run()).rows == 0
    prepared = open_table(store, store.run().run)
    assert prepared.rows == 0
    assert prepared.sorted_rows(Filters.decode("label=dogs"), "path").tolist() == []


@pytest.mark.parametrize("damage", ["manifest", "piece gone", "piece-*", "repeats-*"])
def test_a_damaged_table_is_made_again(store, damage):
    prepare(store, store.run())
    folder = store.table_folder(store.run().run)
    if damage == "manifest":
        (folder / "manifest.json").write_text("{")
    elif damage == "piece gone":
        next(folder.glob("piece-*")).unlink()
    else:  # cut off
        file = next(folder.glob(damage))
        file.write_bytes(file.read_bytes()[:200])
    assert open_table(store, store.run().run) is None
    prepare(store, store.run())
    assert_is_table(store)


def test_a_cut_off_piece_is_a_sentence(store):
    prepare(store, store.run())
    prepared = open_table(store, store.run().run)
    piece = next(store.table_folder(store.run().run).glob("piece-*"))
    piece.write_bytes(piece.read_bytes()[:200])
    with pytest.raises(StoreError, match="cannot be read"):
        prepared.count(Filters.decode("label=dogs"))
    with pytest.raises(StoreError, match="cannot be read"):
        prepared.rows_of_image("ab" * 16)


def test_a_table_that_was_replaced_since_it_was_opened_is_a_sentence(store):
    prepare(store, store.run())
    prepared = open_table(store, store.run().run)
    for piece in store.table_folder(store.run().run).glob("piece-*"):
        piece.unlink()
    with pytest.raises(StoreError, match="was replaced by a newer one: reload the page"):
        prepared.rows_of_image("ab" * 16)


def test_files_of_the_table_before_are_kept_for_its_readers_and_then_removed(store):
    prepare(store, store.run())
    first = {file.name for file in read_manifest(store, store.run().run).files}
    for scan in (2, 3):
        add_files(store, "b", ["dogs/ä00.jpg"], scan=scan, width=40 + scan)
        prepare(store, store.run())
        here = {file.name for file in store.table_folder(store.run().run).glob("*.parquet")}
        assert (first <= here) == (scan == 2)


@pytest.mark.slow
def test_killed_in_the_middle_and_two_at_once(store):
    context = multiprocessing.get_context("fork")
    killed = context.Process(target=prepare, args=(store, store.run(), lambda _: os.kill(os.getpid(), signal.SIGKILL)))
    killed.start()
    killed.join()
    assert read_manifest(store, store.run().run) is None
    both = [context.Process(target=prepare, args=(store, store.run(), lambda _: time.sleep(0.05))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
        assert one.exitcode == 0
    assert_is_table(store)
    assert not list((store.path / "tmp").glob("*/*"))
