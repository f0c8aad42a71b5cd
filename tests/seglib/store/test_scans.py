"""The record of what the newest scan of a dataset left out."""

from dataclasses import asdict

import pytest

from seglib.data.left_out import LeftOut
from seglib.fileio import json_record
from seglib.store import scans
from seglib.store.scans import ScanRecord
from seglib.store.store import Store


@pytest.fixture
def dataset(store: Store, photos):
    return store.register_dataset(photos)


def test_what_a_scan_left_out_is_kept_until_the_next_one(store, dataset):
    counts = ScanRecord(LeftOut(kinds={".mp4": 2, "": 1}, links_outside=3), follow_links=True)
    scans.keep(store, dataset, counts)
    assert scans.last(store, dataset) == counts
    file = store.scan_record(dataset.id)
    before = file.stat().st_ino
    scans.keep(store, dataset, counts)
    assert file.stat().st_ino == before, "the same counts are written again"


def test_a_store_of_an_older_version_does_not_know_what_was_left_out(store, dataset):
    assert scans.last(store, dataset) is None
    assert scans.find_damaged(store) == {}


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"left_out": 1, "follow_links": False},
        {"left_out": {"kinds": {}}, "follow_links": False},
        {"left_out": asdict(LeftOut()), "follow_links": 1},
    ],
    ids=str,
)
def test_a_record_of_a_scan_of_another_form_is_named(store, dataset, record):
    store.scan_record(dataset.id).write_bytes(json_record.encode(record))
    assert scans.last(store, dataset) is None
    assert "run over the folder" in scans.find_damaged(store)[dataset.id]
