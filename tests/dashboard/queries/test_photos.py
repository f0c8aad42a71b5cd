"""What the pages know of a store follows the store, and equals what the shell says."""

import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dashboard.queries import exports, photo_statistics
from dashboard.queries import photos as photo_queries
from dashboard.queries.images.changed_files import find_changed_files
from dashboard.queries.source import RunSource, error_message, open_store, photo_query
from dashboard.state.view import SORTS
from seglib.cli.main import main as seglib
from seglib.errors import StoreError
from seglib.query import statistics
from seglib.query.filters import Filters, select
from seglib.store import tags
from tests.dashboard.conftest import NASTY, PIXELS, fill_store, id_of


@pytest.fixture
def source(full) -> RunSource:
    return _source(full)


def test_choices_count_the_whole_run(source):
    assert photo_queries.options(source, "label") == {"cats": 3, "dogs": 2, "others": 1}
    assert photo_queries.options(source, "agreement") == {"": 1, "agrees": 3, "contradicts": 1, "neither": 1}
    assert photo_queries.options(source, "present") == {"background": 6, "cat": 2, "dog": 2, "person": 2}
    assert photo_queries.options(source, "split") == {"": 6}


def test_a_selection_is_positions_in_the_run(source):
    chosen = photo_queries.sorted_positions(source, Filters.decode("label=cats"), "confidence", "")
    assert photo_queries.rows_at(source, chosen)["path"].tolist() == ["cats/b.jpg", "cats/c.jpg", "cats/a.jpg"]
    most = photo_queries.sorted_positions(source, Filters(), "-share", "person")
    assert photo_queries.rows_at(source, most)["path"].tolist()[:2] == [NASTY, "cats/c.jpg"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "where",
    ["", "label=cats", "label=cats&share.cat=0.1..1", "confidence=0.6..1&present=person&path=c", "path=nothing"],
)
@pytest.mark.parametrize("sort", list(SORTS))
def test_what_is_put_together_from_single_filters_and_one_order_is_what_the_library_says(source, where, sort):
    filters, name = Filters.decode(where), "cat"
    chosen = select(photo_queries.table(source), filters)
    at = statistics.sort_positions(chosen, sort.removeprefix("-"), descending=sort.startswith("-"), name=name)
    shown = photo_queries.rows_at(source, photo_queries.sorted_positions(source, filters, sort, name))
    assert shown["path"].tolist() == chosen["path"].iloc[at].tolist()
    assert photo_queries.selected_positions(source, filters).tolist() == chosen.index.tolist()


def test_photos_of_two_datasets_are_listed_twice_and_counted_once(full):
    query = photo_query(_source(full), Filters())
    before = photo_statistics.key_figures(query), photo_statistics.class_distribution(query)
    fill_store(full, folder="again")
    source = _source(full)
    query = photo_query(source, Filters())
    assert len(photo_queries.selected_positions(source, Filters())) == 12
    assert photo_queries.total_images(source) == 6
    assert photo_statistics.key_figures(query) == before[0]
    pd.testing.assert_frame_equal(photo_statistics.class_distribution(query), before[1])
    said = "6 photos are in several datasets (again, photos): each is counted once."
    assert photo_queries.repeats(source, Filters()) == [said]
    for name in ("again", "photos"):
        filters = Filters.decode(f"dataset={name}")
        assert photo_statistics.key_figures(photo_query(source, filters)) == before[0]
        assert photo_queries.repeats(source, filters) == []


def _source(store: Path) -> RunSource:
    _, version, runs = open_store(store)
    return RunSource(str(store), version, runs[-1].run)


def test_a_photo_that_changed_since_its_scan_is_known(source, full):
    photos = full.parent / "photos" / "cats"
    photos.mkdir(parents=True)
    rows = photo_queries.rows_at(source, photo_queries.selected_positions(source, Filters()))
    assert find_changed_files(source, rows) == set()  # none of them is there
    (photos / "a.jpg").write_bytes(b"x")
    (photos / "b.jpg").write_bytes(b"x")
    os.utime(photos / "b.jpg", ns=(1, 1))  # as it was scanned
    assert find_changed_files(source, rows) == {("photos", "cats/a.jpg")}


@pytest.mark.parametrize("where", ["", "label=cats", "confidence=0.6..1&present=person&path=c", "path=nothing"])
@pytest.mark.parametrize("sort", ["confidence", "-share", "path"])
def test_the_first_few_of_a_selection_are_those_of_the_whole_of_it(source, monkeypatch, where, sort):
    monkeypatch.setattr(photo_queries, "_CHUNK_ROWS", 2)
    filters = Filters.decode(where)
    every = photo_queries.unique_positions(source, filters, sort, "cat").tolist()
    for number in (1, 3, 50):
        assert photo_queries.first_positions(source, filters, sort, "cat", number).tolist() == every[:number]


def test_the_first_few_show_a_photo_of_two_datasets_once(full):
    fill_store(full, folder="again")
    first = photo_queries.first_positions(_source(full), Filters(), "confidence", "", 4)
    paths = photo_queries.rows_at(_source(full), first)["path"].tolist()
    assert paths == ["cats/b.jpg", NASTY, "cats/c.jpg", "cats/a.jpg"]


@pytest.mark.parametrize("key", ["label", "agreement", "dataset", "split", "dominant", "tag"])
@pytest.mark.parametrize("where", ["", "present=cat", "confidence=0.6..1", "path=nothing"])
def test_choices_are_counted_among_the_photos_that_pass(source, key, where):
    tags.tag(source.store(), [id_of("cats/a.jpg"), id_of("dogs/d.jpg")], "keep")
    source = now(source)
    filters = Filters.decode(where)
    rows = photo_queries.rows_at(source, photo_queries.selected_positions(source, filters))
    found = photo_queries.count_choices(source, filters, key)
    assert sum(found.values()) >= len(rows)
    for value, number in found.items():
        assert number == len(select(rows, Filters({key: (value,)})))


def test_what_a_run_writes_is_seen_at_the_next_rerun(source, full):
    assert photo_queries.total_images(source) == 6
    fill_store(full, pixels={**PIXELS, "dogs/new.jpg": {"dog": 10}}, code_schema=2)
    _, version, runs = open_store(full)
    assert version != source.version
    assert photo_queries.total_images(RunSource(str(full), version, runs[-1].run)) == 7


def now(source: RunSource) -> RunSource:
    return replace(source, version=open_store(Path(source.path))[1])


def test_a_tag_is_seen_at_the_next_rerun_and_the_table_is_not_read_again(source):
    before, all_photos = photo_queries.table(source), photo_statistics.key_figures(photo_query(source, Filters()))
    store = source.store()
    tags.tag(store, [id_of("cats/a.jpg"), id_of("dogs/d.jpg")], "keep")
    after = now(source)
    assert after != source
    assert photo_queries.table(after) is before
    assert photo_statistics.key_figures(photo_query(after, Filters())) == all_photos
    assert photo_queries.options(after, "tag") == {"": 4, "keep": 2}
    kept = Filters.decode("tag=keep")
    found = photo_queries.rows_at(after, photo_queries.sorted_positions(after, kept, "path", ""))
    assert found["path"].tolist() == ["cats/a.jpg", "dogs/d.jpg"]
    assert found["tags"].tolist() == ["keep", "keep"]
    assert photo_statistics.key_figures(photo_query(after, kept)).photos == 2
    tags.undo(store)
    undone = now(source)
    assert len(photo_queries.selected_positions(undone, kept)) == 0
    assert photo_queries.options(undone, "tag") == {"": 6}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("where", ["", "label=cats&share.cat=0.1..1", "path=%3Cimg", "path=nothing"])
def test_a_download_is_what_the_shell_exports(source, full, tmp_path, kind, where):
    out = tmp_path / f"out.{kind}"
    command = ["export", "stats", "--store", str(full), "--run", source.run, "--where", where]
    assert seglib([*command, "--format", kind, "--out", str(out)]) == 0
    assert exports.export_rows(full, source.run, Filters.decode(where), kind) == out.read_bytes()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("The store '/home/me/my store' is odd.", "The store 'my store' is odd."),
        ("cannot open '/home/me/out/runs/r", "cannot open 'r"),
        (r"cannot open C:\Users\me\out: gone", "cannot open out: gone"),
        ("runs/r/stats/part-1.parquet is damaged (and/or old).", None),
    ],
)
def test_sentences_name_no_place(said, told):
    assert error_message(StoreError(said)) == (told or said)


def test_no_store_is_a_sentence(tmp_path):
    with pytest.raises(StoreError, match="no store yet"):
        open_store(tmp_path / "nowhere")
